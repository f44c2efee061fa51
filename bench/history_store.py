"""The history's store by itself: appending, and looking one execution up among many. On both databases.

    uv run python bench/history_store.py [--executions 1000000] [--only sqlite|postgresql]

Bars: by id under 3 ms at p95 with 1,000,000 executions; 1,000 events a second within 20 % of a core. CPU is this
process's, SQLite's threads included; PostgreSQL's own is told apart. Events come as a follower reads them: those of
two seconds at once, of executions that are in different steps.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from history_events import a_run, new_key, observed
from postgres import PostgresServer
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history import Targets
from transfer_gateway.history.store import HistoryStore, open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey

_BATCH = 2000
_LOOKUPS = 2000
REGION = Region("eu-west-1")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _account() -> str:
    return f"{random.randrange(1000):012d}"


async def _fill(store: HistoryStore, executions: int) -> list[ExecutionKey]:
    """Whole executions, as a back-fill reads them."""
    keys = [new_key(_account()) for _ in range(executions)]
    for at in range(0, executions, 250):
        await store.append(
            [one for key in keys[at : at + 250] for one in a_run(key, start_ms=at, first_id=at * 10)]
        )
    return keys


def _followed(seconds: float) -> Iterator[list[ExecutionEvent]]:
    """Batches as a follower reads them: an execution's eight events come in four of them."""
    waiting: list[list[ExecutionEvent]] = []
    for at in range(int(seconds / 2)):
        waiting += [
            a_run(new_key(_account()), start_ms=at * 2000, first_id=at * 10) for _ in range(_BATCH // 8)
        ]
        batch = [one for run in waiting for one in run[:2]]
        waiting = [run[2:] for run in waiting if run[2:]]
        random.shuffle(batch)
        yield batch


async def _timed(call: Callable[[ExecutionKey], Awaitable[object]], keys: Sequence[ExecutionKey]) -> str:
    took_ms, cpu_s = [], _cpu_s()
    for key in random.sample(keys, min(_LOOKUPS, len(keys))):
        started = time.perf_counter()
        await call(key)
        took_ms.append((time.perf_counter() - started) * 1000)
    points = quantiles(took_ms, n=100)
    cpu_ms = (_cpu_s() - cpu_s) * 1000 / len(took_ms)
    return f"p50 {points[49]:.2f} ms, p95 {points[94]:.2f} ms, p99 {points[98]:.2f} ms, {cpu_ms:.2f} ms CPU"


async def _measure(name: str, url: str, executions: int, seconds: float) -> None:
    async with open_store(url, max_bytes=2**40, retention_days=36_500, timeout_s=60) as store:
        started, cpu_s = time.perf_counter(), _cpu_s()
        keys = await _fill(store, executions)
        took_s, cpu_s = time.perf_counter() - started, _cpu_s() - cpu_s
        rate = executions * 8 / took_s
        cpu_us = cpu_s / executions / 8e-6
        print(
            f"{name}: back-fill of {executions:,} executions: {rate:,.0f} events/s, {cpu_us:.0f} µs CPU an event"
        )
        events, cpu_s, started = 0, _cpu_s(), time.perf_counter()
        for batch in _followed(seconds):
            await store.append(batch)
            events += len(batch)
        took_s, cpu_s = time.perf_counter() - started, _cpu_s() - cpu_s
        share = cpu_s / events * 1000
        print(
            f"{name}: following: {events / took_s:,.0f} events/s at most; 1,000 events/s take {share:.1%} of a core"
        )
        everywhere, many = (
            Targets(None),
            Targets(Target(AccountId(f"{at:012d}"), REGION) for at in range(40_000)),
        )
        calls: dict[str, Callable[[ExecutionKey], Awaitable[object]]] = {
            "records of one": lambda key: store.records([key]),
            "find by id": lambda key: store.find(key.execution_id, targets=everywhere),
            "find in 40,000 targets": lambda key: store.find(key.execution_id, targets=many),
            "observe one": lambda key: store.observe([observed(key)]),
        }
        for what, call in calls.items():
            print(f"{name}: {what}: {await _timed(call, keys)}")
        await store.prune()
        size = next(m.samples[0].value for m in store.collect() if m.name.endswith("store_size_bytes"))
        print(f"{name}: {size / executions:,.0f} bytes an execution of 8 events")


async def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60, help="of following, at 1,000 events a second")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    if arguments.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            await _measure("sqlite", f"sqlite://{folder}/history.db", arguments.executions, arguments.seconds)
    if arguments.only != "sqlite":
        with PostgresServer() as server:
            await _measure(
                "postgresql", await server.create_database(), arguments.executions, arguments.seconds
            )


if __name__ == "__main__":
    asyncio.run(_main())
