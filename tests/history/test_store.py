"""What goes into the store comes out of it, on both databases."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from examples import examples
from history_events import START, a_run, event, new_key, observed
from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
from transfer_gateway.domain.execution import ServiceMetadata, UserDetails
from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, Target
from transfer_gateway.domain.record import record_of
from transfer_gateway.history import GroupProgress, LogMechanism, Targets, WorkflowLog
from transfer_gateway.history.codec import file_json, load, to_ms
from transfer_gateway.history.store import HistoryStore, open_store
from transfer_gateway.history.tables import events as stored_events
from transfer_gateway.history.tables import executions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.time_limit import TimeLimit

ALL = Targets(None)
KINDS = [kind for kind in EventKind if kind is not EventKind.EXECUTION_THROTTLED]


async def row_of(store: HistoryStore, key: ExecutionKey) -> dict[str, Any]:
    """The execution's row in the table."""

    async def read(connection: AsyncConnection) -> dict[str, Any]:
        same = [executions.c[name] == value for name, value in key._asdict().items()]
        return dict((await connection.execute(select(executions).where(*same))).mappings().one())

    return await store._operations.read("test", read)


def distinct(events: Iterable[ExecutionEvent]) -> list[ExecutionEvent]:
    """Of events with the same content the one with the least id; by time."""
    by_content: dict[object, ExecutionEvent] = {}
    for one in sorted(events, key=lambda one: one.event_id):
        by_content.setdefault(one.content, one)
    return sorted(by_content.values(), key=lambda one: (one.occurred_at, one.event_id))


def assert_row_tells_record(row: dict[str, Any], events: Sequence[ExecutionEvent]) -> None:
    record = record_of(events)
    assert row["event_count"] == len(events)
    assert row["status"] == record.status
    for column, time in (("started_at", record.started_at), ("ended_at", record.ended_at)):
        assert row[column] == (None if time is None else to_ms(time))
    assert row["last_at"] == max(to_ms(one.occurred_at) for one in events)
    file, upload, error = record.initial_file_location, record.upload, record.error
    assert (
        row["file_location"] is None
        if file is None
        else load(row["file_location"])["s3"][1] == load_key(file)
    )
    assert (row["user_name"], row["session_id"]) == (
        (None, None) if upload is None else (upload.user_name, upload.session_id)
    )
    assert row["error_message"] == (None if error is None else error.message)


def load_key(file: Any) -> object:
    return file_json(file)["s3"][1]


async def test_an_event_is_stored_once(store: HistoryStore) -> None:
    """By its id, and by its content when another log repeats it with an id of its own."""
    key = new_key()
    run = a_run(key)
    assert await store.append(run[:5]) == run[:5]
    assert await store.append(run) == run[5:]
    assert await store.append(run) == []
    repeated = [replace(one, event_id=f"9{one.event_id}") for one in run]
    assert await store.append(repeated) == []
    assert (await store.records([key]))[key].events == tuple(run)


events_of_runs = st.lists(
    st.builds(
        lambda kind, at_ms, event_id, step, user: (kind, at_ms, event_id, step, user),
        st.sampled_from(KINDS),
        st.integers(0, 3),
        st.integers(0, 30),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from(["ada", "bob"]),
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda drawn: drawn[2],
)


@settings(max_examples=examples(30))
@given(drawn=st.lists(events_of_runs, min_size=1, max_size=3), random=st.randoms(use_true_random=False))
async def test_neither_order_nor_batches_nor_repetitions_matter(
    store: HistoryStore, drawn: list[list[tuple[Any, ...]]], random: Random
) -> None:
    """Events of some executions, shuffled, some of them twice, in batches: each row tells what record_of tells."""
    arrived: list[ExecutionEvent] = []
    by_key: dict[ExecutionKey, list[ExecutionEvent]] = defaultdict(list)
    for run in drawn:
        key = new_key()
        for kind, at_ms, event_id, step, user in run:
            one = event(
                key,
                kind,
                at_ms,
                event_id,
                step,
                name=f"{event_id}.csv",
                upload=Upload(user, None, str(event_id)),
            )
            by_key[key].append(one)
            arrived += [one] * random.choice([1, 1, 2])
    random.shuffle(arrived)
    new: list[ExecutionEvent] = []
    while arrived:
        size = random.randint(1, len(arrived))
        new += await store.append(arrived[:size])
        arrived = arrived[size:]
    stored = await store.records(list(by_key))
    for key, events in by_key.items():
        expected = distinct(events)
        assert list(stored[key].events) == expected
        assert {one.content for one in new if one.key == key} == {one.content for one in expected}
        assert sum(one.key == key for one in new) == len(expected)
        assert_row_tells_record(await row_of(store, key), expected)


async def test_writers_of_the_same_executions_do_not_disturb_each_other(url: str) -> None:
    """Four replicas with overlapping parts of forty executions, in orders of their own."""
    keys = [new_key() for _ in range(40)]
    runs = [one for at, key in enumerate(keys) for one in a_run(key, first_id=at * 100, fails=at % 2 == 0)]

    async def replica(number: int) -> list[ExecutionEvent]:
        random = Random(number)  # noqa: S311  draws lots
        mine = [one for one in runs if random.random() < 0.5 or hash(one.event_id) % 4 == number]
        mine += [one for at, one in enumerate(runs) if at % 4 == number]
        random.shuffle(mine)
        async with open_store(url, timeout_s=60) as store:
            return [one for at in range(0, len(mine), 20) for one in await store.append(mine[at : at + 20])]

    async with open_store(url, timeout_s=60) as store:
        await store.kept_since()  # SQLite does not wait for who makes the file
    async with asyncio.TaskGroup() as tasks:
        replicas = [tasks.create_task(replica(number)) for number in range(4)]
    new = [one for task in replicas for one in task.result()]
    assert sorted(new, key=lambda one: one.event_id) == sorted(runs, key=lambda one: one.event_id)
    async with open_store(url, timeout_s=60) as store:
        stored = await store.records(keys)
        for at, key in enumerate(keys):
            assert list(stored[key].events) == runs[at * 8 : at * 8 + 8]
            assert_row_tells_record(await row_of(store, key), runs[at * 8 : at * 8 + 8])


@pytest.mark.parametrize(
    "text",
    ["", "a\0b", "\ud800 lone", "ü€𝄞", "x" * 5000, '"\\', "%s :name $1 ?"],
    ids=["empty", "NUL", "surrogate", "Unicode", "long", "quotes", "placeholders"],
)
async def test_any_text_comes_back(store: HistoryStore, text: str) -> None:
    key = new_key()
    one = replace(
        event(key, EventKind.STEP_ERRORED, 0, 1, text, name=text, upload=Upload(text, text, text)),
        raw_kind="StepErrored",
        details=text,
    )
    further = event(key, EventKind.UNRECOGNIZED, 1, text)
    await store.append([one, further])
    assert (await store.records([key]))[key].events[0] == one
    assert await store.append([one, further]) == []


async def test_an_execution_keeps_a_bounded_number_of_events_and_its_end(
    store: HistoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is left out is logged, once."""
    key = new_key()
    await store.append([event(key, EventKind.STEP_STARTED, at, at, f"step-{at}") for at in range(1200)])
    end = event(key, EventKind.EXECUTION_COMPLETED, 5000, 5000)
    assert await store.append([end]) == [end]
    stored = (await store.records([key]))[key].events
    assert len(stored) == 1001
    assert stored[-1] == end
    await store.append([event(key, EventKind.STEP_STARTED, at, at, f"step-{at}") for at in range(990, 1200)])
    assert "".join(capsys.readouterr()).count("execution_events_full") == 1


async def test_the_latest_answer_of_aws_is_kept(store: HistoryStore) -> None:
    key, other = new_key(), new_key()
    earlier, latest = observed(key, 1.5), observed(key, 2.25, "HANDLING_EXCEPTION")
    await store.observe([latest, observed(other)])
    await store.observe([earlier])
    stored = await store.records([key, other])
    assert stored[key].observed == latest
    assert [one.version for one in (stored[key].observed,) if one] == [latest.version]
    assert stored[key].events == ()
    row = await row_of(store, key)
    assert (row["observed_first_at"], row["observed_last_at"]) == (to_ms(START) + 1, to_ms(START) + 2)
    assert row["user_name"] == "ada"


async def test_a_name_that_is_too_long_for_an_index_keeps_nothing_from_being_stored(
    store: HistoryStore,
) -> None:
    """PostgreSQL's take 2,704 bytes a row. AWS's names are shorter, but whatever answers may not be AWS."""
    strange, other = observed(new_key()), observed(new_key())
    name = "".join(map(chr, Random(5).sample(range(0x20000, 0x2A000), 1000)))  # noqa: S311  draws lots
    long = UserDetails(name, f"s-{name}", name)
    await store.observe([replace(strange, service_metadata=ServiceMetadata(long)), observed(other.key)])
    stored = await store.records([strange.key, other.key])
    assert stored[strange.key].observed.service_metadata.user_details == long  # type: ignore[union-attr]
    assert stored[other.key].observed == other


async def test_events_tell_more_than_answers_of_aws(store: HistoryStore) -> None:
    """Whichever comes first: an answer fills in what the events do not have."""
    rows = []
    for answer_first in (True, False):
        key = new_key()
        events = [
            event(key, EventKind.EXECUTION_STARTED, 0, 1, name="b.csv", upload=Upload("bob", None, None)),
            event(key, EventKind.EXECUTION_COMPLETED, 9, 2),
        ]
        for step in (True, False):
            if step is answer_first:
                await store.observe([observed(key, 5)])
            else:
                await store.append(events)
        row = await row_of(store, key)
        rows.append(
            {name: row[name] for name in ("user_name", "server_id", "status", "last_at", "file_location")}
        )
    assert rows[0] == rows[1]
    assert rows[0]["user_name"] == "bob"
    assert rows[0]["server_id"] == "s-0123456789abcdef0"


async def test_records_of_many_executions(store: HistoryStore) -> None:
    keys = [new_key() for _ in range(1000)]
    await store.append([event(key, EventKind.EXECUTION_STARTED, 0, 1) for key in keys[:900]])
    stored = await store.records([*keys, *keys])
    assert list(map(len, (stored, stored[keys[0]].events))) == [900, 1]
    assert set(stored) == set(keys[:900])
    assert await store.records([]) == {}


async def test_an_id_is_found_within_the_targets_only(store: HistoryStore) -> None:
    key = new_key("111111111111", "eu-west-1")
    elsewhere = ExecutionKey(AccountId("222222222222"), Region("us-east-1"), *key[2:])
    await store.append(
        [event(key, EventKind.EXECUTION_STARTED, 0, 1), event(elsewhere, EventKind.EXECUTION_STARTED, 0, 2)]
    )
    find = store.find
    assert await find(key.execution_id, targets=ALL) == [key, elsewhere]
    assert await find(key.execution_id, workflow_id=key.workflow_id, targets=Targets([key.target])) == [key]
    assert await find(key.execution_id, targets=Targets([])) == []
    assert await find(key.execution_id, targets=Targets([Target(key.account_id, elsewhere.region)])) == []
    regions = [Region(f"eu-west-{number}") for number in range(1, 5)]
    many = Targets(
        Target(AccountId(f"{number:012d}"), region) for number in range(10_000) for region in regions
    )
    assert await find(key.execution_id, targets=many) == []
    assert await find(new_key().execution_id, targets=ALL) == []


TIMES = st.integers(0, 12).map(lambda minutes: START + timedelta(minutes=minutes))


@st.composite
def progresses(draw: st.DrawFn) -> GroupProgress:
    since, until = sorted((draw(TIMES), draw(TIMES)))
    return GroupProgress(
        AccountId("111111111111"), Region("eu-west-1"), "", until, since, draw(st.none() | TIMES)
    )


@settings(max_examples=examples(30))
@given(saved=st.lists(progresses(), min_size=1, max_size=5), number=st.integers(0, 10**12))
async def test_progress_is_united_and_never_lost(
    store: HistoryStore, saved: list[GroupProgress], number: int
) -> None:
    group = f"/aws/transfer/{number}"
    saved = [replace(progress, group=group) for progress in saved]
    expected = (await store.progress(Target(AccountId("111111111111"), Region("eu-west-1")))).get(group)
    for progress in saved:
        await store.append([], progress)
        expected = progress if expected is None else expected.united(progress)
    assert (await store.progress(Target(AccountId("111111111111"), Region("eu-west-1"))))[group] == expected


@given(one=progresses(), other=progresses())
def test_progress_is_united_in_either_order(one: GroupProgress, other: GroupProgress) -> None:
    assert replace(one.united(other), account_id=one.account_id) == other.united(one)
    assert one.united(one) == one


async def test_where_workflows_log_is_kept_after_they_are_gone(store: HistoryStore) -> None:
    workflow = new_key().workflow._replace(account_id=AccountId("333333333333"))
    later = START + timedelta(hours=1)
    unlogged = WorkflowLog(workflow, "s-1", None, None, START)
    logged = WorkflowLog(workflow, "s-1", "/aws/transfer/s-1", LogMechanism.SERVER, later)
    own = WorkflowLog(workflow, None, "/own", LogMechanism.WORKFLOW, START)
    await store.note_workflow_logs(workflow.target, [unlogged, logged, own])
    found, progress = await store.note_workflow_logs(workflow.target, [replace(logged, last_seen_at=START)])
    assert sorted(found, key=str) == sorted([unlogged, logged, own], key=str)
    assert progress == {}
    assert await store.note_workflow_logs(new_key("444444444444").target, []) == ([], {})


async def test_nothing_lasts_less_than_no_time(store: HistoryStore) -> None:
    """The log may date an end before the start; orders and filters by duration meet no negative one."""
    key = new_key()
    await store.append(
        [event(key, EventKind.EXECUTION_STARTED, 700, 0), event(key, EventKind.EXECUTION_COMPLETED, 0, 1)]
    )
    row = await row_of(store, key)
    assert row["ended_at"] < row["started_at"]
    assert row["lasted_ms"] == 0


@pytest.mark.parametrize("operation", ["read", "search"])
async def test_an_operation_reads_one_state(url: str, operation: str) -> None:
    """Whatever others delete between its statements."""
    run = a_run(new_key())
    count = select(func.count()).select_from(stored_events)
    async with open_store(url, timeout_s=30) as store, open_store(url, timeout_s=30) as other:
        await store.append(run)

        async def work(connection: AsyncConnection, _limit: TimeLimit | None = None) -> list[int | None]:
            before = await connection.scalar(count)
            await other._operations.write("test", lambda it: it.execute(delete(stored_events)))
            return [before, await connection.scalar(count)]

        if operation == "read":
            assert await store._operations.read("test", work) == [8, 8]
        else:
            assert await store._operations.search("test", work, caller="") == [8, 8]
        assert await store._operations.read("test", lambda it: it.scalar(count)) == 0
