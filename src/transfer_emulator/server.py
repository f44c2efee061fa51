"""The HTTP server: one port for all services, every region and the control API."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from transfer_emulator.calls import Calls
from transfer_emulator.clock import Clock
from transfer_emulator.control import PREFIX, Control
from transfer_emulator.dispatch import Dispatcher
from transfer_emulator.faults import Faults
from transfer_emulator.logs import LogSettings
from transfer_emulator.world import World

# Calls delayed by a fault are released at once; nothing else takes that long.
_STOP_TIMEOUT_S = 2.0


class Emulator:
    """Serves a world over HTTP. An async context manager; or call `start` and `stop`.

    `session_lifetime_s`: lifetime of assumed-role sessions if set, even below AWS's minimum.
    `clock` drives the executions and their logs; `wall_time` is used to check signatures and sessions.
    """

    def __init__(
        self,
        world: World,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        session_lifetime_s: float | None = None,
        wall_time: Callable[[], float] = time.time,
        log_settings: LogSettings | None = None,
    ) -> None:
        self.world = world
        self.clock = clock or Clock()
        self.faults = Faults()
        self.calls = Calls()
        self.host, self.port = host, port
        self._session_lifetime_s, self._wall_time = session_lifetime_s, wall_time
        self._log_settings = log_settings or LogSettings()
        self._dispatcher: Dispatcher | None = None
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Environment variables that point AWS clients to the emulator."""
        region = self.world.regions[0]
        return {
            "AWS_ENDPOINT_URL_TRANSFER": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.url,
            "AWS_ACCESS_KEY_ID": self.world.home_key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.world.home_key.secret,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
        }

    async def start(self) -> None:
        """Start listening; after a `stop`, on the same port."""
        self._dispatcher = dispatcher = Dispatcher(
            world=self.world,
            clock=self.clock,
            calls=self.calls,
            faults=self.faults,
            wall_time=self._wall_time,
            session_lifetime_s=self._session_lifetime_s,
            log_settings=self._log_settings,
        )
        control = Control(self.world, self.clock, self.calls, self.faults)

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.raw_path.startswith(PREFIX):
                return await control.handle(request)
            with self.calls.track():
                return await dispatcher.handle(request)

        # Cancels handlers of disconnected clients, so that a hanging call does not outlive its client.
        server = _CountingServer(self.calls, handle)
        self._runner = web.ServerRunner(server, shutdown_timeout=_STOP_TIMEOUT_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port and all connections. The world and the counts are kept."""
        if self._dispatcher is not None and self._runner is not None:
            self._dispatcher.closing.set()
            await self._runner.cleanup()
        self._dispatcher = self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _CountingServer(web.Server):
    def __init__(
        self, calls: Calls, handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> None:
        super().__init__(handle, handler_cancellation=True, access_log=None)
        self._calls = calls

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self._calls.connections += 1
        super().connection_made(handler, transport)
