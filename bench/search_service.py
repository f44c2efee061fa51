"""Lists and searches by the running service, over HTTP, in front of an emulated AWS.

    uv run python bench/search_service.py [--only hanging|many] [--accounts 10000]

`hanging`: 100 executions run in 20 accounts, and all calls to another account hang. A page of what runs, with the
hanging account named, against the same page by AWS's lists (`maxAge: 0`); and AWS's calls while ten viewers poll and
while none does.

`many`: 10,000 accounts in 4 regions with 200,000 executions, of which 2,000 run. The history is filled before the
start, as a gateway leaves it that has followed for a day; the executions are of workflows that AWS has no longer. The
followers find out by themselves where their 40,000 targets log, and read on. Measured just after the start, once all is
covered, and after reloads of the policy and the accounts. The caller's policy hides the files of every tenth account.

Requests are sent by another process, and `/livez` by a third: the longest that it takes is how long the event loop was
blocked, or had no CPU. The emulated AWS runs in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rig import HOME, Rig, rig
from search import _REGIONS, _fill_sqlite, _rows

from transfer_emulator import (
    NO_QUIRKS,
    WORKFLOWS,
    Fault,
    FaultKind,
    Logging,
    SampleScenario,
    ScenarioSettings,
    World,
)
from transfer_emulator.scenario import WORKFLOWS_LOG_GROUP
from transfer_gateway.history.store import open_store

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from issuer import AUDIENCE, LocalIssuer, SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SCRIPTS = [replace(script, partial_from=None) for script in WORKFLOWS if script.logging is Logging.WORKFLOW][
    :1
]
_RUNS_S = 2000.0
_DAY_MS = 86_400_000
_VIEWERS, _POLL_S = 10, 1.0
_IN_PROGRESS = """query Running($maxAge: Float) { inProgressExecutions(first: 50, maxAge: $maxAge) {
  edges { node { id status startedAt stepsDone } } pageInfo { hasNextPage }
  targetFailures { accountId lastSuccessAt error { code } } } }"""
_SEARCH = """{ searchExecutions(filter: {}) {
  edges { node { id status startedAt durationS } } pageInfo { hasNextPage endCursor }
  coverageSummary { covered withGap total } } }"""
_FIND = """query Find($id: ExecutionId!) { findExecution(executionId: $id) {
  execution { id } targetsAsked targetFailures { accountId } } }"""


def body(query: str, **variables: object) -> str:
    return json.dumps({"query": query, "variables": variables})


def ask(url: str, bodies: list[str], token: str | None = None) -> tuple[list[float], dict[str, Any]]:
    """Send these one by one. Returns: how long each answer took, in ms, and the last one's data; {} if it failed."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    took_ms: list[float] = []
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        connection.connect()
        for each in bodies:
            started = time.perf_counter()
            connection.request("POST", "/graphql", each, headers)
            answer = connection.getresponse().read()
            took_ms.append((time.perf_counter() - started) * 1000)
            found = json.loads(answer)
            if found.get("errors"):
                failed = ", ".join(error["message"] for error in found["errors"])
                print(f"    failed after {took_ms[-1]:.0f} ms: {failed}", flush=True)
    return took_ms, found["data"] or {}


def look(url: str, seconds: float) -> float:
    """Returns: the longest that `/livez` took, in ms."""
    longest_s, until = 0.0, time.perf_counter() + seconds
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
        while (started := time.perf_counter()) < until:
            connection.request("GET", "/livez")
            connection.getresponse().read()
            longest_s = max(longest_s, time.perf_counter() - started)
            time.sleep(0.01)
    return longest_s * 1000


class Callers:
    """Processes that send requests, so that the emulated AWS does not delay them."""

    def __init__(self, pool: ProcessPoolExecutor, url: str, token: str | None = None) -> None:
        self._pool, self._url, self.token = pool, url, token

    async def ask(self, *bodies: str) -> tuple[list[float], dict[str, Any]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, ask, self._url, list(bodies), self.token)

    async def longest_block_ms(self, seconds: float) -> float:
        """The longest that `/livez` takes."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, look, self._url, seconds)

    async def measure(self, what: str, bodies: list[str], aim_ms: float) -> dict[str, Any]:
        """Print how long these took. The first one is apart."""
        took_ms, data = await self.ask(*bodies)
        points = quantiles(took_ms[1:], n=20)
        print(
            f"  {what}: p50 {points[9]:.1f} ms, p95 {points[18]:.1f} ms, first {took_ms[0]:.1f} ms "
            f"(aim {aim_ms:.0f})",
            flush=True,
        )
        return data


@asynccontextmanager
async def callers_of(gateway: Rig, token: str | None = None) -> AsyncIterator[Callers]:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        await asyncio.to_thread(lambda: list(pool.map(time.sleep, [1.0] * 3)))  # all start
        yield Callers(pool, gateway.url, token)


def world_of(accounts: int, regions: list[str]) -> World:
    """One workflow in each target, which logs itself, its server, and an idle server."""
    settings = ScenarioSettings(quirks=NO_QUIRKS, history_from=time.time() - 3600, is_automatic=False)
    world = World(HOME, regions, SampleScenario(7, _SCRIPTS, settings))
    for number in range(accounts):
        world.add_account(f"{number:012d}")
    return world


async def one_hangs(runs: int) -> None:
    world = world_of(21, ["eu-west-1"])
    hanging, *healthy = (account.account_id for account in world.accounts())
    for number in range(100):
        account_id = healthy[number % len(healthy)]
        workflow_id = next(iter(world.target(account_id, "eu-west-1").workflows))
        world.upload(account_id, "eu-west-1", workflow_id, time.time(), duration_s=_RUNS_S, seed=number)
    async with rig(
        21, ["eu-west-1"], world=world, HISTORY_URL="sqlite://", HISTORY_BACKFILL_HOURS="0.1"
    ) as gateway:
        gateway.aws.faults.add(Fault(FaultKind.HANG, account_id=hanging))
        async with callers_of(gateway) as callers:
            await asyncio.sleep(25)  # the followers have read, and know what hangs
            print("100 executions run in 20 accounts, and another account hangs")
            data = await callers.measure("page of what runs", [body(_IN_PROGRESS)] * (runs + 1), 50)
            page = data["inProgressExecutions"]
            named = [
                f"{it['accountId']} {it['error']['code']}, last success {it['lastSuccessAt']}"
                for it in page["targetFailures"]
            ]
            print(f"    {len(page['edges'])} rows; failed: {named}")
            took_ms, data = await callers.ask(*[body(_IN_PROGRESS, maxAge=0)] * 3)
            page = data["inProgressExecutions"]
            print(
                f"  the same by AWS's lists, maxAge 0: {', '.join(f'{it:.0f}' for it in took_ms)} ms; "
                f"{len(page['edges'])} rows; failed: {[it['accountId'] for it in page['targetFailures']]}"
            )
            await asyncio.sleep(65)  # nobody looks any more
            for viewers in (0, 1, _VIEWERS):
                await calls_of(gateway, hanging, viewers)


async def calls_of(gateway: Rig, hanging: str, viewers: int, seconds: float = 30.0) -> None:
    async def view() -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            await gateway.post(body(_IN_PROGRESS))
            await asyncio.sleep(_POLL_S)

    gateway.aws.calls.reset()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.sleep(seconds))
        for _ in range(viewers):
            tasks.create_task(view())
    calls: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for call, count in gateway.aws.calls.by_call().items():
        calls[call.account_id == hanging][call.operation] += count
    print(
        f"  AWS's calls in {seconds:.0f} s with {viewers} viewers: {dict(calls[False])}; "
        f"to the account that hangs: {dict(calls[True])}"
    )


async def fill(path: Path, accounts: int, executions: int) -> None:
    """The history as it is left by a gateway that has followed for a day."""
    async with open_store(
        f"sqlite://{path}", max_bytes=2**40, retention_days=36_500, timeout_s=60, pool_size=1
    ) as store:
        await store.kept_since()  # makes the tables
    await asyncio.to_thread(_fill_sqlite, path, _rows(executions, accounts, len(_REGIONS)))
    now_ms = int(time.time() * 1000)
    groups = (
        (f"{number:012d}", region, WORKFLOWS_LOG_GROUP, now_ms, now_ms - _DAY_MS, now_ms - _DAY_MS)
        for number, region in product(range(accounts), _REGIONS)
    )
    with closing(sqlite3.connect(path)) as database:
        database.executemany("INSERT INTO history_log_groups VALUES (?, ?, ?, ?, ?, ?)", groups)
        database.commit()


def policy_yaml(accounts: int, *, hidden_of: int) -> str:
    """All accounts, of which every tenth hides its files."""
    hidden = ", ".join(f'"{number:012d}"' for number in range(hidden_of, accounts, 10))
    shown = ", ".join(f'"{number:012d}"' for number in range(accounts) if number % 10 != hidden_of)
    return (
        f"rules:\n  - callers: {{ groups: [all] }}\n    accounts: {{ ids: [{shown}] }}\n"
        f"  - callers: {{ groups: [all] }}\n    accounts: {{ ids: [{hidden}] }}\n    hide: [initialFileLocation]\n"
    )


async def many_accounts(accounts: int, executions: int, runs: int, wait_s: float) -> None:
    targets = accounts * len(_REGIONS)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await fill(folder / "history.db", accounts, executions)
        policy = folder / "policy.yaml"
        policy.write_text(policy_yaml(accounts, hidden_of=0))
        issuer = await stack.enter_async_context(LocalIssuer(time.time, SigningKey("key-0")))
        started = time.perf_counter()
        gateway = await stack.enter_async_context(
            rig(
                accounts,
                _REGIONS,
                world=world_of(accounts, list(_REGIONS)),
                HISTORY_URL=f"sqlite://{folder}/history.db",
                AUTH="oidc",
                OIDC_ISSUERS=issuer.url,
                OIDC_AUDIENCES=AUDIENCE,
                POLICY_FILE=str(policy),
                ACCOUNTS_RELOAD_S="1",
                LOG_LEVEL="error",
            )
        )
        print(
            f"{targets:,} targets, {executions:,} executions; listening {time.perf_counter() - started:.1f} s "
            f"after the start, {gateway.memory_mb():.0f} MB"
        )
        token = issuer.token(groups=["all"])
        callers = await stack.enter_async_context(callers_of(gateway, token))
        print(" just after the start")
        await pages(gateway, callers, runs)
        covered = await until_covered(gateway, callers, wait_s)
        print(f" {covered:,} of {targets:,} targets covered")
        await pages(gateway, callers, runs)
        unknown = [body(_FIND, id=str(uuid.uuid4())) for _ in range(runs + 1)]
        found = (await callers.measure("an unknown id", unknown, 20))["findExecution"]
        print(f"    {found['targetsAsked']} targets asked")
        reads, used_s, wall_s = gateway.aws.calls.count(), gateway.cpu_s(), time.perf_counter()
        block_ms = await callers.longest_block_ms(30)
        wall_s = time.perf_counter() - wall_s
        print(
            f"  at rest: CPU {(gateway.cpu_s() - used_s) / wall_s:.2f} of a core, longest block {block_ms:.0f} ms, "
            f"{(gateway.aws.calls.count() - reads) / wall_s:.0f} calls per second, "
            f"{gateway.memory_mb('VmHWM'):.0f} MB at its peak"
        )
        listed = gateway.accounts_file.read_text()
        for what, file, text in (
            ("policy", policy, policy_yaml(accounts, hidden_of=1)),
            ("accounts", gateway.accounts_file, listed.replace('"000000000000"', '"000000099999"')),
        ):
            file.write_text(text)
            block = asyncio.create_task(callers.longest_block_ms(10))
            await asyncio.sleep(6)
            took_ms, _ = await callers.ask(body(_SEARCH))
            print(
                f"  after a reload of the {what}: first search {took_ms[0]:.0f} ms, longest block {await block:.0f} ms"
            )


async def pages(gateway: Rig, callers: Callers, runs: int) -> None:
    block = asyncio.create_task(callers.longest_block_ms(4))
    await asyncio.sleep(0.5)
    await callers.measure("first page of all", [body(_SEARCH)] * (runs + 1), 100)
    described = gateway.aws.calls.count(operation="DescribeExecution")
    data = await callers.measure("first page of what runs", [body(_IN_PROGRESS)] * (runs + 1), 100)
    page = data["inProgressExecutions"] if data else {"edges": (), "targetFailures": ()}
    print(
        f"    {len(page['edges'])} rows, {gateway.aws.calls.count(operation='DescribeExecution') - described} of them "
        f"described by AWS; {len(page['targetFailures'])} failures; longest block {await block:.0f} ms"
    )


async def until_covered(gateway: Rig, callers: Callers, wait_s: float) -> int:
    """Returns: how many targets are covered in the end."""
    until = time.perf_counter() + wait_s
    while True:
        gateway.aws.calls.reset()
        used_s, wall_s = gateway.cpu_s(), time.perf_counter()
        block_ms = await callers.longest_block_ms(30)
        wall_s = time.perf_counter() - wall_s
        calls = Counter[str]()
        for call, count in gateway.aws.calls.by_call().items():
            calls[call.operation] += count
        took_ms, data = await callers.ask(*[body(_SEARCH)] * 5)
        if not data and time.perf_counter() < until:  # the search failed, as has been printed
            continue
        coverage = data["searchExecutions"]["coverageSummary"]
        print(
            f"  {coverage['covered']:,} covered; CPU {(gateway.cpu_s() - used_s) / wall_s:.2f} of a core, "
            f"longest block {block_ms:.0f} ms, search {sorted(took_ms)[2]:.0f} ms, {gateway.memory_mb():.0f} MB, per "
            f"second: {', '.join(f'{count / wall_s:.0f} {name}' for name, count in calls.most_common())}",
            flush=True,
        )
        if not coverage["withGap"] or time.perf_counter() > until:
            covered: int = coverage["covered"]
            return covered


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["hanging", "many"])
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--executions", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--wait-s", type=float, default=1800.0, help="for all targets to be covered, at most")
    options = parser.parse_args()
    if options.only != "many":
        await one_hangs(options.runs)
    if options.only != "hanging":
        await many_accounts(options.accounts, options.executions, options.runs, options.wait_s)


if __name__ == "__main__":
    asyncio.run(main())
