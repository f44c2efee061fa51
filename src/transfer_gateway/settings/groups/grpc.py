"""Limits of gRPC connections and calls."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class GrpcSettings(Group):
    grpc_max_message_bytes: int = Field(
        262_144,
        ge=1024,
        le=104_857_600,
        description="Larger request messages are refused with RESOURCE_EXHAUSTED.",
    )
    grpc_max_concurrent_rpcs: int = Field(
        1000, ge=1, le=100_000, description="Calls at a time; more are refused with RESOURCE_EXHAUSTED."
    )
    grpc_max_concurrent_streams: int = Field(
        250, ge=1, le=100_000, description="Calls at a time on one connection; more wait there."
    )
    grpc_max_public_streams: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Health watches and reflection, which need no token, at a time; over that, the oldest is ended.",
    )
    grpc_message_timeout_s: float = Field(
        5.0, ge=0.1, le=300, description="How long a call may take to send its message."
    )
    grpc_keepalive_s: float = Field(
        60.0,
        ge=1,
        le=7200,
        description="How often a silent connection is tried, so that dead ones are noticed.",
    )
    grpc_max_connection_age_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Clients are asked to connect anew after about that time, which spreads them over replicas.",
    )
    grpc_max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="gRPC connections at a time; more are closed."
    )
    grpc_handshake_timeout_s: float = Field(
        5.0,
        ge=0.1,
        le=300,
        description="How long a new gRPC connection may take for TLS and the start of HTTP/2; then it is closed.",
    )
    grpc_max_connection_idle_s: float = Field(
        60.0,
        ge=1,
        le=86_400,
        description="gRPC connections without a call for so long are ended; clients connect anew for their next one.",
    )
