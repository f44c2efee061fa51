"""A command as a process of its own that need not load first: it is forked off one that has.

Loading takes more than a second of CPU, which is most of what a test of the command would cost.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import multiprocessing
import os
import signal
import struct
import sys
from importlib import import_module, reload
from multiprocessing.reduction import DupFd
from typing import TYPE_CHECKING, Any

from quick_libraries import make_quick

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_STREAMS = (("stdin", "__stdin__"), ("stdout", "__stdout__"), ("stderr", "__stderr__"))
_FORKING = multiprocessing.get_context("forkserver")
GATEWAY, EMULATOR, AWS_CLI = "transfer-gateway", "transfer-emulator", "aws"
_MAIN = {
    GATEWAY: "transfer_gateway.__main__",
    EMULATOR: "transfer_emulator.__main__",
    AWS_CLI: "awscli.clidriver",
}
_FORKING.set_forkserver_preload(
    ["transfer_gateway.cli", "transfer_gateway.server", "transfer_emulator.__main__", "awscli.clidriver"]
)


class Forked:
    """As asyncio's Process; its stdin is empty."""

    def __init__(
        self, process: Any, stdout: asyncio.StreamReader | None, stderr: asyncio.StreamReader | None
    ) -> None:
        self._process = process
        self.stdout, self.stderr = stdout, stderr
        self.pid: int = process.pid

    @property
    def returncode(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        if self.returncode is None:
            loop.add_reader(self._process.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._process.sentinel)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        out, err = await asyncio.gather(_rest(self.stdout), _rest(self.stderr))
        await self.wait()
        return out, err


async def fork(
    *arguments: str,
    environment: Mapping[str, str],
    command: str = GATEWAY,
    stdout: int = asyncio.subprocess.PIPE,
    stderr: int = asyncio.subprocess.PIPE,
    closed: Collection[int] = (),
    unprivileged: bool = False,
) -> Forked:
    """Start the command, one of _MAIN.

    `stdout`, `stderr`: descriptors, or PIPE. `closed`: of 0, 1 and 2, those it starts without.
    `unprivileged`: files' modes apply to it even if it is root.
    """
    readers: list[asyncio.StreamReader | None] = []
    given: list[int] = []
    ours: list[int] = []
    for asked in (stdout, stderr):
        if asked == asyncio.subprocess.PIPE:
            reading, writing = os.pipe()
            readers.append(await _reader(reading))
            ours.append(writing)
            given.append(writing)
        else:
            readers.append(None)
            given.append(asked)
    process = _FORKING.Process(
        target=_run,
        args=(command, arguments, dict(environment), *map(DupFd, given)),
        kwargs={"closed": closed, "unprivileged": unprivileged},
    )
    try:
        process.start()
    finally:
        for descriptor in ours:
            os.close(descriptor)
    return Forked(process, *readers)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


async def _rest(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


def _run(
    command: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: Any,
    stderr: Any,
    *,
    closed: Collection[int],
    unprivileged: bool,
) -> None:
    """In the child: as Python starts the command."""
    if unprivileged:
        _drop_capabilities()
    for number, given in ((1, stdout), (2, stderr)):
        descriptor = given.detach()
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = sys.__stdout__ = _text(1)  # type: ignore[misc]  # as it is at the start of a process
    sys.stderr = sys.__stderr__ = _text(2)  # type: ignore[misc]
    for number in closed:
        os.close(number)
        for name in _STREAMS[number]:
            setattr(sys, name, None)  # as Python has it then
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [command, *arguments]
    if command == AWS_CLI:
        reload(import_module("awscli"))  # for AWS_DATA_PATH, which it sets
    make_quick()
    gc.freeze()  # or each search for garbage would copy the pages that it shares with its parent
    sys.exit(import_module(_MAIN[command]).main())


def _drop_capabilities() -> None:
    """All of them, CAP_DAC_OVERRIDE among them. Source: capset(2), _LINUX_CAPABILITY_VERSION_3."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _text(number: int) -> io.TextIOWrapper:
    raw = open(number, "wb", buffering=-1, closefd=False)  # noqa: SIM115  for the whole process
    lines = number == 2 or os.isatty(number)
    errors = "backslashreplace" if number == 2 else "strict"
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=lines)
