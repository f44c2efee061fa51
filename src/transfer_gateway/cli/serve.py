"""`transfer-gateway serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.cli.output import announce
from transfer_gateway.cli.program import load_settings, queued_log, run
from transfer_gateway.settings import unknown_settings
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.server import Service
    from transfer_gateway.settings import Settings

_log = get_logger(__name__)


def serve(http_port: int | None, grpc_port: int | None) -> None:
    """Run the service. AWS credentials and endpoints come from the standard AWS variables."""
    settings = load_settings(http_port=http_port, grpc_port=grpc_port)
    from transfer_gateway import server  # noqa: PLC0415  slow to import, and not needed for --help or invalid settings

    run(lambda: _serve(settings, server.serve), stays=True)


async def _serve(settings: Settings, serve_until_signal: Callable[..., Awaitable[None]]) -> None:
    with queued_log(settings):
        for name, nearest in unknown_settings().items():
            _log.warning("unknown_setting", name=name, nearest=nearest)
        if weakness := settings.history_weakness:
            _log.warning("history_not_verified", detail=weakness)
        await serve_until_signal(settings, on_ready=lambda service: _print_addresses(service, settings))


def _print_addresses(service: Service, settings: Settings) -> None:
    announce(f"GraphQL: {service.url}/graphql")
    if service.grpc:
        tls = (
            " (TLS, client certificates)"
            if settings.grpc_client_ca_file
            else " (TLS)"
            if settings.grpc_tls_cert_file
            else ""
        )
        announce(f"gRPC: {service.grpc}{tls}")
