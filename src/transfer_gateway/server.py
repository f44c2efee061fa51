"""The composition root: builds everything, owns the signals, and takes it all down in order.

Read `running` top to bottom: that is the program.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from transfer_gateway.api.health import Readiness
from transfer_gateway.api.http import create_app
from transfer_gateway.aws.client import ConnectionSettings, TransferClients
from transfer_gateway.aws.credentials import SessionCache
from transfer_gateway.aws.sts import Sts
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.core.gateway import Gateway
from transfer_gateway.settings import AccountsFile, ConfigurationError
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from fastapi import FastAPI

    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.settings import Settings

_log = get_logger(__name__)


class PortNotAvailable(Exception):
    """The address can't be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its core, and the URL of its HTTP door."""

    gateway: Gateway
    url: str
    hurry: Callable[[], None]  # while it drains: wait no longer


async def serve(settings: Settings, *, on_ready: Callable[[str], None] = lambda _url: None) -> None:
    """Run until SIGTERM or SIGINT, then let requests under way finish; a second signal ends them at once.

    `on_ready` is called once, with the URL of the HTTP door.
    Raises: ConfigurationError, PortNotAvailable; nothing is left running then.
    """
    with _signals() as signals:
        async with running(settings) as service:
            signals.on_second = service.hurry
            on_ready(service.url)
            await signals.first.wait()
    _log.info("stopped")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    """The whole service for as long as the context lasts. Raises: ConfigurationError, PortNotAvailable."""
    accounts_file = AccountsFile(settings.accounts_file)
    accounts = accounts_file.load()
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listen(settings.http_host, settings.http_port))
        gateway = await stack.enter_async_context(build_gateway(settings, accounts))
        http = _HttpServer(
            create_app(
                gateway,
                readiness,
                request_timeout_s=settings.request_timeout_s,
                max_body_bytes=settings.http_max_body_bytes,
            ),
            settings.shutdown_grace_s,
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        reload = tasks.create_task(_reload_accounts(accounts_file, gateway, settings.accounts_reload_s))
        serving = tasks.create_task(http.serve(sockets=[listener]))
        readiness.ready = True
        url = _url(listener)
        _log.info("serving", http=url, accounts=len(accounts), auth=settings.auth)
        try:
            yield Service(gateway, url, hurry=http.hurry)
        finally:
            readiness.ready, readiness.reason = False, "shutting down"
            _log.info("shutting_down", grace_s=settings.shutdown_grace_s)
            reload.cancel()
            http.should_exit = True
            await serving


@asynccontextmanager
async def build_gateway(settings: Settings, accounts: Accounts) -> AsyncIterator[Gateway]:
    """The core with its AWS clients, which close last."""
    connection = ConnectionSettings(
        connect_timeout_s=settings.aws_connect_timeout_s,
        read_timeout_s=settings.aws_read_timeout_s,
        max_connections=settings.aws_max_connections,
    )
    sts = Sts(connection, region=settings.sts_region, fallback_region=accounts.regions()[0])
    async with (
        sts,
        TransferClients(connection) as clients,
        SessionCache(
            sts,
            session_name=settings.role_session_name,
            max_concurrency=settings.assume_role_max_concurrency,
        ) as sessions,
    ):
        await clients.open(accounts.regions())
        yield Gateway(accounts, transfer=Transfer(clients, sessions), clients=clients, sessions=sessions)


async def _reload_accounts(file: AccountsFile, gateway: Gateway, every_s: float) -> None:
    """Follow the accounts file. A bad version is refused, and today's accounts are kept."""
    while True:
        await asyncio.sleep(every_s)
        try:
            accounts = await asyncio.to_thread(file.load_if_changed)
        except ConfigurationError as error:
            _log.error("accounts_file_refused", problems=error.problems)
            continue
        if accounts is not None:
            await gateway.use_accounts(accounts)
            _log.info("accounts_file_reloaded", accounts=len(accounts))


class _HttpServer(uvicorn.Server):
    """uvicorn, without its signals: those are ours (it raises them again, so that nothing after it runs)."""

    def __init__(self, app: FastAPI, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=max(1, round(grace_s)),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hurry(self) -> None:
        self.force_exit = True


@dataclass(slots=True)
class _Signals:
    first: asyncio.Event
    on_second: Callable[[], None] | None = None

    def arrived(self) -> None:
        if self.first.is_set() and self.on_second is not None:
            self.on_second()
        self.first.set()


@contextmanager
def _signals() -> Iterator[_Signals]:
    """SIGTERM and SIGINT, ours for as long as the context lasts."""
    loop, signals = asyncio.get_running_loop(), _Signals(asyncio.Event())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.arrived)
    try:
        yield signals
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, bound before anything else starts. Port 0: any free one."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as error:
            raise PortNotAvailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
