"""The service while its log can't be written: its reader is stuck or gone, or the disk is full."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from command import Started, started_with
from doors import rpc
from transfer_api.v1 import execution_service_pb2 as pb
from wire import Gateway, becomes, calling, place, socket, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from transfer_emulator import World

LOOK_UP = "query($key: ExecutionKey!) { executionOrError(key: $key) { __typename } }"
MANY = "query($keys: [ExecutionKey!]!) { executions(keys: $keys) { __typename ... on Error { code } } }"
NOT_WRITTEN = "audit log can't be written"
SMALL = {"log_queue_max_bytes": "65536"}
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"  # HealthCheckResponse
STUCK = "the reader of stderr is stuck"
pytestmark = pytest.mark.usefixtures("aws")


class Pipe:
    """A stderr: `writing` is the service's end."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def fill(self) -> None:
        """Fill the pipe with a line, so that there is no room for the next one."""
        os.set_blocking(self.writing, False)
        for size in (4096, 1):
            while True:
                try:
                    os.write(self.writing, b"\n" * size)
                except BlockingIOError:
                    break
        os.set_blocking(self.writing, True)

    def leave(self) -> None:
        os.close(self.reading)
        self.reading = -1

    async def read_to_end(self) -> list[dict[str, Any]]:
        """All lines until the service ends. From this call on the reader keeps up."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1
        reading, self.reading = self.reading, -1
        return lines(await asyncio.to_thread(_read, reading))

    def close(self) -> None:
        for end in (self.reading, self.writing):
            if end >= 0:
                os.close(end)


def _read(descriptor: int) -> str:
    with open(descriptor, encoding="utf-8") as file:
        return file.read()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


@contextmanager
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def serving(
    accounts_file: Path,
    settings: dict[str, str] | None = None,
    *,
    stderr: int | None = None,
    redirected: str = "",
) -> AsyncIterator[tuple[Started, Gateway]]:
    environment = {f"TRANSFER_GATEWAY_{name.upper()}": value for name, value in (settings or {}).items()}
    environment["TRANSFER_GATEWAY_ACCOUNTS_FILE"] = str(accounts_file)
    async with (
        started_with(
            *("serve", "--http-port", "0"), environment=environment, stderr=stderr, redirected=redirected
        ) as service,
        calling(service.url) as gateway,
    ):
        yield service, gateway


async def readiness(gateway: Gateway) -> Any:
    return (await gateway.send("GET", "/readyz")).json()


async def becomes_not_ready(gateway: Gateway, detail: str) -> None:
    expected = {"status": "not ready", "reason": NOT_WRITTEN, "detail": detail}
    await becomes(lambda: readiness(gateway), expected)


async def becomes_in_grpc(service: Started, status: bytes) -> None:
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        await becomes(lambda: check(b""), status)


async def check_refusals(service: Started, gateway: Gateway, world: World) -> None:
    """Live, not ready; requests are rejected with the code at both servers."""
    key = to_input(place(world))
    answer = await gateway.post({"query": LOOK_UP, "variables": {"key": key}})
    (error,) = answer.json()["errors"]
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert answer.headers["retry-after"] == "1"
    assert error["extensions"] == {"code": "AUDIT_LOG_UNAVAILABLE", "retryable": True, "retryAfter": 1.0}
    async with socket(service.url) as connection:
        await connection.subscribe("1", LOOK_UP, key=key)
        message = await connection.next()
    assert (message["type"], message["payload"][0]["extensions"]["code"]) == (
        "error",
        "AUDIT_LOG_UNAVAILABLE",
    )
    async with rpc(service) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await stub.ListAccounts(pb.ListAccountsRequest())
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            [_ async for _ in stub.BatchGetExecutions(pb.BatchGetExecutionsRequest())]
    assert {unary.value.code(), stream.value.code()} == {grpc.StatusCode.UNAVAILABLE}
    assert (await gateway.send("GET", "/livez")).status == 200
    assert (await gateway.send("GET", "/readyz")).status == 503


async def check_answers(gateway: Gateway, world: World) -> None:
    answer = await gateway.ask(LOOK_UP, key=to_input(place(world)))
    assert answer == {"data": {"executionOrError": {"__typename": "Execution"}}}
    assert await readiness(gateway) == {"status": "ready"}


async def end(service: Started) -> None:
    """SIGTERM; exit code 0, soon."""
    service.signal()
    assert await asyncio.wait_for(service.process.wait(), 10) == 0


async def test_reader_stuck_and_back(world: World, accounts_file: Path) -> None:
    """Requests are rejected while it is stuck, and served when it reads again. All lines are complete."""
    with pipe() as log:
        async with serving(accounts_file, stderr=log.writing) as (service, gateway):
            log.fill()
            answered = 0
            while "errors" not in (answer := await gateway.ask(LOOK_UP, key=to_input(place(world)))):
                answered += 1
            assert answer["errors"][0]["extensions"]["code"] == "AUDIT_LOG_UNAVAILABLE"
            assert (await readiness(gateway))["detail"] == STUCK
            await check_refusals(service, gateway, world)
            reading = asyncio.create_task(log.read_to_end())
            await becomes(lambda: readiness(gateway), {"status": "ready"})
            await check_answers(gateway, world)
            await becomes_in_grpc(service, _SERVING)
            await end(service)
            told = await reading
    assert [line["event"] for line in told].count("lookup") == answered + 1
    assert told[-1]["event"] == "stopped"
    assert told[-1]["tasks_left"] == []
    assert [line["event"] for line in told if line["logger"] == "transfer_gateway.server"] == [
        "authentication_disabled",
        "serving",
        "audit_log_unavailable",
        "audit_log_available",
        "shutting_down",
        "stopped",
    ]


async def test_reader_stuck_to_the_end(world: World, accounts_file: Path) -> None:
    """gRPC's health checks agree, and SIGTERM still ends the service."""
    with pipe() as log:
        async with serving(accounts_file, stderr=log.writing) as (service, gateway):
            log.fill()
            await gateway.ask(LOOK_UP, key=to_input(place(world)))
            await becomes_not_ready(gateway, STUCK)
            await becomes_in_grpc(service, _NOT_SERVING)
            await end(service)


@pytest.mark.parametrize(
    "settings", [{"audit_log_full": "count"}, {"audit_log": "false"}], ids=["count", "no-audit"]
)
@pytest.mark.variants(keep=1)
async def test_reader_stuck_and_served_all_the_same(
    world: World, accounts_file: Path, settings: dict[str, str]
) -> None:
    """With `count`, or without audit, requests are served; dropped lines are counted and reported later."""
    with pipe() as log:
        async with serving(accounts_file, SMALL | settings, stderr=log.writing) as (
            service,
            gateway,
        ):
            log.fill()

            async def dropped() -> dict[str, float]:
                text = (await gateway.send("GET", "/metrics")).body.decode()
                values = [line.split() for line in text.splitlines() if "log_lines_dropped_total{" in line]
                return {name.split('"')[1]: float(value) for name, value in values}

            wanted = {"service", "audit"} if "audit_log_full" in settings else {"service"}
            async with asyncio.timeout(60):
                while {of for of, count in (await dropped()).items() if count} != wanted:
                    await check_answers(gateway, world)
            counted = (await dropped())["service"]
            reading = asyncio.create_task(log.read_to_end())
            await asyncio.sleep(0)
            await end(service)
            told = await reading
    said = sum(line["count"] for line in told if line["event"] == "log_lines_dropped")
    assert said >= counted


async def test_no_answer_without_its_line(world: World, accounts_file: Path) -> None:
    """A request in progress whose audit line finds no room fails: nothing is returned that the audit lacks."""
    keys = [to_input(place(world)) | {"executionId": f"00000000-0000-4000-8000-{n:012}"} for n in range(500)]
    quickly = {"target_burst": "1000", "request_timeout_s": "90", "aws_read_timeout_s": "60"}
    with pipe() as log:
        async with serving(accounts_file, SMALL | quickly, stderr=log.writing) as (service, gateway):
            log.fill()
            answer = await gateway.ask(MANY, keys=keys)
            reading = asyncio.create_task(log.read_to_end())
            await becomes(lambda: readiness(gateway), {"status": "ready"})
            await end(service)
            audited = sum(line["event"] == "lookup" for line in await reading)
    told = Counter(found["code"] for found in answer["data"]["executions"])
    assert 50 < audited < 500
    assert told == {"EXECUTION_NOT_FOUND": audited, "AUDIT_LOG_UNAVAILABLE": 500 - audited}


async def test_reader_gone(world: World, accounts_file: Path) -> None:
    """A reader that is gone can't come back; readiness reports that."""
    with pipe() as log:
        async with serving(accounts_file, stderr=log.writing) as (service, gateway):
            await check_answers(gateway, world)
            log.leave()
            await gateway.ask(LOOK_UP, key=to_input(place(world)))
            await becomes_not_ready(gateway, "the reader of stderr is gone")
            await check_refusals(service, gateway, world)
            await end(service)


@pytest.mark.parametrize(
    ("redirected", "number"),
    [
        pytest.param("2>/dev/full", errno.ENOSPC, id="full"),
        pytest.param("2>&-", errno.EBADF, id="closed"),
        pytest.param("0<&- 2>&-", errno.EBADF, id="stdin-too"),
    ],
)
@pytest.mark.variants(keep=1)
async def test_never_written(world: World, accounts_file: Path, redirected: str, number: int) -> None:
    """From the start: the service still starts, is not ready, and no connection becomes its stderr."""
    async with serving(accounts_file, redirected=redirected) as (service, gateway):
        await becomes_not_ready(gateway, f"stderr: {os.strerror(number)}")
        await check_refusals(service, gateway, world)
        closed = [0, 2] if "<" in redirected else [2]
        opened = {str(Path(f"/proc/{service.process.pid}/fd/{number}").readlink()) for number in closed}
        assert opened <= {"/dev/null", "/dev/full"}
        await end(service)


@pytest.mark.parametrize("settings", [{"audit_log_full": "count"}, {"audit_log": "false"}])
@pytest.mark.variants(keep=1)
async def test_never_written_and_served_all_the_same(
    world: World, accounts_file: Path, settings: dict[str, str]
) -> None:
    """With `count`, or without audit, from the start."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        async with serving(accounts_file, settings, stderr=full) as (service, gateway):
            await check_answers(gateway, world)
            await end(service)
    finally:
        os.close(full)


async def test_disk_full_and_with_room_again(world: World, accounts_file: Path, tmp_path: Path) -> None:
    """A full disk; once there is space, the truncated line is completed first, and no line is lost."""
    path = tmp_path / "log"
    with path.open("wb") as log:
        async with serving(accounts_file, stderr=log.fileno()) as (service, gateway):
            await check_answers(gateway, world)
            await until(lambda: b"http_request" in path.read_bytes())

            def bound(size: int) -> None:
                resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

            bound(path.stat().st_size + 100)  # within the next line
            await gateway.ask(LOOK_UP, key=to_input(place(world)))
            await becomes_not_ready(gateway, f"stderr: {os.strerror(errno.EFBIG)}")
            await check_refusals(service, gateway, world)
            bound(resource.RLIM_INFINITY)
            await becomes(lambda: readiness(gateway), {"status": "ready"})
            await check_answers(gateway, world)
            await becomes_in_grpc(service, _SERVING)
            await end(service)
    events = [line["event"] for line in lines(path.read_text())]
    assert events.count("lookup") == 3
    assert {"audit_log_unavailable", "audit_log_available", "stopped"} <= set(events)


OTHERS = """
import logging, os, sys, warnings
from transfer_gateway.telemetry import configure_logging, lines_queued

configure_logging("info", "json", audit=True)
with lines_queued(65536):
    logging.getLogger("uvicorn.error").error("theirs")
    warnings.warn("a warning")
    try:
        while True:
            os.write(2, b"x" * 4096 + b"\\n")  # as gRPC's core does
    except BlockingIOError:
        print("did not wait")
"""


def test_nobody_else_waits_either() -> None:
    """Libraries' lines and warnings are queued; direct writes to descriptor 2 fail instead of blocking."""
    with pipe() as log:
        ran = subprocess.run(  # noqa: S603  our own
            [sys.executable, "-c", OTHERS], check=True, stdout=subprocess.PIPE, stderr=log.writing, timeout=50
        )
        os.set_blocking(log.reading, False)
        told = os.read(log.reading, 1_000_000)
        assert os.get_blocking(log.writing)  # whoever shares it may want to wait
    assert ran.stdout == b"did not wait\n"
    assert b"xxxx" in told
