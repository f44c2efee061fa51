"""Several processes that share the ports: starts them, starts again those that end, and ends all together.

Each is `transfer-gateway serve`, told by its environment that it is a worker. Its stdin is how it follows this process:
a byte for each signal, and its end, should this process be killed. Its stdout says when it is ready, and then every 2 s
that its event loop runs: one that hangs would keep its part of the new connections, and so it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from transfer_gateway.backoff import Backoff
from transfer_gateway.listen import reserved
from transfer_gateway.settings import ConfigurationError, Worker, environment_of, new_secret
from transfer_gateway.signals import ALIVE_EVERY_S, SignalHandlers
from transfer_gateway.telemetry import get_logger
from transfer_gateway.temporary_folder import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transfer_gateway.settings import Settings
    from transfer_gateway.temporary_folder import TemporaryFolder

_log = get_logger(__name__)
# -P: as the command itself, without the current directory among those of modules.
_COMMAND = (sys.executable, "-P", "-m", "transfer_gateway", "serve")
_RESTARTS = Backoff(0.5, 30.0)
_LASTED_S = 60.0  # then the next end counts as the first
_START_S = 300.0  # at most; 2 s of CPU, of which 64 at once on two cores need a minute
_HANGS_S = 30.0
_CLOSING_S = 15.0  # what a worker may take longer than its delay and grace, before it is killed
_TOLD = {0, -signal.SIGTERM, -signal.SIGINT}  # by the signal: it had not begun to handle any
_SOCKET_NAME_BYTES = 20  # of a path of at most 107


@contextmanager
def shared_folder() -> Iterator[TemporaryFolder]:
    """A directory for this user alone, for what the workers share. Raises: ConfigurationError."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder())
        except OSError as error:
            problem = f"TRANSFER_GATEWAY_WORKERS: no temporary directory can be made: {error}"
            raise ConfigurationError([problem]) from None
        if len(os.fsencode(folder.path)) + _SOCKET_NAME_BYTES > 107:  # noqa: PLR2004  unix(7): sun_path
            raise ConfigurationError(
                [f"TMPDIR: {folder.path} is too long for the sockets of several workers"]
            )
        yield folder


async def supervise(settings: Settings, folder: TemporaryFolder, on_ready: Callable[[bytes], None]) -> int:
    """Run the workers until SIGTERM or SIGINT, then end all as one process would. Returns: the exit code.

    `on_ready` is given, once, what one of them prints when it is ready, when all are. Until then, the end of one is the
    end of all. Raises: PortNotAvailable.
    """
    with (
        reserved(settings.http_host, settings.http_port) as http_port,
        reserved(settings.grpc_host, settings.grpc_port if settings.grpc else 0) as grpc_port,
    ):
        ports = {"http_port": http_port, "grpc_port": grpc_port}
        workers = _Workers(settings.model_copy(update=ports), folder, on_ready)
        with SignalHandlers(workers.stop, asyncio.get_running_loop().call_soon_threadsafe):
            return await workers.run()


class _Workers:
    """The processes, by their number."""

    def __init__(
        self, settings: Settings, folder: TemporaryFolder, on_ready: Callable[[bytes], None]
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._on_ready = on_ready
        self._secret = new_secret()
        self._running: dict[int, Process] = {}
        self._ready: set[int] = set()
        self._is_first_ready = asyncio.Event()
        self._were_all_ready = False
        self._signals = 0
        self._stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Until all have ended. Returns: the exit code."""
        async with asyncio.TaskGroup() as tasks:
            # The first alone, so that what is wrong is said once.
            tasks.create_task(self._keep(1))
            await self._is_first_ready.wait()
            for number in range(2, self._settings.workers + 1):
                tasks.create_task(self._keep(number))
            await self._stopping.wait()
            patience_s = self._settings.shutdown_delay_s + self._settings.shutdown_grace_s + _CLOSING_S
            killing = asyncio.get_running_loop().call_later(patience_s, self._kill)
        killing.cancel()
        return self._exit_code

    def stop(self) -> None:
        """End all. Called again, they stop waiting for requests in progress."""
        self._signals += 1
        self._stopping.set()
        self._is_first_ready.set()
        for process in self._running.values():
            _tell(process, 1)

    async def _keep(self, number: int) -> None:
        """Run a worker, again and again."""
        loop, failures = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run(number)
            if self._stopping.is_set():
                if code not in _TOLD:
                    self._exit_code = self._exit_code or 1
                    _log.error("worker_ended", worker=number, exit_code=code)
                return
            if not self._were_all_ready:  # it has said why, if it could
                if code < 0:
                    _log.error("worker_ended", worker=number, exit_code=code)
                self._exit_code = code if code >= 0 else 1
                self.stop()
                return
            failures = 1 if loop.time() - began > _LASTED_S else failures + 1
            wait_s = _RESTARTS.after(failures)
            _log.error("worker_ended", worker=number, exit_code=code, restart_in_s=round(wait_s, 1))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _run(self, number: int) -> int:
        """Run a worker once. Returns: its exit code, or less than 0, the signal that ended it."""
        worker = Worker(number, self._folder, is_replacement=self._were_all_ready)
        environment = environment_of(worker, self._settings, self._secret)
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND, env=environment, stdin=PIPE, stdout=PIPE
            )
        except OSError as error:  # too little memory, too many processes
            _log.error("worker_not_started", worker=number, problems=[error.strerror])
            return 1
        self._running[number] = process
        _tell(process, self._signals)
        printed = [await self._line(number, process, _START_S) for _ in range(1 + self._settings.grpc)]
        if printed[-1]:
            self._became_ready(number, process.pid, b"".join(printed))
            while await self._line(number, process, _HANGS_S):
                pass
        code = await process.wait()
        del self._running[number]
        return code

    async def _line(self, number: int, process: Process, within_s: float) -> bytes:
        """The next line that it prints, or nothing at its end. One that is silent for so long is killed.

        The time is that of short waits, so that it stands still while this process is stopped: the worker may be, too.
        """
        assert process.stdout is not None  # noqa: S101  it is a pipe
        for _ in range(int(within_s / ALIVE_EVERY_S)):
            with suppress(TimeoutError):
                return await asyncio.wait_for(process.stdout.readline(), ALIVE_EVERY_S)
        if not self._stopping.is_set():
            _log.error("worker_hangs", worker=number, silent_s=within_s)
            with suppress(ProcessLookupError):
                process.kill()
        return b""

    def _became_ready(self, number: int, pid: int, printed: bytes) -> None:
        _log.info("worker_ready", worker=number, pid=pid)
        self._ready.add(number)
        self._is_first_ready.set()
        if not self._were_all_ready and len(self._ready) == self._settings.workers:
            self._were_all_ready = True
            self._on_ready(printed)

    def _kill(self) -> None:
        for number, process in self._running.items():
            _log.error("worker_killed", worker=number)
            with suppress(ProcessLookupError):
                process.kill()


def _tell(process: Process, signals: int) -> None:
    """Pass signals on. Until it reads stdin, a worker obeys SIGTERM alone; then that counts as the first."""
    if signals == 0:
        return
    assert process.stdin is not None  # noqa: S101  it is a pipe
    if not process.stdin.is_closing():  # it has ended, and nobody has heard yet
        process.stdin.write(b"." * signals)
    with suppress(ProcessLookupError):
        process.terminate()
