"""Signals at any moment, and unwritable output: the commands' exit codes, as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from command import COMMAND, run, started
from forked import Forked, fork
from wire import Gateway, becomes, calling, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.early

ANY_PORTS = ("--http-port", "0", "--grpc-port", "0")
_BIT = 1 << signal.SIGTERM - 1


def listens(process: Process) -> bool:
    """Whether the process handles SIGTERM itself."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) & _BIT)


@asynccontextmanager
async def starting(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=os.environ | environment, stdout=DEVNULL, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end(process: Process) -> tuple[int | None, str]:
    _, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, err.decode()


@pytest.mark.parametrize(
    ("number", "times", "moments_s"),
    [  # a start costs 2 s of CPU: what handles one signal at a moment handles two, and the other
        pytest.param(signal.SIGTERM, 1, (0, 0.4, 1.2, 1.8), id="SIGTERM"),
        pytest.param(signal.SIGINT, 1, (0, 1.5), id="SIGINT"),
        pytest.param(signal.SIGTERM, 2, (0.1, 0.8, 1.5, 2.2), id="SIGTERM-twice"),
        pytest.param(signal.SIGINT, 2, (0.8,), id="SIGINT-twice"),
    ],
)
@pytest.mark.variants(keep=1)
async def test_serve_ends_with_0_whenever_it_is_told(
    accounts_file: Path, number: signal.Signals, times: int, moments_s: tuple[float, ...]
) -> None:
    """From when it handles signals, 20 ms after its start, through everything that it loads and opens."""
    settings = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0.2",
    }
    for moment_s in moments_s:
        async with starting("serve", *ANY_PORTS, **settings) as process:
            await until(lambda process=process: listens(process))  # type: ignore[misc]  # the loop's
            await asyncio.sleep(moment_s)  # the moment is what is tested
            process.send_signal(number)
            if times == 2:
                await asyncio.sleep(0.05)  # the next moment
                if process.returncode is None:
                    process.send_signal(number)
            code, err = await end(process)
        assert (code, "Traceback" in err) == (0, False), (moment_s, err)


async def test_connections_that_are_opened_while_it_ends(accounts_file: Path) -> None:
    """Clients that keep reconnecting don't delay it: it ends long before its grace period."""
    settings = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0.2",
        "TRANSFER_GATEWAY_SHUTDOWN_GRACE_S": "100",
    }
    async with started("serve", *ANY_PORTS, **settings) as serving:
        at, came = urlsplit(serving.url), 0

        async def come_and_go() -> None:
            nonlocal came
            while True:
                with suppress(OSError):
                    reader, writer = await asyncio.open_connection(at.hostname, at.port)
                    writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    await reader.read()
                    writer.close()
                    came += 1
                await asyncio.sleep(0)

        clients = [asyncio.create_task(come_and_go()) for _ in range(20)]
        await until(lambda: came > 10 * len(clients))
        serving.process.terminate()
        async with asyncio.timeout(50):
            assert await serving.process.wait() == 0
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)


async def test_signals_while_it_ends(accounts_file: Path) -> None:
    """Repeatedly, until the process is gone."""
    async with started("serve", *ANY_PORTS, TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)) as serving:
        while serving.process.returncode is None:
            with suppress(ProcessLookupError):  # it may have ended, and asyncio not have heard yet
                os.kill(serving.process.pid, signal.SIGTERM)
            await asyncio.sleep(0.002)  # the pace of the signals
        assert serving.process.returncode == 0


@pytest.mark.parametrize("moment_s", [0, 0.7, 2])
@pytest.mark.variants(keep=1)
async def test_demo_ends_with_0_whenever_it_is_told(moment_s: float) -> None:
    """The demo, whose emulated AWS starts first."""
    async with starting("demo", *ANY_PORTS) as process:
        await until(lambda: listens(process))
        await asyncio.sleep(moment_s)  # the moment is what is tested
        process.send_signal(signal.SIGTERM)
        code, err = await end(process)
    assert (code, "Traceback" in err) == (0, False), err


@pytest.fixture
def heard() -> Iterator[None]:
    """A shell's background processes ignore SIGINT, and so do their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.variants(keep=1)
async def test_other_commands_end_by_the_signal(
    accounts_file: Path, number: signal.Signals, heard: None
) -> None:
    """As a shell expects, and without a traceback."""
    settings = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    for _ in range(5):
        async with starting("check-config", **settings) as process:
            await until(lambda: loads(process))
            process.send_signal(number)
            code, err = await end(process)
        if code != 0:  # as it is where the command came to its end first
            break
    assert (code, err) == (-number, "")


def loads(process: Process) -> bool:
    """Whether Python itself has started: a dependency is loaded."""
    return "site-packages" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "0<&- >&-"], ids=["full", "closed", "stdin-too"])
@pytest.mark.parametrize("command", ["version", "export-schema", "check-config", "--help"])
@pytest.mark.variants(keep=4)
async def test_output_that_cannot_be_written(accounts_file: Path, command: str, redirected: str) -> None:
    """Exit code 1 and one line with the reason: these commands have no purpose but their output."""
    code, _, err = await run(
        command,
        redirected=redirected,
        TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file),
        PYTHONUNBUFFERED="",  # set, argparse would hide what fails
    )
    assert code == 1
    assert err.startswith("error: can't write to stdout: ")
    assert err.count("\n") == 1


async def status(gateway: Gateway) -> int | None:
    """None while nobody listens."""
    try:
        return (await gateway.send("GET", "/livez")).status
    except OSError:
        return None


@pytest.mark.parametrize("redirected", [">/dev/full", ">&-", "0<&- >&- 2>&-", "stuck"])
@pytest.mark.variants(keep=1)
async def test_serve_needs_no_stdout(accounts_file: Path, redirected: str) -> None:
    """It prints its addresses if that does not block, and serves all the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, True)
    settings = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0",
    }
    arguments = ("serve", "--http-port", str(port), "--grpc-port", "0")
    with Path("/dev/full").open("wb") as full, Path(os.devnull).open("wb") as nowhere:  # noqa: ASYNC230  at once
        process: Process | Forked
        if " " in redirected:  # once as people do
            process = await asyncio.create_subprocess_exec(
                *("/bin/sh", "-c", f'exec "$0" "$@" {redirected}', COMMAND, *arguments),
                env=os.environ | settings,
                stderr=DEVNULL,
            )
        else:
            process = await fork(
                *arguments,
                environment=os.environ | settings,
                stdout=full.fileno() if redirected == ">/dev/full" else writing,
                stderr=nowhere.fileno(),
                closed=[1] if redirected == ">&-" else [],
            )
    try:
        async with calling(f"http://127.0.0.1:{port}") as gateway:
            await becomes(partial(status, gateway), 200)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(reading)
        os.close(writing)


ALIVE = """
import asyncio
from transfer_gateway.signals import Parent

async def main():
    with Parent(asyncio.get_running_loop(), lambda: None, lambda: None) as parent:
        for _ in range(70_000):
            parent.tell_alive()

asyncio.run(main())
"""


@pytest.mark.parametrize("reader", ["stopped", "gone"])
@pytest.mark.variants(keep=1)
async def test_a_worker_does_not_depend_on_its_parent(reader: str) -> None:
    """It says that it lives for as long as the pipe takes it, and goes on when that is full, or nobody's."""
    ours, pipe = os.pipe()
    if reader == "gone":
        os.close(ours)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ALIVE, stdin=PIPE, stdout=pipe)
    os.close(pipe)
    try:
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
        if reader == "stopped":
            assert set(os.read(ours, 100_000)) == {ord("\n")}
            os.close(ours)
