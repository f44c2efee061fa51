"""Runs the command as a process: by a shell if a test needs one, else forked from a process that has loaded it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
import termios
from asyncio.subprocess import PIPE, Process
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from forked import Forked, fork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

COMMAND = Path(sys.executable).with_name("transfer-gateway")
CLOSED_STDIN = "<&-"
_CLOSING = {"<&-": 0, "0<&-": 0, ">&-": 1, "2>&-": 2}
_FULL = {">/dev/full": 1, "2>/dev/full": 2}
_UNLESS_SAID = {"TRANSFER_GATEWAY_GRPC_PORT": "0", "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0"}


async def run(*arguments: str, redirected: str = "", **environment: str) -> tuple[int | None, str, str]:
    """Run a command to its end. Returns: exit code, stdout, stderr.

    `redirected`: in shell syntax, `>/dev/full` or a value of _CLOSING.
    """
    is_full = redirected == ">/dev/full"
    closed = [] if is_full else [_CLOSING[word] for word in redirected.split()]
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  it opens at once
        stdout = full.fileno() if is_full else PIPE
        process = await fork(*arguments, environment=os.environ | environment, stdout=stdout, closed=closed)
    return await _to_end(process)


async def run_unread(*arguments: str) -> tuple[int | None, str]:
    """Run a command whose stdout nobody reads any more. Returns: exit code, stderr."""
    ours, pipe = os.pipe()
    os.close(ours)
    try:
        process = await fork(*arguments, environment=dict(os.environ), stdout=pipe)
    finally:
        os.close(pipe)
    code, _, err = await _to_end(process)
    return code, err


async def run_unprivileged(*arguments: str, **environment: str) -> tuple[int | None, str, str]:
    """The same by a user to whom the modes of files apply, as they do not to root."""
    return await _to_end(await fork(*arguments, environment=os.environ | environment, unprivileged=True))


async def _to_end(process: Forked) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 100)
    return process.returncode, (out or b"").decode(), err.decode()


async def run_on_terminal(*arguments: str, columns: int = 120, **environment: str) -> tuple[int | None, str]:
    """Run a command on a terminal. Returns: exit code, and everything that the terminal shows."""
    ours, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (50, columns))
    inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    try:
        process = await fork(
            *arguments, environment=inherited | {"TERM": "xterm"} | environment, stdout=terminal
        )
    finally:
        os.close(terminal)
    reading = asyncio.create_task(asyncio.to_thread(_read_to_end, ours))
    await asyncio.wait_for(process.communicate(), 100)
    return process.returncode, (await reading).decode()


def _read_to_end(terminal: int) -> bytes:
    shown = b""
    with open(terminal, "rb", buffering=0) as file, suppress(OSError):  # EIO is its end
        while piece := file.read(65_536):
            shown += piece
    return shown


@dataclass(frozen=True)
class Started:
    """A running command: its output until it was ready, its URL, and its gRPC address if any."""

    process: Process | Forked
    printed: str
    url: str
    grpc: str
    _log: IO[bytes]

    def log_so_far(self) -> str:
        """What it has written by now, without moving the position at which it writes on."""
        return os.pread(self._log.fileno(), 2**24, 0).decode(errors="replace")

    def signal(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def stop(self) -> tuple[int | None, str]:
        """Send SIGTERM. Returns: exit code and the whole log."""
        self.signal()
        await asyncio.wait_for(self.process.communicate(), 100)
        self._log.seek(0)
        return self.process.returncode, self._log.read().decode()


@asynccontextmanager
async def started(
    *arguments: str, until: str = "gRPC", limit_descriptors: str = "", **environment: str
) -> AsyncIterator[Started]:
    """Start a command and read its output up to a line with `until`. Killed if it is still running at the end."""
    before = f"ulimit -n {limit_descriptors};" if limit_descriptors else ""
    async with started_with(*arguments, until=until, environment=environment, before=before) as ready:
        yield ready


@asynccontextmanager
async def started_with(
    *arguments: str,
    environment: Mapping[str, str],
    until: str = "gRPC",
    stderr: int | None = None,
    redirected: str = "",
    before: str = "",
) -> AsyncIterator[Started]:
    """As `started`. `stderr`: where its log goes. `redirected`: the same in shell syntax.

    `before`: a shell command to run first. For it, and for several redirections, a shell starts the command.
    """
    with tempfile.TemporaryFile() as log, Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  they open at once
        told = {**os.environ, **_UNLESS_SAID, **environment}
        errors = log.fileno() if stderr is None else stderr
        process: Process | Forked
        if before or " " in redirected:
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", f'{before} exec "$0" "$@" {redirected}'),
                COMMAND,
                *arguments,
                env=told,
                stdout=PIPE,
                stderr=errors,
            )
        else:
            process = await fork(
                *arguments,
                environment=told,
                stdout=full.fileno() if _FULL.get(redirected) == 1 else PIPE,
                stderr=full.fileno() if _FULL.get(redirected) == 2 else errors,
                closed=[_CLOSING[redirected]] if redirected in _CLOSING else [],
            )
        assert process.stdout is not None
        try:
            printed = ""
            async with asyncio.timeout(60):
                while until not in printed:
                    line = await process.stdout.readline()
                    assert line, "it ended early"
                    printed += line.decode()
            url = next(word for word in printed.split() if word.endswith("/graphql")).removesuffix("/graphql")
            grpc = re.search(r"gRPC:? +(\S+)|$", printed)
            assert grpc is not None
            yield Started(process, printed, url, grpc[1] or "", log)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()
