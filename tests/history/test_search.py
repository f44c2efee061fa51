"""Searches find what a model in plain Python finds, in its order, page by page, both ways, on both databases."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from history_events import START, event, new_key, observed
from postgres import both_databases
from search_model import (
    ACCOUNTS,
    NAMES,
    NOW_MS,
    REGIONS,
    SERVERS,
    SESSIONS,
    STALE_MS,
    USERS,
    WORKFLOWS,
    Known,
    found,
    made_up,
)
from transfer_gateway.domain.event import EventKind
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.history import SearchScope
from transfer_gateway.history.codec import to_ms
from transfer_gateway.history.search import SearchBudget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.search import SearchPosition
    from transfer_gateway.history.store import HistoryStore

ALL = [Target(account, region) for account in ACCOUNTS for region in REGIONS]
NOTHING_HIDDEN: frozenset[Hideable] = frozenset()
FILE, SERVICE = Hideable.INITIAL_FILE_LOCATION, Hideable.SERVICE_METADATA
LITTLE = SearchBudget(
    look=3, long_look=7, longest_look=40, scattered=1000, found=9, few=1, many=5
)  # so that each way of searching is tried, and left
KNOWN = [made_up(random, number) for random in [Random(20)] for number in range(160)]  # noqa: S311  draws lots


async def fill(store: HistoryStore, knowns: Sequence[Known]) -> None:
    await store.append([one for known in knowns for one in known.events])
    await store.observe([known.answer for known in knowns if known.answer is not None])


@pytest.fixture
async def filled(store: HistoryStore) -> HistoryStore:
    await fill(store, KNOWN)
    return store


def some(values: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.just(()) | st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)


times = st.none() | st.sampled_from([0, 11, 100, STALE_MS, 2 * STALE_MS, 3 * STALE_MS]).map(
    lambda ms: START + timedelta(milliseconds=ms)
)
PARTS = sorted(
    {name[at : at + length] for name in NAMES for length in (1, 2, 3, 5) for at in range(0, len(name), 3)}
    | {
        "",
        "%",
        "_",
        "\\",
        "\0",
        "\ud800",
        "CLAIMS",
        "s-0123",
        "ADA",
        "straSSE",
        "w-1a2b",
        "none at all",
        "x" * 10_000,
    }
    | {str(KNOWN[at].key.execution_id)[at % 7 : at % 7 + 6] for at in range(8)}
)
texts = st.none() | st.sampled_from(PARTS)
filters = st.builds(
    SearchFilter,
    account_ids=some(ACCOUNTS),
    regions=some(REGIONS),
    workflow_ids=some(WORKFLOWS),
    execution_ids=st.just(()) | st.just(()) | some([known.key.execution_id for known in KNOWN[:20]]),
    server_ids=some([*SERVERS, "none"]),
    user_names=some([user for user in USERS if user]),
    session_ids=some([session for session in SESSIONS if session]),
    statuses=some(list(ExecutionStatus)),
    error_types=some(["NOT_FOUND", "TIMEOUT", "other"]),
    text=texts,
    file_name=texts,
    started_after=times,
    started_before=times,
    ended_after=times,
    ended_before=times,
    min_duration_s=st.none() | st.sampled_from([-1.0, 0.0, 0.02, 60.0, float("inf")]),
    max_duration_s=st.none() | st.sampled_from([0.02, 60.0, 1e300]),
    running=st.none() | st.booleans(),
    result_unknown=st.none() | st.none() | st.booleans(),
)
alone = st.builds(  # most filters together find nothing
    lambda chosen, everything: SearchFilter(**{name: getattr(everything, name) for name in chosen}),
    st.sets(st.sampled_from(list(SearchFilter.__dataclass_fields__)), max_size=2),
    filters,
)


def _by_hidden(hidden_of: dict[Target, frozenset[Hideable]]) -> dict[frozenset[Hideable], list[Target]]:
    by_hidden: dict[frozenset[Hideable], list[Target]] = {}
    for target, hidden in hidden_of.items():
        by_hidden.setdefault(hidden, []).append(target)
    return by_hidden


scopes = st.dictionaries(
    st.sampled_from(ALL),
    st.sampled_from([NOTHING_HIDDEN, frozenset({FILE}), frozenset({SERVICE}), frozenset({FILE, SERVICE})]),
).map(_by_hidden) | st.just({NOTHING_HIDDEN: ALL})


@settings(max_examples=25, phases=(Phase.explicit, Phase.generate))
@given(
    wanted=filters | alone | alone,
    by_hidden=scopes,
    order=st.sampled_from(SearchOrder),
    backwards=st.booleans(),
    first=st.sampled_from([1, 4, 30, 1000]),
    budget=st.sampled_from([SearchBudget(), LITTLE]),
)
@pytest.mark.variants(keep=1)
async def test_pages_have_what_the_model_has(
    filled: HistoryStore,
    *,
    wanted: SearchFilter,
    by_hidden: dict[frozenset[Hideable], list[Target]],
    order: SearchOrder,
    backwards: bool,
    first: int,
    budget: SearchBudget,
) -> None:
    filled.search_budget = budget
    scope = SearchScope.of(by_hidden)
    expected = found(KNOWN, by_hidden, wanted, order, NOW_MS)
    keys: list[ExecutionKey] = []
    position: SearchPosition | None = None
    while True:
        page = await filled.search(
            scope, wanted, order, first=first, position=position, backwards=backwards, as_of_ms=NOW_MS
        )
        read = [row.key for row in page.rows]
        keys = read + keys if backwards else keys + read
        if not page.has_more or len(keys) > 20:
            break
        position = page.rows[0 if backwards else -1].position
    some_expected = expected[-len(keys) :] if backwards else expected[: len(keys)]
    assert keys == ([known.key for known in some_expected] if keys else [])
    assert page.has_more == (len(keys) < len(expected))
    by_key = {known.key: known for known in expected}
    for row in page.rows:
        known = by_key[row.key]
        assert row.status == known.status(NOW_MS)
        assert row.position.value == known.value(order, NOW_MS)
        assert row.stored.observed == known.answer
        assert {one.event_id for one in row.stored.events} == {one.event_id for one in known.events}

    counted = await filled.count(scope, wanted, as_of_ms=NOW_MS, at_most=10)
    assert counted.is_exact == (len(expected) <= 10)
    statuses = [known.status(NOW_MS) for known in expected]
    if counted.is_exact:
        assert counted.counts == {status: statuses.count(status) for status in statuses}
    else:
        assert all(count <= statuses.count(status) for status, count in counted.counts.items())


@both_databases
@pytest.mark.parametrize("order", SearchOrder)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.variants(keep=1)
async def test_what_lives_throughout_is_seen_once_while_others_come_and_go(
    store: HistoryStore,
    *,
    order: SearchOrder,
    backwards: bool,
) -> None:
    """Between two pages, executions start, end and are deleted: at first those of which the position is made."""
    random = Random(f"{order}{backwards}")  # noqa: S311  draws lots
    old_ms = NOW_MS - 2 * STALE_MS
    gone = [new_key() for _ in range(30)]
    ended, running = [new_key() for _ in range(30)], [new_key() for _ in range(30)]
    for at, key in enumerate(gone):
        await store.append(run(key, old_ms + at, old_ms + at + 100 * at, at))
    for at, key in enumerate(ended):
        await store.append(run(key, NOW_MS - 1000 + at % 7, NOW_MS - random.randrange(500), at))
    await store.append(
        [one for at, key in enumerate(running) for one in run(key, NOW_MS - 900 + at % 5, None, at)]
    )
    scope = SearchScope.of({NOTHING_HIDDEN: [running[0].target]})
    seen: list[ExecutionKey] = []
    position: SearchPosition | None = None
    for number in count(1):
        now_ms = NOW_MS + number * 50
        page = await store.search(
            scope, SearchFilter(), order, first=7, position=position, backwards=backwards, as_of_ms=now_ms
        )
        read = [row.key for row in page.rows]
        seen += reversed(read) if backwards else read
        if not page.has_more:
            break
        position = page.rows[0 if backwards else -1].position
        await store.append(run(new_key(), now_ms, None, number))
        await store.append(run(random.choice(running), NOW_MS - 900, now_ms + 1, 1000 + number)[1:])
        await store._operations.write("test", partial(delete_oldest, store))
    assert len(seen) == len(set(seen))
    assert {*ended, *running} <= set(seen)


@pytest.mark.parametrize("budget", [SearchBudget(), LITTLE], ids=["much", "little"])
async def test_what_ended_with_no_record_of_how(store: HistoryStore, budget: SearchBudget) -> None:
    """AWS has forgotten it, or there was no sign of it for long. In each order, page by page, and counted."""
    store.search_budget = budget
    forgotten, stale = [new_key() for _ in range(9)], [new_key() for _ in range(4)]
    others = [new_key() for _ in range(60)]
    for at, key in enumerate(others):
        await store.append(run(key, NOW_MS - 3000 + at, NOW_MS if at % 2 else None, at))
    for at, key in enumerate(stale):
        await store.append(run(key, NOW_MS - 2 * STALE_MS + at, None, at))
    answers = [observed(key, NOW_MS - to_ms(START) - 2000 + at) for at, key in enumerate(forgotten)]
    await store.observe(answers)
    await store.forget(forgotten, seen_before=answers[-1].observed_at + timedelta(seconds=1))
    scope, unknown = SearchScope.of({NOTHING_HIDDEN: [others[0].target]}), SearchFilter(result_unknown=True)
    newest = [*reversed(forgotten), *reversed(stale)]
    for order in SearchOrder:
        seen: list[ExecutionKey] = []
        position: SearchPosition | None = None
        while True:
            page = await store.search(scope, unknown, order, first=4, position=position, as_of_ms=NOW_MS)
            assert {row.status for row in page.rows} == {None}
            seen += (row.key for row in page.rows)
            if not page.has_more:
                break
            position = page.rows[-1].position
        expected = newest[::-1] if order is SearchOrder.OLDEST_FIRST else newest
        if order is SearchOrder.LONGEST_FIRST:  # there is one sign of each, and all lasted as long
            assert set(seen) == set(expected)
            assert len(seen) == len(expected)
        else:
            assert seen == expected
    counts = await store.count(scope, unknown, at_most=10_000, as_of_ms=NOW_MS)
    assert (counts.counts, counts.is_exact) == ({None: len(newest)}, True)
    known = await store.search(
        scope, SearchFilter(result_unknown=False), SearchOrder.NEWEST_FIRST, first=100, as_of_ms=NOW_MS
    )
    assert {row.key for row in known.rows} == set(others)


def run(key: ExecutionKey, began_ms: int, ended_ms: int | None, number: int) -> list[ExecutionEvent]:
    start = to_ms(START)
    events = [event(key, EventKind.EXECUTION_STARTED, began_ms - start, number * 10)]
    if ended_ms is not None:
        events.append(event(key, EventKind.EXECUTION_COMPLETED, ended_ms - start, number * 10 + 1))
    return events


async def delete_oldest(store: HistoryStore, connection: AsyncConnection) -> None:
    """As retention does by size."""
    await store._retentive._delete_batch(connection, before_ms=NOW_MS - STALE_MS, first=4, kept_since_ms=0)
