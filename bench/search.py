"""Searching in the history: pages and counts among many executions. On both databases.

    uv run python bench/search.py [--executions 1000000] [--accounts 1000] [--only sqlite|postgresql]

Debian's PostgreSQL has the index of trigrams that the tests' has not: POSTGRES_BIN=/usr/lib/postgresql/15/bin.
Bars with 1,000,000 executions and half of 1,000 accounts visible, at p95: part of a file's name 60 ms on PostgreSQL,
300 ms on SQLite; the first page of what runs 20 ms; counts 100 ms. 10,000,000 on PostgreSQL: 150 ms. With 10,000
accounts in 4 regions: the first page 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from postgres import PostgresServer
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import AccountId, Region, Target, WorkflowId
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.history import SearchScope
from transfer_gateway.history.codec import dump
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.tables import State, executions, texts
from transfer_gateway.history.texts import texts_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_NOW_MS = int(time.time() * 1000)
_SPREAD_MS = 30 * 86_400_000
_RUNNING = 2000
_WORDS = [
    "claims",
    "invoices",
    "orders",
    "payroll",
    "statements",
    "remittance",
    "customs",
    "manifest",
    "telemetry",
    "backup",
]
_REGIONS = [Region(name) for name in ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2")]
_EVENTS = 2
_UNMEASURED = 4
_SHARED_BUFFERS = "2GB"  # more than 1,000,000 executions take; PostgreSQL's default is 128 MB
_BATCH = 20_000


def _rows(count: int, accounts: int, regions: int) -> Iterator[dict[str, Any]]:
    lots = random.Random(20)
    for at in range(count):
        began_at = _NOW_MS - (count - at) * _SPREAD_MS // count
        lasted_ms = int(lots.expovariate(1 / 30_000)) + 500
        state = (
            State.IN_PROGRESS
            if count - at <= _RUNNING
            else lots.choices([State.COMPLETED, State.EXCEPTION, State.IN_PROGRESS], [0.97, 0.02, 0.01])[0]
        )
        ended_at = None if state is State.IN_PROGRESS else min(began_at + lasted_ms, _NOW_MS)
        last_at = _NOW_MS if count - at <= _RUNNING else began_at + lasted_ms
        word = lots.choice(_WORDS)
        file = f"inbound/partner-{lots.randrange(500)}/2026/{word}-{lots.getrandbits(32):08x}.csv"
        yield {
            "id": at + 1,
            "account_id": f"{lots.randrange(accounts):012d}",
            "region": _REGIONS[lots.randrange(regions)],
            "workflow_id": f"w-{lots.randrange(50):017x}",
            "execution_id": str(UUID(int=lots.getrandbits(128))),
            "event_count": _EVENTS,
            "last_at": last_at,
            "started_at": began_at,
            "ended_at": ended_at,
            "status": None if ended_at is None else state.name,
            "user_name": f"user-{lots.randrange(5000)}",
            "server_id": f"s-{lots.randrange(200):017x}",
            "session_id": f"{lots.getrandbits(64):016x}",
            "file_location": dump({"s3": ("inbox", file, None, None)}),
            "error_type": "NOT_FOUND" if state is State.EXCEPTION else None,
            "error_message": None,
            "observed": None,
            "observed_first_at": None,
            "observed_last_at": None,
            "observed_state": None,
            "answer_seq": None,
            "answer_digest": None,
            "state": int(state),
            "began_at": began_at,
            "lasted_ms": last_at - began_at,
        }


_ADD_EVENTS = (
    "INSERT INTO history_events (execution, event_id, occurred_at, body) "
    "SELECT id, 'event-' || id || '-' || number, began_at + number, "
    """'{"observed_at":1,"source":"LOG","kind":"' || """
    "CASE number WHEN 0 THEN 'ExecutionStarted' ELSE 'StepStarted' END || "
    """'","step":"copy","file":' || file_location || ',"upload":["' || user_name || '",null,null]}' """
    "FROM history_executions, (SELECT 0 AS number UNION ALL SELECT 1) AS numbers"
)


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    names = [column.name for column in executions.c]
    while batch := list(islice(rows, _BATCH)):
        yield (
            [tuple(row[name] for name in names) for row in batch],
            [tuple(texts_row(row["id"], row).values()) for row in batch],
        )


def _fill_sqlite(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        for batch, folded in _batches(rows):
            database.execute("BEGIN")
            for table, values in ((executions, batch), (texts, folded)):
                marks = ", ".join("?" * len(table.c))
                database.executemany(f"INSERT INTO {table.name} VALUES ({marks})", values)  # noqa: S608  ours
            database.execute("COMMIT")
        database.execute(_ADD_EVENTS)


async def _fill_postgres(server: PostgresServer, url: str, rows: Iterator[dict[str, Any]]) -> None:
    connection = await server.connect(url.split("?", maxsplit=1)[0].rpartition("/")[2])
    found = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE '%\\_trigrams'"
    )
    for name, _ in found:
        await connection.execute(f"DROP INDEX {name}")  # faster made at once
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for batch, folded in _batches(rows):
        for table, values in ((executions, batch), (texts, folded)):
            columns = [column.name for column in table.c]
            await connection.copy_records_to_table(table.name, records=values, columns=columns)
    await connection.execute(_ADD_EVENTS)
    for _, definition in found:
        await connection.execute(definition)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _timed(what: str, calls: int, call: Callable[[], Awaitable[object]]) -> None:
    took_ms: list[float] = []
    result: object = None
    try:
        for _ in range(_UNMEASURED):  # each connection prepares its statements
            await call()
        for _ in range(calls):
            started = time.perf_counter()
            result = await call()
            took_ms.append((time.perf_counter() - started) * 1000)
    except GatewayError as error:  # a result of its own
        print(f"    {what}: {error}", flush=True)
        return
    points = quantiles(took_ms, n=20)
    print(f"    {what}: p50 {points[9]:.1f} ms, p95 {points[18]:.1f} ms   {result}", flush=True)


async def _measure(store: HistoryStore, accounts: int, regions: int, calls: int) -> None:
    lots = random.Random(7)
    everything = [
        Target(AccountId(f"{at:012d}"), region) for at in range(accounts) for region in _REGIONS[:regions]
    ]
    scopes = {
        f"all {len(everything):,} targets": everything,
        "half of them": everything[::2],
        "3 accounts": everything[: 3 * regions],
        "300 quiet ones, of which nothing is known": [
            Target(AccountId(f"9{at:011d}"), _REGIONS[0]) for at in range(300)
        ],
    }
    newest = SearchOrder.NEWEST_FIRST
    failed, of_user = (ExecutionStatus.EXCEPTION,), SearchFilter(user_names=("user-77",))
    of_server = SearchFilter(server_ids=(f"s-{7:017x}",))
    of_workflow = SearchFilter(workflow_ids=(WorkflowId(f"w-{7:017x}"),))

    def rare() -> str:
        return f"-{lots.getrandbits(16):04x}"

    for name, targets in scopes.items():
        started = time.perf_counter()
        scope = SearchScope.of({frozenset(): targets})
        print(f"  {name} (made in {(time.perf_counter() - started) * 1000:.0f} ms)")

        async def page(wanted: SearchFilter, order: SearchOrder = newest, scope: SearchScope = scope) -> str:
            rows = await store.search(scope, wanted, order, first=50, as_of_ms=_NOW_MS)
            return f"{len(rows.rows)} rows"

        async def count(wanted: SearchFilter, scope: SearchScope = scope) -> str:
            counts = await store.count(scope, wanted, as_of_ms=_NOW_MS)
            return f"{sum(counts.counts.values()):,}{'' if counts.is_exact else '+'}"

        todo: dict[str, Callable[[], Awaitable[object]]] = {
            "first page": lambda: page(SearchFilter()),
            "oldest": lambda: page(SearchFilter(), SearchOrder.OLDEST_FIRST),
            "longest": lambda: page(SearchFilter(), SearchOrder.LONGEST_FIRST),
            "running": lambda: page(SearchFilter(running=True)),
            "running, longest": lambda: page(SearchFilter(running=True), SearchOrder.LONGEST_FIRST),
            "failed": lambda: page(SearchFilter(statuses=failed)),
            "file, rare": lambda: page(SearchFilter(file_name=rare())),
            "file, 1 of 500": lambda: page(SearchFilter(file_name=f"partner-{lots.randrange(100, 500)}/")),
            "file, 1 of 10": lambda: page(SearchFilter(file_name=lots.choice(_WORDS))),
            "file, unknown": lambda: page(SearchFilter(file_name="nothing-has-this")),
            "text, rare": lambda: page(SearchFilter(text=rare())),
            "text, part of an id": lambda: page(SearchFilter(text=f"{lots.getrandbits(20):05x}")),
            "text, longest": lambda: page(SearchFilter(text=lots.choice(_WORDS)), SearchOrder.LONGEST_FIRST),
            "text, one letter": lambda: page(SearchFilter(text="q")),
            "text, two unknown": lambda: page(SearchFilter(text="%_")),
            "user": lambda: page(of_user),
            "server": lambda: page(of_server),
            "workflow": lambda: page(of_workflow),
            "count all": lambda: count(SearchFilter()),
            "count running": lambda: count(SearchFilter(running=True)),
            "count failed": lambda: count(SearchFilter(statuses=failed)),
            "count file, rare": lambda: count(SearchFilter(file_name=rare())),
            "count file, 1 of 10": lambda: count(SearchFilter(file_name=lots.choice(_WORDS))),
            "count user": lambda: count(of_user),
            "count server": lambda: count(of_server),
            "count workflow": lambda: count(of_workflow),
        }
        for what, call in todo.items():
            await _timed(what, calls, call)


async def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=1, choices=range(1, 5))
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    shape = (arguments.accounts, arguments.regions)
    options: dict[str, Any] = {"max_bytes": 2**40, "retention_days": 36_500, "timeout_s": 60}
    if arguments.only != "postgresql":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.db"
            async with open_store(f"sqlite://{path}", **options) as store:
                await store.kept_since()
                started = time.perf_counter()
                await asyncio.to_thread(_fill_sqlite, path, _rows(arguments.executions, *shape))
                print(
                    f"sqlite: filled in {time.perf_counter() - started:.0f} s, {path.stat().st_size:,} bytes",
                    flush=True,
                )
                await _measure(store, *shape, arguments.calls)
    if arguments.only != "sqlite":
        with PostgresServer(shared_buffers=_SHARED_BUFFERS) as server:
            url = await server.create_database()
            started = time.perf_counter()
            await _fill_postgres(server, url, _rows(arguments.executions, *shape))
            print(f"postgresql: filled in {time.perf_counter() - started:.0f} s", flush=True)
            async with open_store(url, **options) as store:
                await _measure(store, *shape, arguments.calls)


if __name__ == "__main__":
    asyncio.run(_main())
