"""Builds what the two servers are made of, from the settings."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.graphql.limits import Limits
from transfer_gateway.api.graphql.trusted import TrustedDocuments
from transfer_gateway.api.graphql.view import GraphQLOptions
from transfer_gateway.settings import load_documents

if TYPE_CHECKING:
    from pathlib import Path

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.rpc.server import RpcServer
    from transfer_gateway.api.unread import UnreadBytes
    from transfer_gateway.settings import DoorTls, Settings
    from transfer_gateway.telemetry import Requests


def graphql_options(settings: Settings, page_documents: Path) -> GraphQLOptions:
    """`page_documents`: there if the page was built. Raises: ConfigurationError."""
    path, has_page = settings.graphql_trusted_documents_path, settings.page and page_documents.is_file()
    limits = {limit.name: getattr(settings, f"graphql_{limit.name}") for limit in fields(Limits)}
    return GraphQLOptions(
        limits=Limits(**limits),
        request_timeout_s=settings.request_timeout_s,
        heartbeat_s=settings.http_heartbeat_s,
        max_body_bytes=settings.http_max_body_bytes,
        answers_max_bytes=settings.graphql_answers_max_bytes,
        cors_origins=settings.http_cors_origins,
        introspection=settings.graphql_introspection,
        suggestions=settings.graphql_suggestions,
        trusted=TrustedDocuments(
            settings.graphql_trusted_documents,
            load_documents(path) if path else {},
            load_documents(page_documents) if has_page else {},
        ),
    )


def connection_limits(settings: Settings, max_connections: int) -> ConnectionLimits:
    return ConnectionLimits(
        max_head_bytes=settings.http_max_head_bytes,
        head_timeout_s=settings.http_head_timeout_s,
        max_pipelined_requests=settings.http_max_pipelined_requests,
        max_connections=max_connections,
        max_connections_per_address=settings.http_max_connections_per_address,
        stall_timeout_s=settings.request_timeout_s,
        write_timeout_s=settings.http_write_timeout_s,
        heartbeat_s=settings.http_heartbeat_s,
    )


class DisabledRpcServer:
    """Replaces the gRPC server if that is disabled."""

    tls = None

    async def start(self) -> None: ...
    async def until_ended(self) -> None: ...
    async def set_ready(self, _ready: bool) -> None: ...  # noqa: FBT001  as the server's
    async def stop(self) -> None: ...
    def stop_now(self) -> None: ...


def build_rpc_server(
    settings: Settings,
    max_connections: int,
    admission: Admission,
    requests: Requests,
    *,
    unread: UnreadBytes,
    tls: DoorTls | None,
    shared: bool,
) -> RpcServer:
    from transfer_gateway.api.rpc.server import RpcLimits, RpcServer  # noqa: PLC0415  takes 16 MB
    from transfer_gateway.api.rpc.tls import RpcTls  # noqa: PLC0415  as above

    return RpcServer(
        admission,
        RpcLimits(
            max_message_bytes=settings.grpc_max_message_bytes,
            max_connections=max_connections,
            max_concurrent_rpcs=settings.grpc_max_concurrent_rpcs,
            max_concurrent_streams=settings.grpc_max_concurrent_streams,
            max_public_streams=settings.grpc_max_public_streams,
            message_timeout_s=settings.grpc_message_timeout_s,
            keepalive_s=settings.grpc_keepalive_s,
            max_connection_age_s=settings.grpc_max_connection_age_s,
            max_connection_idle_s=settings.grpc_max_connection_idle_s,
            handshake_timeout_s=settings.grpc_handshake_timeout_s,
        ),
        requests,
        unread,
        request_timeout_s=settings.request_timeout_s,
        grace_s=settings.shutdown_grace_s,
        tls=RpcTls(tls) if tls else None,
        shared=shared,
    )
