"""A search is bounded: it reads an index, it is stopped after a while, and what it is given is taken literally."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import pytest
import sqlalchemy as sa

from history_events import START, a_run, event, new_key
from postgres import both_databases
from transfer_gateway.domain.errors import DeadlineExceeded
from transfer_gateway.domain.event import EventKind
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.history import SearchScope
from transfer_gateway.history.codec import to_ms
from transfer_gateway.history.search import SearchBudget
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.trigrams import HAS_INDEX, Trigrams
from wire import until

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.time_limit import TimeLimit

NOW_MS = to_ms(START) + 1_000_000
REGION = Region("eu-west-1")
HERE = SearchScope.of({frozenset(): [new_key().target]})
NEWEST, LONGEST = SearchOrder.NEWEST_FIRST, SearchOrder.LONGEST_FIRST
FOR_EVER = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


async def slow(connection: AsyncConnection, limit: TimeLimit) -> None:
    await limit.renew()
    await connection.execute(sa.text(FOR_EVER[connection.dialect.name]))


async def test_a_search_that_takes_too_long_is_stopped(url: str) -> None:
    """By the database, so its connection is free again. The store is not taken for broken."""
    key = new_key()
    async with open_store(url, timeout_s=2) as store:
        await store.append(a_run(key))
        async with asyncio.TaskGroup() as tasks:
            searches = [tasks.create_task(outcome(store)) for _ in range(4)]
            await asyncio.sleep(0)
            assert set(await store.records([key])) == {key}  # it has connections of its own
        messages = sorted(task.result() for task in searches)
        busy, stopped = messages[:2], messages[2:]
        assert busy == ["The history is busy with other searches; try again."] * 2
        assert all(
            message.startswith("The search did not finish within 1.2 s. Narrow it: ") for message in stopped
        )
        assert store._operations.problem is None
        page = await store.search(HERE, SearchFilter(), NEWEST, first=1, as_of_ms=NOW_MS)
        assert [row.key for row in page.rows] == [key]


async def outcome(store: HistoryStore) -> str:
    with pytest.raises(DeadlineExceeded) as error:
        await store._operations.search("test", slow, caller="")
    return error.value.message


async def test_callers_take_turns(store: HistoryStore) -> None:
    """However many searches one has started, another's are next."""
    ended: list[str] = []
    may_end = asyncio.Event()

    async def work(_connection: AsyncConnection, _limit: TimeLimit) -> None:
        await may_end.wait()

    async def search(caller: str) -> None:
        await store._operations.search("test", work, caller=caller)
        ended.append(caller)

    async with asyncio.TaskGroup() as tasks:
        for caller in ["many"] * 40 + ["few"] * 3:
            tasks.create_task(search(caller))
        await until(lambda: sum(map(len, store._operations._searches._waiting.values())) > 43 - 8)
        may_end.set()
    last = max(at for at, caller in enumerate(ended) if caller == "few")
    assert last < len(ended) / 2


@both_databases
@pytest.mark.parametrize(
    "part",
    [
        "%",
        "_",
        "\\",
        "a%b",
        "'; --",
        '"',
        "a\0b",
        "\ud800",
        "x" * 10_000,
        "\n",
        "AND",
        "NEAR(",
        "*",
        "^a",
        "a b",
        "straße",
        "é",
    ],
)
@pytest.mark.variants(keep=6)
async def test_any_pattern_is_taken_literally(store: HistoryStore, part: str) -> None:
    """Without a trigram or with, it finds the file that has it in its name, and no other."""
    named, other = new_key(), new_key()
    long = part[:900]
    await store.append(
        [
            event(named, EventKind.EXECUTION_STARTED, 0, 1, name=f"in/{long}xyz.csv"),
            event(other, EventKind.EXECUTION_STARTED, 0, 2, name="in/a-b.csv"),
        ]
    )
    for text in (long, f"{long}xyz", f"{long}XYZ.c"):
        for wanted in (SearchFilter(text=text), SearchFilter(file_name=text)):
            page = await store.search(HERE, wanted, NEWEST, first=9, as_of_ms=NOW_MS)
            assert [row.key for row in page.rows] == [named]
    page = await store.search(HERE, SearchFilter(text=part + "none"), NEWEST, first=9, as_of_ms=NOW_MS)
    assert page.rows == ()


async def test_letters_are_the_same_composed_or_not(store: HistoryStore) -> None:
    """As a Mac sends them, and as people type them."""
    key = new_key()
    await store.append([event(key, EventKind.EXECUTION_STARTED, 0, 1, name="re\u0301sume\u0301.pdf")])
    page = await store.search(HERE, SearchFilter(file_name="RÉSUMÉ"), NEWEST, first=9, as_of_ms=NOW_MS)
    assert [row.key for row in page.rows] == [key]


# Of 100 accounts; each has its own file names. SQL, as 3,000 executions would take long to append.
FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO history_executions (id, account_id, region, workflow_id, execution_id, event_count, last_at, started_at,
    ended_at, status, error_type, file_location, user_name, state, began_at, lasted_ms)
SELECT i, substr('000000000000' || CAST(i % 100 AS text), -12), 'eu-west-1', 'w-1a2b3c4d5e6f7a8b9',
    '00000000-0000-0000-0000-' || substr('000000000000' || CAST(i AS text), -12),
    0, {now} - 3000 + i, {now} - 5000 + i,
    CASE WHEN i % 50 > 0 THEN {now} - 3000 + i END, CASE WHEN i % 50 > 0 THEN 'COMPLETED' END,
    CASE WHEN i % 97 = 0 THEN 'TIMEOUT' END, NULL, 'ada',
    CASE WHEN i % 50 > 0 THEN 2 ELSE 0 END, {now} - 5000 + i, 2000
FROM n
"""
FILL_TEXTS = """
INSERT INTO history_texts (execution, ids, service, file)
SELECT id, execution_id, 'ada', 'in/claims-' || CAST(id AS text) || '.csv' FROM history_executions
"""


@pytest.fixture
async def many(store: HistoryStore) -> HistoryStore:
    is_sqlite = store._operations.database.dialect == "sqlite"

    async def fill(connection: AsyncConnection) -> None:
        statement = FILL if is_sqlite else FILL.replace("substr(", "right(").replace(", -12)", ", 12)")
        await connection.execute(sa.text(statement.format(now=NOW_MS)))
        await connection.execute(sa.text(FILL_TEXTS))
        if not is_sqlite:
            await connection.execute(sa.text("ANALYZE history_executions"))
            await connection.execute(sa.text("ANALYZE history_texts"))

    await store._operations.write("test", fill)
    return store


def scope_of(accounts: int, regions: int = 1) -> SearchScope:
    names = [REGION, *(Region(f"us-east-{at}") for at in range(1, regions))]
    return SearchScope.of(
        {frozenset(): [Target(AccountId(f"{at:012d}"), name) for at in range(accounts) for name in names]}
    )


class Plans:
    """The plans of the statements that a search executes."""

    def __init__(self, store: HistoryStore) -> None:
        self._database = store._operations.database
        self._seen: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        sa.event.listen(self._database.searcher.sync_engine, "before_cursor_execute", self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._database.searcher.sync_engine, "before_cursor_execute", self._see)

    def _see(self, _connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if (
            statement != "BEGIN"
            and "set_config" not in statement
            and "_changed'" not in statement
            and "to_regclass" not in statement
        ):
            self._seen.append((statement, parameters))

    async def read(self) -> list[str]:
        """One text a statement."""
        is_sqlite = self._database.dialect == "sqlite"
        explain = "EXPLAIN QUERY PLAN " if is_sqlite else "EXPLAIN "
        async with self._database.searcher.connect() as connection:
            await self._database.limit(connection, 60)
            return [
                "\n".join(
                    str(row[-1])
                    for row in (await connection.exec_driver_sql(explain + statement, parameters)).all()
                )
                for statement, parameters in self._seen
            ]


SEARCHES: dict[str, tuple[SearchFilter, SearchOrder, tuple[str, ...]]] = {
    "newest": (SearchFilter(), NEWEST, ("began_at",)),
    "oldest": (SearchFilter(), SearchOrder.OLDEST_FIRST, ("began_at",)),
    "longest": (SearchFilter(), LONGEST, ("lasted", "open", "last_at")),
    "running": (SearchFilter(running=True), NEWEST, ("open",)),
    "status": (SearchFilter(statuses=(ExecutionStatus.IN_PROGRESS,)), LONGEST, ("open",)),
    "failed": (SearchFilter(statuses=(ExecutionStatus.EXCEPTION,)), NEWEST, ("failed",)),
    "error": (SearchFilter(error_types=("TIMEOUT",)), NEWEST, ("failed",)),
    "unknown": (SearchFilter(result_unknown=True), NEWEST, ("gone", "open")),
    "unknown, longest": (SearchFilter(result_unknown=True), LONGEST, ("gone", "open")),
    "server": (SearchFilter(server_ids=("s-1", "s-2")), NEWEST, ("server", "pkey")),
    "workflow": (
        SearchFilter(workflow_ids=(new_key().workflow_id,)),
        SearchOrder.OLDEST_FIRST,
        ("workflow", "pkey"),
    ),
    "user": (SearchFilter(user_names=("ada", "eve")), NEWEST, ("user", "pkey")),
    "session": (SearchFilter(session_ids=("1",)), NEWEST, ("session", "pkey")),
    "id": (SearchFilter(execution_ids=(new_key().execution_id,)), NEWEST, ("key", "autoindex")),
}


async def test_every_query_reads_an_index(many: HistoryStore) -> None:
    """No table is read from end to end, whether a caller sees three accounts or all."""
    for accounts in (3, 10_000):
        scope = scope_of(accounts)
        for what, (wanted, order, indexes) in SEARCHES.items():
            with Plans(many) as plans:
                await many.search(scope, wanted, order, first=5, as_of_ms=NOW_MS)
            expected = indexes if accounts > 3 else (*indexes, "target")
            read = [plan for plan in await plans.read() if "history_executions" in plan or "other" in plan]
            assert read, what
            for plan in read:
                assert "Seq Scan" not in plan, what
                assert (
                    any(f"history_executions_{name}" in plan for name in expected)
                    or " PRIMARY KEY " in plan
                    or "autoindex" in plan
                ), what


async def test_the_longest_of_few_are_read_by_their_targets(many: HistoryStore) -> None:
    """Not from the longest of everyone's, of which none may be theirs."""
    for accounts, index in ((3, "target"), (10_000, "lasted")):
        with Plans(many) as plans:
            await many.search(scope_of(accounts), SearchFilter(), LONGEST, first=5, as_of_ms=NOW_MS)
        assert any(f"history_executions_{index}" in plan for plan in await plans.read())
        if accounts == 3:
            assert not any("history_executions_lasted" in plan for plan in await plans.read())


async def test_rare_names_are_found_by_their_trigrams(many: HistoryStore) -> None:
    """Of what has no index of trigrams, more is read."""
    many.search_budget = SearchBudget(long_look=100)
    with Plans(many) as plans:
        page = await many.search(
            scope_of(10_000), SearchFilter(file_name="claims-77.C"), NEWEST, first=5, as_of_ms=NOW_MS
        )
    assert len(page.rows) == 1
    has_index = await many._operations.read("test", lambda it: it.scalar(sa.text(HAS_INDEX[it.dialect.name])))
    index = FILE_TRIGRAMS[many._operations.database.dialect]
    assert any(index in plan for plan in await plans.read()) == bool(has_index)


async def test_names_that_are_neither_rare_nor_frequent_are_found_among_the_next_texts(
    many: HistoryStore,
) -> None:
    """As far as a page of them is; no other index is read."""
    many.search_budget = SearchBudget(long_look=100, found=9)
    everything, wanted = scope_of(10_000), SearchFilter(file_name="7.c")
    with Plans(many) as plans:
        page = await many.search(everything, wanted, NEWEST, first=30, as_of_ms=NOW_MS)
    assert len(page.rows) == 30
    assert not any("trigrams" in plan for plan in await plans.read())
    many.search_budget = SearchBudget(longest_look=1)
    assert page == await many.search(everything, wanted, NEWEST, first=30, as_of_ms=NOW_MS)


async def test_what_is_frequent_among_everyones_is_read_from_the_callers_targets(many: HistoryStore) -> None:
    """Trigrams would find more than can be looked up."""
    few = SearchScope.of({frozenset(): [Target(AccountId(f"{at:012d}"), REGION) for at in range(9)]})
    for wanted in (SearchFilter(file_name=".csv"), SearchFilter(text="claims-")):
        many.search_budget = SearchBudget(long_look=10, longest_look=1000, found=100, few=1)
        with Plans(many) as plans:
            page = await many.search(few, wanted, NEWEST, first=100, as_of_ms=NOW_MS)
        assert not any("trigrams" in plan for plan in await plans.read())
        many.search_budget = SearchBudget(longest_look=1)
        assert page == await many.search(few, wanted, NEWEST, first=100, as_of_ms=NOW_MS)
        assert len(page.rows) == 100


FILE_TRIGRAMS = {"sqlite": "history_texts_trigrams", "postgresql": "history_texts_file_trigrams"}


@pytest.mark.parametrize(
    ("name", "word"),
    [("claims", "claims"), ("in/claims-7777.csv", "-7777."), ("claims-7.csv", "claims-7.csv")],
)
async def test_the_rarest_word_of_a_name_is_looked_up(many: HistoryStore, name: str, word: str) -> None:
    """By PostgreSQL's statistics; all of it, if none of its words is rare."""

    async def narrowed(connection: AsyncConnection) -> str | None:
        return (await Trigrams(None, name).narrowed(connection))._file

    is_sqlite = many._operations.database.dialect == "sqlite"
    assert await many._operations.read("test", narrowed) == (name if is_sqlite else word)
