"""What the GraphQL server costs: one nested execution from a snapshot, compared with plain Strawberry.

`uv run python bench/graphql_overhead.py`. Both have the same schema, core and snapshot; the other one uses Strawberry's
GraphQLRouter for FastAPI without options. Each server is a separate process pinned to one core, the client runs on
another, and they alternate. Prints requests per second and the server's CPU per request, as medians of the rounds.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import uvloop
from comparison.documents import LOOKUP
from rig import rig

ROUNDS, ROUND_S, CONCURRENCY, AIM = 7, 2.0, 64, 1 / 6

AS_IT_COMES = """
import asyncio, uvicorn, uvloop
from fastapi import FastAPI
from strawberry.fastapi import BaseContext, GraphQLRouter
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.build import build_core
from transfer_gateway.settings import AccountsFile, Settings
from transfer_gateway.telemetry import AwsCalls

class Context(BaseContext):
    pass

async def main():
    settings = Settings.from_environment()
    async with build_core(settings, AccountsFile(settings.accounts_file).load(), AwsCalls()) as core:
        def get_context():
            context = Context()
            context.reader = core.gateway.reader(AuditTrail(ANONYMOUS, "graphql", lambda: None))
            context.deadline = loop.time() + 10
            return context
        loop = asyncio.get_running_loop()
        app = FastAPI()
        app.include_router(GraphQLRouter(build_schema(), context_getter=get_context), prefix="/graphql")
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print("http://127.0.0.1:%d" % server.servers[0].sockets[0].getsockname()[1], flush=True)
        await serving

uvloop.run(main())
"""


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


async def load(url: str, body: bytes, for_s: float) -> int:
    """Send requests until the time is up. Returns: their number."""
    requests, end = 0, time.perf_counter() + for_s

    async def ask(http: aiohttp.ClientSession) -> None:
        nonlocal requests
        while time.perf_counter() < end:
            async with http.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                text = await answer.read()
                assert b'"__typename":"Execution"' in text.replace(b" ", b""), text
            requests += 1

    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(ask(http))
    return requests


async def main() -> None:
    async with rig(1, ["eu-west-1"], LOG_LEVEL="warning") as gateway:
        body = json.dumps({"query": LOOKUP, "variables": {"key": gateway.keys[0], "maxAge": 3600}}).encode()
        other = subprocess.Popen(  # noqa: ASYNC220  once, before anything runs
            [sys.executable, "-c", AS_IT_COMES], env=gateway.environment, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        try:
            sides = {
                "gateway": (gateway.pid, f"{gateway.url}/graphql"),
                "strawberry": (other.pid, other.stdout.readline().decode().strip() + "/graphql"),
            }
            for pid, _ in sides.values():
                pin(pid, 0)
            pin(os.getpid(), 1 % (os.cpu_count() or 1))
            for _, url in sides.values():
                await load(url, body, 1.0)
            await measure(sides, body)
        finally:
            other.terminate()
            other.wait()


async def measure(sides: dict[str, tuple[int, str]], body: bytes) -> None:
    rates: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (pid, url) in sides.items():
            before = cpu_s(pid)
            requests = await load(url, body, ROUND_S)
            rates[name].append(requests / ROUND_S)
            cpus[name].append((cpu_s(pid) - before) / requests * 1e6)
    for name in sides:
        rate, cpu = statistics.median(rates[name]), statistics.median(cpus[name])
        print(f"{name:10} {rate:6.0f} requests/s  {cpu:5.0f} µs CPU a request")
    ratio = statistics.median(cpus["gateway"]) / statistics.median(cpus["strawberry"])
    print(f"gateway / strawberry: {ratio:.3f} of the CPU, 1/{1 / ratio:.1f} (aim: at most 1/{1 / AIM:.0f})")


if __name__ == "__main__":
    uvloop.run(main())
