"""The history while 1,000 accounts with two log groups each have 200 executions per second altogether.

From when CloudWatch has the entry of an execution's end to when the history has it, and what the gateway needs. One
account's logs hang, another's are denied: the others must not notice. The emulated AWS runs on the same machine, in
this process. Run: `uv run python bench/history.py`
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import math
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rig import Rig, rig

from transfer_emulator import (
    WORKFLOWS,
    Fault,
    FaultKind,
    Logging,
    LogQuirks,
    ScenarioSettings,
    World,
    demo_world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"
AIMS = {"latency": 5.0, "core": 0.5, "memory": 300.0}
LOOK_EVERY_S = 0.25


def world_of(accounts: int, executions_per_s: float) -> World:
    """Two workflows in each account: one logs itself, one by its server."""
    payments, claims = WORKFLOWS[:2]
    every_s = 2 * accounts / executions_per_s
    scripts = (
        dataclasses.replace(payments, every_s=every_s, logging=Logging.SERVER),
        dataclasses.replace(claims, every_s=every_s, logging=Logging.WORKFLOW, partial_from=None),
    )
    settings = ScenarioSettings(
        duration_s=(5.0, 10.0, 20.0), history_from=time.time() - 60, quirks=LogQuirks(lag_s=(0.5, 2.0))
    )
    return demo_world(7, accounts, (REGION,), settings, scripts)


async def watch(path: Path, seconds: float) -> dict[str, float]:
    """When each execution's end was first seen in the history's file, by its id."""
    seen: dict[str, float] = {}
    last = 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            since = last - 120_000
            rows = file.execute(
                "SELECT execution_id, ended_at FROM history_executions WHERE last_at > ? AND ended_at IS NOT NULL",
                (since,),
            ).fetchall()
            now = time.time()
            for execution_id, ended_at in rows:
                seen.setdefault(execution_id, now)
                last = max(last, ended_at)
            await asyncio.sleep(LOOK_EVERY_S)
    return seen


def latencies(world: World, seen: dict[str, float], since: float, until: float) -> Iterator[float]:
    """Seconds from the arrival of each end in the log to the history; infinity for those that are missing."""
    for account in world.accounts()[2:]:
        for upload in world.history(since - 60, until, account.account_id, REGION):
            if not upload.execution_id or not since <= upload.ended_at <= until:
                continue
            groups = {name for name, mechanism in upload.destinations if mechanism != "sessions"}
            readable = [world.end_readable_at(upload, name) for name in groups]
            arrived = min((at for at in readable if at is not None), default=None)
            if arrived is not None and since <= arrived <= until - 10:
                yield seen.get(upload.execution_id, math.inf) - arrived


async def measure(gateway: Rig, world: World, path: Path, options: argparse.Namespace) -> None:
    hanging, denied = (account.account_id for account in world.accounts()[:2])
    gateway.aws.faults.add(Fault(FaultKind.HANG, service="logs", account_id=hanging))
    gateway.aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=denied))
    await asyncio.sleep(options.warm_up_s)
    gateway.aws.calls.reset()
    cpu_s, started, since = gateway.cpu_s(), time.perf_counter(), time.time()
    seen = await watch(path, options.seconds)
    wall_s, used_s = time.perf_counter() - started, gateway.cpu_s() - cpu_s
    reads = gateway.aws.calls.count(operation="FilterLogEvents")
    peak_mb = gateway.memory_mb("VmHWM")
    waited = sorted(latencies(world, seen, since, since + options.seconds))
    lost = sum(math.isinf(each) for each in waited)
    print(f"{len(waited)} ends, {lost} not seen; {reads / wall_s:.0f} reads per second")
    p50, p95, p99 = (waited[int(len(waited) * share)] for share in (0.5, 0.95, 0.99))
    print(f"from log to history: p50 {p50:.2f} s, p95 {p95:.2f} s (aim {AIMS['latency']}), p99 {p99:.2f} s")
    print(f"CPU {used_s / wall_s:.2f} of a core (aim {AIMS['core']})")
    print(f"memory {gateway.memory_mb():.0f} MB, {peak_mb:.0f} MB at its peak (aim {AIMS['memory']:.0f})")
    print(f"mean of the lags: {statistics.fmean(each for each in waited if not math.isinf(each)):.2f} s")


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--executions-per-s", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-up-s", type=float, default=90.0)
    options = parser.parse_args()
    world = world_of(options.accounts, options.executions_per_s)
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "history.db")
        async with rig(
            options.accounts,
            [REGION],
            world=world,
            HISTORY_URL=f"sqlite://{path}",
            HISTORY_BACKFILL_HOURS="0.1",
            LOG_LEVEL="error",
        ) as gateway:
            await measure(gateway, world, path, options)


if __name__ == "__main__":
    asyncio.run(main())
