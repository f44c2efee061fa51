"""Clients that don't read or don't send: each costs little, and shutdown does not wait for them."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from doors import rpc
from raw_http2 import DEFAULT_WINDOW, calls_open, hostile
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
