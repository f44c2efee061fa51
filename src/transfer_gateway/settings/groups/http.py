"""Limits of HTTP connections and requests."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class HttpSettings(Group):
    http_max_body_bytes: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Larger request bodies are refused with 413."
    )
    http_keepalive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description="How long idle connections are kept; longer than the load balancer in front of this keeps them.",
    )
    http_max_head_bytes: int = Field(
        32_768,
        ge=4096,
        le=1_048_576,
        description="Larger heads of HTTP requests are refused: 414 for the URL, 431 for the headers.",
    )
    http_head_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="The time for a request's head, and for a TLS handshake; then the connection is closed, with 408.",
    )
    http_max_pipelined_requests: int = Field(
        16,
        ge=1,
        le=1000,
        description="HTTP requests that may wait on one connection; at one more, those are answered and it is closed.",
    )
    http_max_connections: int = Field(
        4000,
        ge=1,
        le=1_000_000,
        description="HTTP connections and WebSockets at a time. For one more, the longest idle is closed, else 503.",
    )
    http_max_connections_per_address: int = Field(
        3000,
        ge=1,
        le=1_000_000,
        description="The same for one address of a client, which may be a proxy with all callers behind it.",
    )
    http_write_timeout_s: float = Field(
        60.0,
        ge=0.05,
        le=3600,
        description="How long a client may take to read an answer; one that reads nothing has REQUEST_TIMEOUT_S.",
    )
