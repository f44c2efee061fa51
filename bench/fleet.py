"""Replicas that share a history on PostgreSQL: what the same clients cost AWS, with one, two and four of them.

Clients ask for 500 executions in progress that are at most a second old, each request to another replica. Then many
ask at once for executions of one account, as fast as they can: its limit must hold for all replicas together. Debian's
PostgreSQL: POSTGRES_BIN=/usr/lib/postgresql/15/bin. Run: `uv run python bench/fleet.py`
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from dataclasses import replace

import aiohttp
from comparison.documents import MANY
from rig import rig

from postgres import PostgresServer
from transfer_emulator import WORKFLOWS, Logging, ScenarioSettings, demo_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rig import Rig

REGION = "us-east-1"
ACCOUNTS, EXECUTIONS = 10, 50
BATCH, EVERY_S = 50, 0.5
RATE_PER_S, WINDOW_S = 10.0, 5.0
AIMS = {"calls": 1.15, "limit": 1.1, "roles": 2}


@asynccontextmanager
async def replicas(first: Rig, count: int) -> AsyncIterator[tuple[list[str], list[int]]]:
    """The URLs of so many, of which the first runs already, and the ids of the others' processes."""
    async with AsyncExitStack() as stack:
        urls, pids = [first.url], []
        for _ in range(count - 1):
            process = await asyncio.create_subprocess_exec(
                Path(sys.executable).with_name("transfer-gateway"),
                "serve",
                "--http-port",
                "0",
                "--grpc-port",
                "0",
                env=first.environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.terminate)
            assert process.stdout is not None
            urls.append((await process.stdout.readline()).decode().split()[-1].removesuffix("/graphql"))
            pids.append(process.pid)
        yield urls, pids


async def ask(http: aiohttp.ClientSession, url: str, keys: Sequence[dict[str, str]], max_age: float) -> int:
    """Returns: how many were answered."""
    body = {"query": MANY, "variables": {"keys": keys, "maxAge": max_age}}
    async with http.post(f"{url}/graphql", json=body) as answer:
        read: Any = await answer.json()
    return sum(each["__typename"] == "Execution" for each in read["data"]["executions"])


async def poll(
    http: aiohttp.ClientSession, urls: Sequence[str], keys: Sequence[dict[str, str]], until: float
) -> int:
    """One client of so many executions."""
    answered = 0
    for url in itertools.cycle(urls):
        due = time.monotonic() + EVERY_S
        answered += await ask(http, url, keys, 1.0)
        if time.monotonic() >= until:
            return answered
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    return answered


async def polled(gateway: Rig, urls: Sequence[str], seconds: float) -> float:
    """DescribeExecution calls per second, for clients that each ask for 50 executions twice a second."""
    async with aiohttp.ClientSession() as http:
        batches = [gateway.keys[at : at + BATCH] for at in range(0, len(gateway.keys), BATCH)]
        turned = [[*urls[at % len(urls) :], *urls[: at % len(urls)]] for at in range(len(batches))]

        async def all_poll(for_s: float) -> int:
            until = time.monotonic() + for_s
            async with asyncio.TaskGroup() as tasks:
                polls = [
                    tasks.create_task(poll(http, urls, keys, until))
                    for urls, keys in zip(turned, batches, strict=True)
                ]
            return sum(each.result() for each in polls)

        await all_poll(5.0)  # each has seen each
        gateway.aws.calls.reset()
        started = time.monotonic()
        answered = await all_poll(seconds)
        took_s = time.monotonic() - started
        calls = gateway.aws.calls.count(operation="DescribeExecution")
    print(f"    {answered / took_s:.0f} answers and {calls / took_s:.0f} DescribeExecution per second")
    return calls / took_s


async def most_in_a_window(gateway: Rig, urls: Sequence[str], seconds: float) -> float:
    """The most calls per second in any 5 s that one account gets, while everybody wants more."""
    account = gateway.keys[0]["accountId"]
    keys = [key for key in gateway.keys if key["accountId"] == account][:20]
    counts: list[tuple[float, int]] = []
    async with aiohttp.ClientSession() as http:
        until = time.monotonic() + seconds

        async def hurry(url: str) -> None:
            while time.monotonic() < until:
                await ask(http, url, keys, 0.0)

        async def count() -> None:
            while time.monotonic() < until:
                calls = gateway.aws.calls.count(operation="DescribeExecution", account_id=account)
                counts.append((time.monotonic(), calls))
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(count())
            for url in urls:
                for _ in range(2):
                    tasks.create_task(hurry(url))
    most = 0
    for at, (began, before) in enumerate(counts):
        within = [calls for when, calls in counts[at:] if when - began <= WINDOW_S]
        most = max(most, within[-1] - before)
    return most / WINDOW_S


async def covered(server: PostgresServer, accounts: int, count: int) -> None:
    """How long it takes from the start until all targets are covered, in four regions, and what it takes."""
    regions = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2")
    settings = ScenarioSettings(duration_s=(5.0, 10.0, 20.0), history_from=time.time() - 60)
    world = demo_world(
        7, accounts, regions, settings, [replace(WORKFLOWS[0], every_s=600.0, logging=Logging.SERVER)]
    )
    url = await server.create_database()
    async with (
        rig(accounts, regions, world=world, HISTORY_URL=url, LOG_LEVEL="error") as first,
        replicas(first, count) as (urls, pids),
        aiohttp.ClientSession() as http,
    ):
        began, told = time.monotonic(), -1
        while told != len(urls) * (accounts - 1) * len(regions):  # one denies its role
            await asyncio.sleep(2.0)
            told = sum([await covered_by(http, each) for each in urls])
        memory = [vm_mb(pid) for pid in (first.pid, *pids)]
        print(
            f"{accounts:,} accounts in {len(regions)} regions, {count} replicas: all know that all are covered after "
            f"{time.monotonic() - began:.0f} s; {', '.join(f'{each:.0f}' for each in memory)} MB at the peak",
            flush=True,
        )


async def covered_by(http: aiohttp.ClientSession, url: str) -> int:
    body = {"query": "{ coverage(first: 1) { summary { covered } } }"}
    async with http.post(f"{url}/graphql", json=body) as answer:
        return int((await answer.json())["data"]["coverage"]["summary"]["covered"])


def vm_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--accounts", type=int, help="only how long it takes to cover so many, in four regions"
    )
    options = parser.parse_args()
    if options.accounts is not None:
        with PostgresServer(shared_buffers="512MB") as server:
            await covered(server, options.accounts, 2)
        return
    alone = 0.0
    with PostgresServer() as server:
        for count in options.replicas:
            url = await server.create_database()
            async with (
                rig(
                    ACCOUNTS,
                    [REGION],
                    executions=EXECUTIONS,
                    HISTORY_URL=url,
                    LOG_LEVEL="error",
                    TARGET_RATE_PER_S="200",
                    TARGET_BURST="200",
                    TARGET_MAX_IN_FLIGHT="200",
                ) as first,
                replicas(first, count) as (urls, _),
            ):
                await asyncio.sleep(3)  # each knows the others
                print(f"{count} replicas", flush=True)
                calls = await polled(first, urls, options.seconds)
                alone = alone or calls
                print(f"    {calls / alone:.2f} of the first's calls (aim {AIMS['calls']})", flush=True)
            async with (
                rig(
                    ACCOUNTS,
                    [REGION],
                    executions=EXECUTIONS,
                    HISTORY_URL=await server.create_database(),
                    LOG_LEVEL="error",
                    TARGET_RATE_PER_S=str(RATE_PER_S),
                    TARGET_BURST="4",  # in 5 s, 4 more than the rate
                ) as first,
                replicas(first, count) as (urls, _),
            ):
                await asyncio.sleep(3)  # as above
                most = await most_in_a_window(first, urls, options.seconds)
                roles = first.aws.calls.count(operation="AssumeRole")
                print(
                    f"    at most {most:.1f} calls per second in 5 s, of {RATE_PER_S:g} "
                    f"(aim {RATE_PER_S * AIMS['limit']:g}); {roles} AssumeRole",
                    flush=True,
                )


if __name__ == "__main__":
    asyncio.run(main())
