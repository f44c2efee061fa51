"""Limits of HTTP connections and requests."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class HttpSettings(Group):
    http_max_body_bytes: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Maximum size of a request body. Larger ones get 413."
    )
    http_keepalive_s: int = Field(
        75,
        ge=1,
        le=3600,
        description=(
            "Seconds before an idle connection is closed. "
            "Must be longer than the load balancer's idle timeout."
        ),
    )
    http_max_head_bytes: int = Field(
        32_768,
        ge=4096,
        le=1_048_576,
        description=(
            "Maximum size of a request's URL and headers. "
            "Larger ones get 414 for the URL, 431 for the headers."
        ),
    )
    http_head_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="Timeout for a request's headers (408), and for a TLS handshake, in seconds.",
    )
    http_max_pipelined_requests: int = Field(
        16,
        ge=1,
        le=1000,
        description=(
            "Maximum pipelined requests on a connection. "
            "With one more, these are answered and the connection is closed."
        ),
    )
    http_max_connections: int = Field(
        4000,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum HTTP and WebSocket connections. "
            "At the limit, the longest idle one is closed, else the new one gets 503."
        ),
    )
    http_max_connections_per_address: int = Field(
        3000,
        ge=1,
        le=1_000_000,
        description=(
            "Maximum HTTP and WebSocket connections from one address, which may be a proxy that serves "
            "all callers."
        ),
    )
    http_write_timeout_s: float = Field(
        60.0,
        ge=0.05,
        le=3600,
        description="Timeout for a client to read a response. A client that reads nothing has REQUEST_TIMEOUT_S.",
    )
    http_heartbeat_s: float = Field(
        15.0,
        ge=1,
        le=60,
        description=(
            "Seconds after which something is sent on a WebSocket, or a stream of events, on which nothing happens. "
            "Must be shorter than the idle timeouts of all proxies."
        ),
    )
