"""Clients that don't read or don't send: each costs little, and shutdown does not wait for them."""

from __future__ import annotations

import asyncio
import gc
import logging
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from doors import rpc
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import server
from wire import place, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

SERVICE = "/transfer_api.v1.ExecutionService"
GET, BATCH = f"{SERVICE}/GetExecution", f"{SERVICE}/BatchGetExecutions"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
DEFAULT_WINDOW = 65_535


class Client:
    """A minimal HTTP/2 client. It grants the server no more window than given at first.

    Source: RFC 9113.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._next_stream = 1
        self.answered: set[int] = set()
        self.ended: set[int] = set()
        self.statuses: dict[int, int] = {}

    def start(self, window_bytes: int) -> None:
        self._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window_bytes))

    def call(
        self, path: str, message: bytes | None = b"", *, part: int | None = None, ends: bool = False
    ) -> int:
        """Call a method. `part`: send only that many bytes of the message. Returns: the stream.

        With `message` None, sends none; `ends` closes the client's side nevertheless.
        """
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "x",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        flags = END_HEADERS | (END_STREAM if ends else 0)
        self._frame(HEADERS, flags, stream, b"".join(map(_literal, headers, headers.values())))
        if message is not None:
            body = b"\0" + struct.pack(">I", len(message)) + message
            sent = body if part is None else body[:part]
            for start in range(0, len(sent), 16_384):
                ends = part is None and start + 16_384 >= len(sent)
                self._frame(DATA, END_STREAM if ends else 0, stream, sent[start : start + 16_384])
        return stream

    async def read(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await self._reader.readexactly(9)
                body = await self._reader.readexactly(int.from_bytes(head[:3]))
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
                if kind in {SETTINGS, PING} and not flags & ACK:
                    self._frame(kind, ACK, 0, body if kind == PING else b"")
                _, found, status = body.partition(b"\x0bgrpc-status")
                if kind == HEADERS and found:  # it is written out where nothing else could be sent, too
                    self.statuses[stream] = int(status[1 : 1 + status[0]])
                if kind == DATA:
                    self.answered.add(stream)
                if kind == RESET or (kind in {DATA, HEADERS} and flags & END_STREAM):
                    self.ended.add(stream)

    def _frame(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        self._writer.write(struct.pack(">I", len(body))[1:] + bytes([kind, flags]))
        self._writer.write(struct.pack(">I", stream) + body)


def _literal(name: str, value: str) -> bytes:
    """A header in HPACK, as a literal."""
    return b"".join((b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))


@asynccontextmanager
async def hostile(service: server.Service, window_bytes: int = 0) -> AsyncIterator[Client]:
    host, _, port = service.grpc.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    client = Client(reader, writer)
    client.start(window_bytes)
    reading = asyncio.create_task(client.read())
    try:
        yield client
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def calls_open() -> int:
    """Calls for which grpc.aio has tasks."""
    return sum(task.get_name() == "rpc_task" for task in asyncio.all_tasks())


def batch(world: World, count: int) -> bytes:
    keys = [place(world) for _ in range(count)]
    return pb.BatchGetExecutionsRequest(
        keys=[
            execution_pb2.ExecutionKey(
                account_id=key.account_id,
                region=key.region,
                workflow_id=key.workflow_id,
                execution_id=key.execution_id,
            )
            for key in keys
        ]
    ).SerializeToString()


def lookup(world: World) -> bytes:
    asked = pb.BatchGetExecutionsRequest.FromString(batch(world, 1))
    return pb.GetExecutionRequest(key=asked.keys[0]).SerializeToString()


def rushing(settings: Callable[..., Settings], **overrides: object) -> Settings:
    """A service whose limits towards AWS allow as many calls as the tests need."""
    return settings(target_rate_per_s=10_000, target_burst=10_000, **overrides)


@pytest.mark.parametrize(
    ("window_bytes", "keys"), [(0, 1), (DEFAULT_WINDOW, 200)], ids=["no-window", "window-used-up"]
)
async def test_streams_that_nobody_reads(
    aws: Emulator, world: World, settings: Callable[..., Settings], window_bytes: int, keys: int
) -> None:
    """A stream ends at the request's deadline, read or not, and leaves nothing behind."""
    request = batch(world, keys)
    async with (
        server.running(rushing(settings, request_timeout_s=1)) as service,
        hostile(service, window_bytes) as client,
    ):
        streams = {client.call(BATCH, request) for _ in range(5)}
        await until(
            calls_open
        )  # not all five at once: on a busy machine the first ends before the last begins
        await until(lambda: calls_open() == 0)
        async with asyncio.timeout(60):
            while len(client.ended & streams) < 4:  # grpc keeps the very first call
                client.call("/none")  # and the last that it accepted until the next
                gc.collect()  # what a call that failed left may refer to itself
                await asyncio.sleep(0.2)  # on a busy machine it accepts the last of these five late
        await until(lambda: calls_open() == 0)


async def test_answers_that_nobody_reads(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """A response that its client doesn't read is dropped at the request's deadline."""
    request = lookup(world)
    async with (
        server.running(settings(request_timeout_s=1)) as service,
        hostile(service) as client,
    ):
        streams = {client.call(GET, request) for _ in range(5)}
        await until(calls_open)
        await until(lambda: calls_open() == 0)
        client.call("/none")
        await until(lambda: len(client.ended & streams) >= 4)
        await until(lambda: calls_open() == 0)


@pytest.mark.parametrize(
    ("message", "part", "ends"),
    [(None, None, False), (b"x" * 1000, 4, False), (b"x" * 1000, 500, False), (None, None, True)],
    ids=["none", "head", "half", "none-to-come"],
)
async def test_messages_that_never_come(
    aws: Emulator,
    settings: Callable[..., Settings],
    message: bytes | None,
    part: int | None,
    ends: bool,  # noqa: FBT001  a table's column
) -> None:
    """A call must send its message soon, long before the request's deadline."""
    async with (
        server.running(settings(grpc_message_timeout_s=2)) as service,
        hostile(service) as client,
    ):
        for path in (GET, BATCH, WATCH):
            client.call(path, message, part=part, ends=ends)
        await until(lambda: calls_open() == 3)
        await until(lambda: calls_open() == 0)


async def test_many_messages_that_never_come(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """Few calls may wait for their message at a time: others are dropped at once."""
    async with (
        server.running(settings(grpc_max_concurrent_rpcs=200, grpc_message_timeout_s=60)) as service,
        hostile(service) as client,
        rpc(service) as stub,
    ):
        for _ in range(190):
            client.call(GET, b"x" * 1000, part=100)
        await until(lambda: len(client.ended) >= 130 and calls_open() <= 50)
        await stub.GetExecution(pb.GetExecutionRequest.FromString(lookup(world)))


async def test_streams_that_need_no_token(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Health watches and reflection have few slots: the oldest is ended for the newest. Checks need none."""
    async with (
        server.running(settings(grpc_max_public_streams=2)) as service,
        hostile(service, DEFAULT_WINDOW) as client,
        grpc.aio.insecure_channel(service.grpc) as channel,
    ):
        first = client.call(WATCH)
        await until(lambda: first in client.answered)  # sooner, grpc would only say that it was cancelled
        client.call(WATCH)
        client.call(REFLECT, None)
        await until(lambda: first in client.ended)
        assert client.statuses[first] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        await until(lambda: calls_open() == 2)
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_has_its_time(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A reflection stream ends with the request timeout."""
    async with (
        server.running(settings(request_timeout_s=0.5)) as service,
        hostile(service, DEFAULT_WINDOW) as client,
    ):
        stream = client.call(REFLECT, None)
        await until(lambda: stream in client.ended)
        assert client.statuses[stream] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_bytes_that_one_caller_leaves_unread(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """The memory held by a caller's unread streams is limited, over all its connections."""
    request = batch(world, 300)  # some 0.3 MB in memory
    async with (
        server.running(rushing(settings, caller_max_unread_bytes=1_048_576)) as service,
        hostile(service) as client,
        hostile(service) as other,
    ):
        for each in (client, other):
            for _ in range(6):
                each.call(BATCH, request)
        await until(lambda: len(client.ended | {-stream for stream in other.ended}) >= 7)
        await until(lambda: 0 < calls_open() <= 5)


@pytest.mark.parametrize("path", [BATCH, GET, WATCH, REFLECT])
async def test_the_end_with_clients_that_do_not_read(
    aws: Emulator,
    world: World,
    settings: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    """The service shuts down within seconds although clients don't read, leaves no task, and logs no errors."""
    message = {BATCH: batch(world, 50), GET: lookup(world), WATCH: b"", REFLECT: b"\x3a\0"}[path]
    async with hostile_service(rushing(settings, shutdown_grace_s=60), path, message):
        pass
    assert calls_open() == 0
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@asynccontextmanager
async def hostile_service(settings: Settings, path: str, message: bytes) -> AsyncIterator[None]:
    """A service that shuts down within 5 s while clients that don't read are connected."""
    running = server.running(settings)
    service = await running.__aenter__()
    async with hostile(service) as client:
        for _ in range(5):
            client.call(path, message)
        await until(lambda: calls_open() == 5)
        yield
        async with asyncio.timeout(5):
            await running.__aexit__(None, None, None)
