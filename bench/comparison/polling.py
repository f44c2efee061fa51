"""mixed poll: many clients that poll few executions every second."""

from __future__ import annotations

import asyncio
import json
import math
import resource
import sys
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools
import uvloop

from comparison.documents import LOOKUP
from comparison.sides import apollo, apollo_cached, gateway, gateway_quiet

if TYPE_CHECKING:
    from comparison.aws import Aws
    from comparison.processes import Running

CLIENTS, EXECUTIONS, SECONDS, WARM_UP_S = 5000, 500, 10, 3


@dataclass(frozen=True)
class Polled:
    """Responses per second, and their latency."""

    answers_per_s: float
    failures_per_s: float
    aws_calls_per_s: float
    cpu_share: float
    p50_ms: float
    p99_ms: float


def poll(aws: Aws) -> dict[str, Polled]:
    """Each client polls one of 500 executions once per second, with the default `maxAge` of a second."""
    many = max(resource.getrlimit(resource.RLIMIT_NOFILE))
    resource.setrlimit(resource.RLIMIT_NOFILE, (many, many))  # inherited by the sides
    found = {}
    for start in (gateway, gateway_quiet, apollo_cached, apollo):
        with start(aws) as side:
            found[side.name] = uvloop.run(_polled(aws, side))
            print(f"{side.name:22} {found[side.name]}", file=sys.stderr)
    return found


async def _polled(aws: Aws, side: Running) -> Polled:
    loop, took_s = asyncio.get_running_loop(), list[float]()
    url = urlsplit(side.url)
    assert url.hostname
    assert url.port
    spread = len(aws.keys) // EXECUTIONS
    requests = [
        _request(url.path or "/", {"key": key, "maxAge": 1}) for key in aws.keys[::spread][:EXECUTIONS]
    ]
    clients = []
    for number in range(CLIENTS):
        client = _Client(requests[number % EXECUTIONS], took_s)
        await loop.create_connection(lambda client=client: client, url.hostname, url.port)  # type: ignore[misc]
        clients.append(client)
    ticking = asyncio.create_task(_tick(clients))
    await asyncio.sleep(WARM_UP_S)
    await asyncio.to_thread(aws.reset)
    took_s.clear()
    cpu_s, started = side.cpu_s(), time.perf_counter()
    await asyncio.sleep(SECONDS)
    for_s, cpu_s = time.perf_counter() - started, side.cpu_s() - cpu_s
    answered = sorted(time_s for time_s in took_s if math.isfinite(time_s))
    calls = await asyncio.to_thread(aws.calls, "DescribeExecution")
    ticking.cancel()
    for client in clients:
        client.transport.close()
    return Polled(
        answers_per_s=len(answered) / for_s,
        failures_per_s=(len(took_s) - len(answered)) / for_s,
        aws_calls_per_s=calls / for_s,
        cpu_share=cpu_s / for_s,
        p50_ms=answered[len(answered) // 2] * 1000 if answered else math.nan,
        p99_ms=answered[len(answered) * 99 // 100] * 1000 if answered else math.nan,
    )


async def _tick(clients: list[_Client]) -> None:
    """A fiftieth of them sends a request every fiftieth of a second, always the same one."""
    start, turns = time.perf_counter(), 50
    for turn in count():
        await asyncio.sleep(max(0.0, start + turn / turns - time.perf_counter()))
        for client in clients[turn % turns :: turns]:
            client.ask()


class _Client(asyncio.Protocol):
    """Sends a request each time, unless it is still waiting for a response."""

    transport: asyncio.Transport

    def __init__(self, request: bytes, took_s: list[float]) -> None:
        self._request, self._took_s = request, took_s
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._asked_at = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by duck-typing only

    def ask(self) -> None:
        if not self._asked_at:
            self._asked_at = time.perf_counter()
            self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        took_s = time.perf_counter() - self._asked_at
        self._took_s.append(took_s if b'"__typename":"Execution"' in self._body else math.inf)
        self._body, self._asked_at = b"", 0.0


def _request(path: str, variables: object) -> bytes:
    body = json.dumps({"query": LOOKUP, "variables": variables}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
