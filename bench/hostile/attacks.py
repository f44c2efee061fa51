"""Hostile clients, as a separate process: `python bench/hostile/attacks.py NAME[+NAME...]`.

Reads a `Target` as JSON from stdin. Runs until it is ended, and prints its counts every second. A client that loses its
connection reconnects a moment later, from the same address.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import grpc
from google.protobuf.json_format import ParseDict

sys.path.insert(0, str(Path(__file__).parents[1]))
from comparison.documents import MANY

from hostile import wire
from hostile.aws import (
    CHUNKED,
    DEEP,
    DENSE,
    HUGE,
    LOOPING_EXECUTIONS,
    LOOPING_WORKFLOWS,
    STEPS,
    hostile_key,
)
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub

_AGAIN_AFTER_S = 0.05
_MOST_BYTES = 300 * 2**20  # on one connection: enough to show, and no danger to the machine
_FRESH_ENOUGH_S = 3600.0  # snapshots answer
_SERVICE = "/transfer_api.v1.ExecutionService"
_LIST = """
query Looping($regions: [Region!]) {
  inProgressExecutions(first: 1000, filter: {regions: $regions, accountIds: ["000000000001"]}) {
    edges { node { id } } targetFailures { accountId }
  }
}
"""


@dataclass(frozen=True)
class Target:
    """The gateway to attack, and the credentials."""

    url: str
    grpc: str
    token: str
    keys: list[dict[str, str]]
    done: Counter[str] = field(default_factory=Counter)

    @property
    def http(self) -> tuple[str, int]:
        return wire.address_of(self.url)

    @property
    def rpc(self) -> tuple[str, int]:
        return wire.address_of(self.grpc)


Attack: TypeAlias = Callable[[Target], Coroutine[None, None, None]]
Client: TypeAlias = Callable[[socket.socket], Awaitable[None]]


async def _clients(
    target: Target,
    how_many: int,
    client: Client,
    *,
    door: tuple[str, int] | None = None,
    addresses: int = 1,
    again_after_s: float = _AGAIN_AFTER_S,
) -> None:
    """That many clients at a time, from that many addresses. Each reconnects when its connection ends."""

    async def again_and_again(source: str) -> None:
        while True:
            with suppress(OSError):
                connection = await wire.connect(door or target.http, source)
                target.done["connections"] += 1
                with connection:
                    await client(connection)
                    await wire.until_closed(connection)
            target.done["ended"] += 1
            await asyncio.sleep(again_after_s)

    async with asyncio.TaskGroup() as tasks:
        for number in range(how_many):
            tasks.create_task(again_and_again(f"127.0.1.{number % addresses + 1}"))
            await asyncio.sleep(0.001)


def _sends(target: Target, head: bytes, piece: bytes, times: int | None = None) -> Client:
    """A client that sends a head, then a piece that many times, or until it is disconnected."""

    async def client(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, head)
        for _ in range(_MOST_BYTES // len(piece) if times is None else times):
            await loop.sock_sendall(connection, piece)
            target.done["bytes"] += len(piece)
            await asyncio.sleep(0)

    return client


async def headers(target: Target) -> None:
    """A head with endless headers."""
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"a" * 100) for number in range(500))
    await _clients(target, 1, _sends(target, b"GET /livez HTTP/1.1\r\nhost: gateway\r\n", lines))


async def one_header(target: Target) -> None:
    """A header with an endless value, and one with an endless name."""
    head, piece = b"GET /livez HTTP/1.1\r\nhost: gateway\r\n", b"a" * 16384
    async with asyncio.TaskGroup() as tasks:
        for start in (b"x: ", b""):
            tasks.create_task(_clients(target, 1, _sends(target, head + start, piece)))


async def trailers(target: Target) -> None:
    """Endless trailers after a chunked body; and an endless chunk extension."""
    head = b"POST /graphql HTTP/1.1\r\nhost: gateway\r\ntransfer-encoding: chunked\r\n"
    head += b"content-type: application/json\r\nauthorization: Bearer " + target.token.encode() + b"\r\n\r\n"
    lines = b"".join(b"x-%d: %s\r\n" % (number, b"a" * 100) for number in range(500))
    async with asyncio.TaskGroup() as tasks:
        for start, piece in ((b"2\r\n{}\r\n0\r\n", lines), (b"2;", b"a" * 16384)):
            tasks.create_task(_clients(target, 1, _sends(target, head + start, piece)))


async def url(target: Target) -> None:
    """An endless URL, in small pieces."""
    await _clients(target, 1, _sends(target, b"GET /", b"a" * 4096))


async def pipeline(target: Target) -> None:
    """200,000 pipelined requests on one connection; no response is read."""
    piece = b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n" * 100
    await _clients(target, 1, _sends(target, b"", piece, times=2000))


async def _quiet(connection: socket.socket) -> None:
    """Half a head, or nothing, depending on the descriptor's number; then silence."""
    if connection.fileno() % 2:
        await asyncio.get_running_loop().sock_sendall(connection, b"GET /livez HTTP/1.1\r\nhost: gate")


async def idle(target: Target) -> None:
    """400 connections to the HTTP server that send nothing, or half a head."""
    await _clients(target, 400, _quiet, addresses=8, again_after_s=1.0)


async def idle_grpc(target: Target) -> None:
    """400 connections to the gRPC server that send nothing, or HTTP/1.1."""
    await _clients(target, 400, _quiet, door=target.rpc, addresses=8, again_after_s=1.0)


async def crowd(target: Target) -> None:
    """5,000 idle connections and 1,000 idle WebSockets from 50 addresses."""

    async def web_socket(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, wire.UPGRADE)
        await loop.sock_recv(connection, 4096)
        await loop.sock_sendall(connection, wire.ws_init(target.token))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_clients(target, 5000, _quiet, addresses=50, again_after_s=5.0))
        tasks.create_task(_clients(target, 1000, web_socket, addresses=50, again_after_s=5.0))


async def streams(target: Target) -> None:
    """BatchGetExecutions of 1,000 snapshots on four connections; no stream is read."""
    asked = {"keys": target.keys, "maxAge": f"{_FRESH_ENOUGH_S:.0f}s"}
    request = ParseDict(asked, pb.BatchGetExecutionsRequest())
    held: list[Any] = []
    channels = [
        grpc.aio.insecure_channel(target.grpc, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(4)
    ]
    stubs: list[Any] = [ExecutionServiceStub(channel) for channel in channels]  # untyped where asynchronous
    for number in count():
        call = stubs[number % 4].BatchGetExecutions(
            request, metadata=[("authorization", f"Bearer {target.token}")]
        )
        held.append(call)
        target.done["calls"] += 1
        target.done["ended"] = sum(call.done() for call in held)
        await asyncio.sleep(0.02 if number < 200 else 0.03)  # its quota: 200 at once, then 50 a second


async def unary(target: Target) -> None:
    """Lists and single executions over gRPC, on connections whose flow-control window is closed."""
    asked = {"key": target.keys[0], "maxAge": f"{_FRESH_ENOUGH_S:.0f}s"}
    single = ParseDict(asked, pb.GetExecutionRequest())
    listed = pb.ListExecutionsRequest(page_size=1000)

    async def client(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, wire.PREFACE + wire.h2_settings((wire.INITIAL_WINDOW_SIZE, 0)))
        for number in range(250):
            stream = 2 * number + 1
            path, message = (
                ("ListExecutions", listed.SerializeToString())
                if number % 10 == 0
                else ("GetExecution", single.SerializeToString())
            )
            await loop.sock_sendall(
                connection,
                wire.grpc_headers(f"{_SERVICE}/{path}", target.token, stream)
                + wire.grpc_message(message, stream),
            )
            target.done["calls"] += 1
            await asyncio.sleep(0.1)

    await _clients(target, 5, client, door=target.rpc)


async def paths(target: Target) -> None:
    """Calls with method names and tokens that are not UTF-8. They need no valid credentials."""

    async def client(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, wire.PREFACE + wire.h2_settings())
        for stream, path, token in ((1, f"{_SERVICE}/GetExecution", "x\udcbd"), (3, "/\udcbd", "x")):
            call = wire.grpc_headers(path, token, stream) + wire.grpc_message(b"", stream)
            await loop.sock_sendall(connection, call)
            target.done["calls"] += 1
        await asyncio.sleep(0.1)

    await _clients(target, 1, client, door=target.rpc)


async def sockets(target: Target) -> None:
    """Four WebSockets with 50 operations of 1,000 keys each; nothing is read."""
    operations = [
        wire.ws_subscribe(number, MANY, {"keys": target.keys, "maxAge": _FRESH_ENOUGH_S})
        for number in range(50)
    ]
    start = _open_socket(target)

    async def client(connection: socket.socket) -> None:
        await start(connection)
        for operation in operations:
            await asyncio.get_running_loop().sock_sendall(connection, operation)
            target.done["operations"] += 1

    await _clients(target, 4, client)


def _open_socket(target: Target) -> Client:
    async def client(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(connection, wire.UPGRADE)
        await loop.sock_recv(connection, 4096)
        await loop.sock_sendall(connection, wire.ws_init(target.token))
        await loop.sock_recv(connection, 4096)

    return client


def _sends_on_socket(target: Target, first: bytes, then: bytes) -> Client:
    start, send = _open_socket(target), _sends(target, first, then)

    async def client(connection: socket.socket) -> None:
        await start(connection)
        await send(connection)

    return client


async def pings(target: Target) -> None:
    """WebSockets that send PINGs and read no PONG."""
    await _clients(target, 2, _sends_on_socket(target, b"", wire.ws_frame(b"p" * 125, wire.PING) * 100))


async def fragments(target: Target) -> None:
    """A WebSocket message in endless fragments: empty ones, or of one byte each."""
    async with asyncio.TaskGroup() as tasks:
        for payload in (b"", b" "):
            first = wire.ws_frame(payload, last=False)
            then = wire.ws_frame(payload, wire.CONTINUATION, last=False) * 1000
            tasks.create_task(_clients(target, 1, _sends_on_socket(target, first, then)))


async def posts(target: Target) -> None:
    """GraphQL requests for 1,000 keys over HTTP, each on its own connection; no response is read."""
    numbers = count()

    async def client(connection: socket.socket) -> None:
        turn = next(numbers) % len(target.keys)  # each another request
        keys = target.keys[turn:] + target.keys[:turn]
        request = wire.post(MANY, {"keys": keys, "maxAge": _FRESH_ENOUGH_S}, target.token)
        await asyncio.get_running_loop().sock_sendall(connection, request)
        target.done["requests"] += 1

    await _clients(target, 200, client)


async def _ask(target: Target, requests: Iterator[bytes], every_s: float) -> None:
    """Sequential requests, each response read completely and discarded."""

    async def client(connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(
            connection, next(requests).replace(b"host: gateway", b"host: x\r\nconnection: close")
        )
        target.done["requests"] += 1
        while piece := await loop.sock_recv(connection, 2**16):
            target.done["bytes"] += len(piece)
        await asyncio.sleep(every_s)

    await _clients(target, 2, client)


async def answers(target: Target) -> None:
    """Requests for executions that a hostile AWS answers with 200 MB, 300,000 steps, or a million levels."""
    account_id = target.keys[0]["accountId"]

    def requests() -> Iterator[bytes]:
        for number in count(os.getpid()):
            for kind in (HUGE, STEPS, CHUNKED, DENSE, DEEP):
                key = hostile_key(account_id, kind, number)
                yield wire.post(MANY, {"keys": [key], "maxAge": 0}, target.token)

    await _ask(target, requests(), 0.2)


async def loops(target: Target) -> None:
    """Requests for lists whose NextToken never changes."""

    def requests() -> Iterator[bytes]:
        while True:
            for region in (LOOPING_WORKFLOWS, LOOPING_EXECUTIONS):
                yield wire.post(_LIST, {"regions": [region]}, target.token)

    await _ask(target, requests(), 0.2)


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        headers,
        one_header,
        trailers,
        url,
        pipeline,
        idle,
        idle_grpc,
        crowd,
        streams,
        unary,
        paths,
        sockets,
        pings,
        fragments,
        posts,
        answers,
        loops,
    )
}


async def _main(names: list[str]) -> None:
    target = Target(**json.load(sys.stdin))
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(ATTACKS[name](target))
        while True:
            print(json.dumps(target.done), flush=True)
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    os.nice(10)  # on few cores the bystanders' own clocks matter more
    asyncio.run(_main(sys.argv[1].split("+")))
