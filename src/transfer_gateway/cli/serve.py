"""`transfer-gateway serve`."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transfer_gateway import workers as several
from transfer_gateway.cli.output import announce
from transfer_gateway.cli.program import load_settings, queued_log, run
from transfer_gateway.listen import PortNotAvailable
from transfer_gateway.settings import ConfigurationError, Worker, share_of, this_worker, unknown_settings
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from transfer_gateway.server import Service
    from transfer_gateway.settings import Settings
    from transfer_gateway.temporary_folder import TemporaryFolder

_log = get_logger(__name__)


def serve(http_port: int | None, grpc_port: int | None, workers: int | None) -> None:
    """Run the service. AWS credentials and endpoints come from the standard AWS variables."""
    settings, worker = load_settings(http_port=http_port, grpc_port=grpc_port, workers=workers), this_worker()
    if settings.workers > 1 and worker is None:
        run(lambda: _supervise(settings), stays=True)
        return
    from transfer_gateway import server  # noqa: PLC0415  slow to import, and not needed for --help or invalid settings

    run(lambda: _serve(settings, worker, server.serve), stays=True)


async def _supervise(settings: Settings) -> None:
    with several.shared_folder() as folder, queued_log(settings, Worker(0, folder).log_lock):  # 0: the parent
        _warn(settings)
        code = await several.supervise(settings, folder, lambda printed: announce(printed.decode().rstrip()))
    sys.exit(code)


async def _serve(
    settings: Settings, worker: Worker | None, serve_until_signal: Callable[..., Awaitable[None]]
) -> None:
    if worker is not None:
        with _refusal_logged(worker):
            _hold(worker.folder)
    with queued_log(settings, worker.log_lock if worker else None), _refusal_logged(worker):
        if worker is None:
            _warn(settings)
        await serve_until_signal(
            share_of(settings) if worker else settings,
            worker=worker,
            on_ready=lambda service: _print_addresses(service, settings),
        )


@contextmanager
def _refusal_logged(worker: Worker | None) -> Iterator[None]:
    """As a reload does, one that is started again says in the log what is invalid by now. At first it is printed."""
    try:
        yield
    except (ConfigurationError, PortNotAvailable) as error:
        if worker is None or not worker.is_replacement:
            raise
        _log.error("worker_not_started", problems=str(error).splitlines())
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def _hold(folder: TemporaryFolder) -> None:
    try:
        folder.hold()
    except OSError as error:
        raise ConfigurationError([f"TMPDIR: the temporary directory can't be made again: {error}"]) from None


def _warn(settings: Settings) -> None:
    for name, nearest in unknown_settings().items():
        _log.warning("unknown_setting", name=name, nearest=nearest)
    if weakness := settings.history_weakness:
        _log.warning("history_not_verified", detail=weakness)


def _print_addresses(service: Service, settings: Settings) -> None:
    lines = [f"GraphQL: {service.url}/graphql"]
    if service.grpc:
        tls = (
            " (TLS, client certificates)"
            if settings.grpc_client_ca_file
            else " (TLS)"
            if settings.grpc_tls_cert_file
            else ""
        )
        lines.append(f"gRPC: {service.grpc}{tls}")
    announce("\n".join(lines))
