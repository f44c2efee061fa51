"""Subscriptions while their store is away, or another one, and while the policy is loaded again.

Minutes pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

import pytest

import sqlite_file
from following import FIRST, SECOND, following
from history_model import AUDIT
from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.errors import BadUserInput, Throttled
from transfer_gateway.domain.scope import Scope
from transfer_gateway.domain.search import SearchInput

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from postgres import PostgresServer
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.domain.change import ExecutionChange
    from transfer_gateway.domain.event import ExecutionEvent

pytestmark = [pytest.mark.driven_time]
OUTAGE_S = 100.0  # longer than a watch goes without looking whether its execution still runs
FILTERS = 200  # as many as may be watched at a time


async def _as_before() -> None:
    """A token and a policy that do not change."""


def deadline() -> float:
    return asyncio.get_running_loop().time() + 30


async def events_to_the_end(changes: AsyncGenerator[ExecutionChange | None]) -> list[ExecutionEvent]:
    async with aclosing(changes):
        return [event async for change in changes if change is not None for event in change.events]


@pytest.mark.thorough
async def test_subscriptions_outlive_the_absence_of_their_store(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    """They stay open, and what happened meanwhile is told once it has been read."""
    url = await asyncio.to_thread(lambda: asyncio.run(own_postgres.create_database()))
    async with following(tmp_path, FIRST, history_url=url) as it:
        await it.until_read()
        key, _ = it.upload(FIRST, duration_s=OUTAGE_S / 2)
        await asyncio.sleep(10)  # its start has been read
        reader = it.core.reader(AUDIT)
        one = reader.watch_execution(key, after=None, deadline=deadline(), recheck=_as_before)
        everything = reader.watch_executions(
            SearchInput(), after=None, deadline=deadline(), recheck=_as_before
        )
        async with asyncio.TaskGroup() as tasks, aclosing(everything):
            assert await anext(everything) is None
            watching = tasks.create_task(events_to_the_end(one))
            await asyncio.sleep(5)
            own_postgres.stop()
            await asyncio.sleep(OUTAGE_S)
            assert not watching.done()
            own_postgres.start()
            told: list[ExecutionEvent] = []
            while not watching.done():
                told += () if (change := await anext(everything)) is None else change.events
        stored = (await it.history.store.records([key]))[key].events
        assert watching.result() == list(stored)
        assert told == list(stored)[-len(told) :]
        assert told


@pytest.mark.thorough
async def test_subscriptions_to_a_store_that_is_another_one_end(tmp_path: Path) -> None:
    """Nobody knows what they have missed; new ones begin with what the new store has."""
    async with following(tmp_path, FIRST) as it:
        await it.until_read()
        key, _ = it.upload(FIRST, duration_s=200)
        await asyncio.sleep(10)  # its start has been read
        reader = it.core.reader(AUDIT)
        watched = [
            reader.watch_execution(key, after=None, deadline=deadline(), recheck=_as_before),
            reader.watch_executions(SearchInput(), after=None, deadline=deadline(), recheck=_as_before),
        ]
        async with AsyncExitStack() as stack:
            for changes in watched:
                await stack.enter_async_context(aclosing(changes))
                assert await anext(changes) is None
            await sqlite_file.execute(tmp_path / "history.db", "UPDATE history_feed SET identity = 'another'")
            for changes in watched:
                with pytest.raises(BadUserInput, match="not a cursor of this history"):
                    async with asyncio.timeout(OUTAGE_S):
                        await events_to_the_end(changes)
        again = reader.watch_execution(key, after=None, deadline=deadline(), recheck=_as_before)
        told = await events_to_the_end(again)
        assert told == list((await it.history.store.records([key]))[key].events)


@pytest.mark.thorough
async def test_a_policy_that_is_loaded_again_ends_no_subscription(tmp_path: Path) -> None:
    """Although as many filters are watched as may be, and more until all subscribers have the new scope."""
    async with following(tmp_path, FIRST, SECOND) as it:
        await it.until_read()
        scope = Scope(Accounts([account for account in it.core._accounts if account.id == FIRST]))

        def recheck_of(reader: Reader) -> Callable[[], Awaitable[None]]:
            async def recheck() -> None:
                reader.scope = scope

            return recheck

        async with AsyncExitStack() as stack:
            watching = []
            for number in [*range(FILTERS), *range(FILTERS)]:  # each for two subscribers
                reader = it.core.reader(AUDIT)
                changes = reader.watch_executions(
                    SearchInput(text=str(number)),
                    after=None,
                    deadline=deadline(),
                    recheck=recheck_of(reader),
                )
                watching.append((reader, await stack.enter_async_context(aclosing(changes))))
                assert await anext(changes) is None
            refused = it.core.reader(AUDIT).watch_executions(
                SearchInput(text="one more"), after=None, deadline=deadline(), recheck=_as_before
            )
            with pytest.raises(Throttled, match="different filters"):
                await anext(refused)
            for reader, changes in watching:
                async with asyncio.timeout(60):
                    while reader.scope is not scope:
                        await anext(changes)
                    assert await anext(changes) is None
