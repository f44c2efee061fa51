"""Callers that don't read: what waits for each is limited, and other callers are not affected."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket as sockets
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from transfer_gateway.api.unread import UnreadBytes
from wire import QUERY, Gateway, Socket, becomes, calling, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

MIB = 2**20
MANY = "query($keys: [ExecutionKey!]!) { executions(keys: $keys, maxAge: 3600) { ... on Execution { id workflowId } } }"


def test_the_oldest_entry_of_a_caller_is_evicted() -> None:
    """Over a caller's limit its own oldest response is evicted; over the total limit, the oldest of all."""
    ended: list[str] = []
    unread = UnreadBytes(max_bytes=100, max_bytes_per_caller=50)

    def add(caller: str, size: int, name: str) -> Any:
        return unread.add(caller, size, lambda: ended.append(name))

    add("b", 40, "b1")
    add("a", 30, "a1")
    read = add("a", 20, "a2")
    assert ended == []
    add("a", 20, "a3")
    assert ended == ["a1"]
    read.remove()
    read.remove()
    add("a", 30, "a4")
    assert ended == ["a1"]
    add("c", 50, "c1")
    assert ended == ["a1", "b1"]
    add("d", 50, "d1")
    assert ended == ["a1", "b1", "a3", "a4"]


async def metric(gateway: Gateway, name: str) -> float:
    text = (await gateway.send("GET", "/metrics")).body.decode()
    found = re.search(rf"^transfer_gateway_{name} (.*)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def has_ended_some(gateway: Gateway) -> bool:
    return await metric(gateway, "slow_clients_ended_total") > 0


async def nothing_waits(gateway: Gateway) -> bool:
    return await metric(gateway, "unread_bytes") == 0


async def ask_on(client: Socket, keys: list[dict[str, str]]) -> None:
    """Without reading anything."""
    for number in itertools.count():
        await client.subscribe(str(number), MANY, keys=keys)
        await asyncio.sleep(0.05)  # the pace of an eager client


async def test_answers_over_http_that_nobody_reads(
    aws: Emulator, settings: Callable[..., Settings], world: World
) -> None:
    """Connections are closed as soon as their caller leaves too much unread; others are served."""
    body = json.dumps({"query": MANY, "variables": {"keys": [to_input(place(world))] * 1000}})
    head = f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    request = f"{head}\r\n\r\n{body}".encode()
    async with (
        server.running(settings(caller_max_unread_bytes=MIB)) as service,
        calling(service.url) as gateway,
    ):
        at = urlsplit(service.url)
        writers: list[asyncio.StreamWriter] = []
        for _ in range(12):
            slow = sockets.socket()
            slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            slow.connect((at.hostname, at.port))
            _, writer = await asyncio.open_connection(sock=slow, limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it has one
            writer.write(request * 16)
            writers.append(writer)
        await becomes(lambda: has_ended_some(gateway), expected=True)
        assert "data" in await gateway.ask(MANY, keys=[to_input(place(world))])
        for writer in writers:
            writer.transport.abort()
        await becomes(lambda: nothing_waits(gateway), expected=True)


@pytest.mark.thorough
async def test_answers_over_websocket_that_nobody_reads(
    aws: Emulator, settings: Callable[..., Settings], world: World
) -> None:
    """The same over WebSocket."""
    keys = [to_input(place(world))] * 1000
    async with (
        server.running(settings(caller_max_unread_bytes=MIB, caller_rows_burst=10**9)) as service,
        calling(service.url) as gateway,
        AsyncExitStack() as stack,
    ):
        clients = [
            await stack.enter_async_context(socket(service.url, max_queue=1, max_size=2**24))
            for _ in range(12)
        ]
        for client in clients:
            client.connection.transport.pause_reading()

        async def ask(client: Socket) -> None:
            with suppress(ConnectionClosed):
                await ask_on(client, keys)

        asking = [asyncio.create_task(ask(client)) for client in clients]
        await becomes(lambda: has_ended_some(gateway), expected=True)
        assert "data" in await gateway.ask(MANY, keys=[to_input(place(world))])
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        for client in clients:
            client.connection.transport.abort()  # else each waits 10 s for the peer's goodbye, unread as it is


async def test_a_message_that_is_not_read_in_time(
    aws: Emulator, settings: Callable[..., Settings], world: World
) -> None:
    """A WebSocket whose peer reads nothing for the request timeout is closed."""
    keys = [to_input(place(world))] * 1000
    async with (
        server.running(settings(request_timeout_s=1)) as service,
        calling(service.url) as gateway,
        socket(service.url, max_queue=1, max_size=2**24) as client,
    ):
        client.connection.transport.pause_reading()
        with pytest.raises(ConnectionClosed):
            await ask_on(client, keys)
        await becomes(lambda: nothing_waits(gateway), expected=True)


async def test_operations_of_a_connection(service: server.Service, world: World, aws: Emulator) -> None:
    """A WebSocket may have 50 concurrent operations; one more is rejected."""
    async with socket(service.url) as client:
        aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
        for number in range(51):
            await client.subscribe(str(number), QUERY, key=to_input(place(world)), maxAge=0)
        refused = await client.next()
        assert (refused["id"], refused["type"]) == ("50", "error")
        assert refused["payload"][0]["extensions"]["code"] == "THROTTLED"
