"""Clients that disconnect or send slowly, and the end of connections."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import QUERY, connected, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings
OURS, FOREIGN = "https://ops.example.com", "https://evil.example"


POST = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


BODY = b'{"query":"{__typename}"}'


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b'Content-Length: 100\r\n\r\n{"qu', id="within-the-body"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", id="bad-chunk"),
    ],
)
async def test_a_client_that_leaves(service: server.Service, rest: bytes) -> None:
    """An incomplete request is not an error of ours: one log line, with 499."""
    with capture_logs() as logged:
        async with connected(service.url) as (_, writer):
            writer.write(POST + rest)
            await writer.drain()
        await until(lambda: logged)
    assert [(entry["event"], entry["status"]) for entry in logged] == [("http_request", 499)]


async def test_a_client_that_does_not_wait(service: server.Service, world: World, aws: Emulator) -> None:
    """A client that disconnects ends the lookups: of 40 keys, those not requested from AWS yet never are."""
    keys = [to_input(place(world)) for _ in range(40)]
    query = "query($keys: [ExecutionKey!]!) { executions(keys: $keys) { __typename } }"
    body = json.dumps({"query": query, "variables": {"keys": keys}}).encode()
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    with capture_logs() as logged:
        async with connected(service.url) as (_, writer):
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await until(
                lambda: aws.calls.count(operation="DescribeExecution") == 16
            )  # at a time to one target
        await until(
            lambda: any(entry["event"] == "http_request" for entry in logged)
        )  # long before its time is up
    assert [entry["status"] for entry in logged if entry["event"] == "http_request"] == [499]
    assert aws.calls.count(operation="DescribeExecution") == 16


async def test_a_body_that_does_not_arrive(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A body must arrive within the request timeout; otherwise 408, and the connection is closed."""
    async with (
        server.running(settings(request_timeout_s=0.2)) as service,
        connected(service.url) as (reader, writer),
    ):
        writer.write(POST + b'Content-Length: 100\r\n\r\n{"qu')
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close" in head
    assert "0.2 s" in json.loads(body)["errors"][0]["message"]


async def test_idle_connections(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Idle connections are closed after the configured time, by default later than those of load balancers (60 s)."""
    request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with (
        server.running(settings(http_keepalive_s=1)) as service,
        connected(service.url) as (read, write),
    ):
        write.write(request)
        async with asyncio.timeout(30):
            assert (await read.read()).startswith(b"HTTP/1.1 200")  # to the end of the connection
    assert settings().http_keepalive_s > 60


async def test_a_slow_body(service: server.Service) -> None:
    """A body that arrives slowly is read completely."""
    async with connected(service.url) as (reader, writer):
        writer.write(POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY[:5])
        await asyncio.sleep(0.5)  # longer than the service waits before it looks whether its client has left
        writer.write(BODY[5:])
        async with asyncio.timeout(30):
            assert (await reader.read()).endswith(b'{"data":{"__typename":"Query"}}')


async def test_the_end_of_the_grace(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """Shutdown leaves no request unanswered: what hangs past the grace period gets 503."""
    body = json.dumps({"query": QUERY, "variables": {"key": to_input(place(world))}}).encode()
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    patient = settings(shutdown_grace_s=0.2, request_timeout_s=100, aws_read_timeout_s=100)
    async with AsyncExitStack() as stack:
        async with server.running(patient) as service:
            reader, writer = await stack.enter_async_context(connected(service.url))
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await until(lambda: aws.calls.count(operation="DescribeExecution"))
            ending = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - ending < 50
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("step", [1000, 7])
@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_upgrades_are_ignored(
    service: server.Service, caplog: pytest.LogCaptureFixture, offer: bytes, step: int
) -> None:
    """An offer to upgrade to another protocol has no effect; Java's HttpClient sends one with every POST."""
    length = b"Content-Length: %d\r\n" % len(BODY)
    offering = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % offer
    sent = POST + length + offering + b"\r\n" + BODY + POST + length + b"Connection: close\r\n\r\n" + BODY
    async with connected(service.url) as (reader, writer):
        for start in range(0, len(sent), step):
            writer.write(sent[start : start + step])
            await asyncio.sleep(0.001)  # so that most arrive alone
        async with asyncio.timeout(30):
            answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'{"data":{"__typename":"Query"}}') == 2
    assert caplog.messages == []
