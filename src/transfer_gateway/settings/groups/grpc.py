"""Limits of gRPC connections and calls."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class GrpcSettings(Group):
    grpc_max_message_bytes: int = Field(
        262_144,
        ge=1024,
        le=104_857_600,
        description="Maximum size of a request message. Larger ones are RESOURCE_EXHAUSTED.",
    )
    grpc_max_concurrent_rpcs: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="Maximum concurrent calls, without open watches. Further ones are RESOURCE_EXHAUSTED.",
    )
    grpc_max_concurrent_streams: int = Field(
        250,
        ge=1,
        le=100_000,
        description="Maximum concurrent calls on one connection. Further ones wait on the client.",
    )
    grpc_max_public_streams: int = Field(
        100,
        ge=1,
        le=100_000,
        description=(
            "Maximum concurrent health watches and reflection calls, which need no token. "
            "Above it, the oldest ends."
        ),
    )
    grpc_message_timeout_s: float = Field(
        5.0, ge=0.1, le=300, description="Timeout for a call to send its request message, in seconds."
    )
    grpc_keepalive_s: float = Field(
        30.0,
        ge=1,
        le=7200,
        description=(
            "Seconds of silence before a connection is pinged, which detects a dead peer. "
            "Must be less than the idle timeout of proxies."
        ),
    )
    grpc_max_connection_age_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description=(
            "Seconds after which clients are asked to reconnect, which spreads them over the replicas. "
            "A watch ends by then, too, and the client goes on after its last cursor."
        ),
    )
    grpc_max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="Maximum gRPC connections. Further ones are closed."
    )
    grpc_handshake_timeout_s: float = Field(
        5.0,
        ge=0.1,
        le=300,
        description="Timeout for TLS and the start of HTTP/2 on a new gRPC connection, in seconds.",
    )
    grpc_max_connection_idle_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="Seconds without a call before a gRPC connection is closed. Clients reconnect for their next call.",
    )
