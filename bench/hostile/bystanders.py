"""Clients that an attack must not affect, as separate processes: `python bench/hostile/bystanders.py callers|prober`.

Reads a `Place` as JSON from stdin. Prints each response as a `Sample`: when the request was due (in the machine's
monotonic clock), by which client, how long after that the response arrived, and what was wrong with it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import aiohttp
import grpc
from google.protobuf.json_format import ParseDict

sys.path.insert(0, str(Path(__file__).parents[1]))
from comparison.documents import LOOKUP

from hostile import wire
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub

HTTP, GRPC, NEW_HTTP, NEW_GRPC, LIVEZ = "HTTP", "gRPC", "new HTTP", "new gRPC", "/livez"
CALLER_EVERY_S, NEWCOMER_EVERY_S, PROBE_EVERY_S = 1 / 40, 0.5, 0.05
_PATIENCE_S = 10.0
_FRESH_ENOUGH_S = 3600.0  # snapshots answer
_PROBE = b"GET /livez HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True)
class Place:
    """The gateway's addresses, and a token, and so a quota, for each server's caller."""

    url: str
    grpc: str
    tokens: list[str]
    keys: list[dict[str, str]]


class Sample(NamedTuple):
    at: float
    who: str
    took_s: float
    wrong: str


Ask: TypeAlias = Callable[[int], Awaitable[str]]


async def _steadily(who: str, every_s: float, ask: Ask) -> None:
    """Send requests at that rate, whether responses arrive or not; a late one's latency counts from when it was due."""
    loop = asyncio.get_running_loop()
    due = loop.time()

    async def once(number: int, since: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                wrong = await ask(number)
        except (OSError, aiohttp.ClientError, grpc.aio.AioRpcError, TimeoutError, ValueError) as error:
            wrong = f"{type(error).__name__}: {_details(error)}"
        print(json.dumps(Sample(since, who, time.monotonic() - since, wrong)), flush=True)

    async with asyncio.TaskGroup() as tasks:
        for number in count():
            tasks.create_task(once(number, due))
            due += every_s
            await asyncio.sleep(due - loop.time())


def _details(error: Exception) -> str:
    return f"{error.code().name} {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)


async def _graphql(http: aiohttp.ClientSession, place: Place, token: str, number: int) -> str:
    key = place.keys[number % len(place.keys)]
    body = {"query": LOOKUP, "variables": {"key": key, "maxAge": _FRESH_ENOUGH_S}}
    headers = {"authorization": f"Bearer {token}"}
    async with http.post(f"{place.url}/graphql", json=body, headers=headers) as answer:
        text = await answer.text()
    found = answer.status == 200 and json.loads(text).get("data", {}).get("executionOrError", {}).get(
        "executionId"
    )
    return "" if found == key["executionId"] else f"{answer.status} {text[:300]}"


async def _rpc(stub: Any, place: Place, token: str, number: int) -> str:  # noqa: ANN401  its methods have no types
    key = place.keys[number % len(place.keys)]
    asked = ParseDict({"key": key, "maxAge": f"{_FRESH_ENOUGH_S:.0f}s"}, pb.GetExecutionRequest())
    answer = await stub.GetExecution(
        asked, metadata=[("authorization", f"Bearer {token}")], timeout=_PATIENCE_S
    )
    return "" if answer.execution.execution_id == key["executionId"] else "another execution"


async def callers(place: Place) -> None:
    """A caller of each server with a persistent connection, and one that reconnects each time."""
    channel = grpc.aio.insecure_channel(place.grpc)
    stub = ExecutionServiceStub(channel)

    async def new_http(number: int) -> str:
        async with aiohttp.ClientSession() as http:
            return await _graphql(http, place, place.tokens[2], number)

    async def new_grpc(number: int) -> str:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(place.grpc, alone) as channel:
            return await _rpc(ExecutionServiceStub(channel), place, place.tokens[2], number)

    async with channel, aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        tasks.create_task(
            _steadily(HTTP, CALLER_EVERY_S, lambda number: _graphql(http, place, place.tokens[0], number))
        )
        tasks.create_task(
            _steadily(GRPC, CALLER_EVERY_S, lambda number: _rpc(stub, place, place.tokens[1], number))
        )
        tasks.create_task(_steadily(NEW_HTTP, NEWCOMER_EVERY_S, new_http))
        tasks.create_task(_steadily(NEW_GRPC, NEWCOMER_EVERY_S, new_grpc))


async def prober(place: Place) -> None:
    """/livez as the kubelet requests it: on a new connection each time."""
    host, port = wire.address_of(place.url)

    async def probe(_number: int) -> str:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(_PROBE)
            answer = await reader.read()
        finally:
            writer.close()
        return "" if answer.startswith(b"HTTP/1.1 200") else repr(answer[:100])

    await _steadily(LIVEZ, PROBE_EVERY_S, probe)


if __name__ == "__main__":
    asyncio.run({"callers": callers, "prober": prober}[sys.argv[1]](Place(**json.load(sys.stdin))))
