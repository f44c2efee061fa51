"""Whatever happens, each subscriber is told every event that it may see, once, and in the order of the history.

Random uploads, restarts, policies and disconnects; readers that are slow. Minutes pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import aclosing, suppress
from random import Random
from typing import TYPE_CHECKING

import pytest

from following import FIRST, SECOND, following
from history_events import events_in_order
from history_model import AUDIT
from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.errors import AccountNotAvailable
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.domain.scope import Hideable, Scope
from transfer_gateway.domain.search import SearchInput

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from following import Following
    from postgres import PostgresServer
    from transfer_gateway.domain.change import ExecutionChange
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = [pytest.mark.driven_time, pytest.mark.thorough]
_JUDGED_WITHIN_S = 5.0


class Subscriber:
    """Comes back with its last cursor whenever it is cut off. `told`: the events by execution."""

    def __init__(
        self,
        it: Following,
        random: Random,
        scope: Scope,
        key: ExecutionKey | None = None,
        *,
        pause_s: float = 0.0,
    ) -> None:
        self.it, self.random, self.scope, self.key, self.pause_s = it, random, scope, key, pause_s
        self.told: defaultdict[ExecutionKey, list[ExecutionEvent]] = defaultdict(list)
        self.after: str | None = None
        self.has_ended = False

    async def run(self) -> None:
        while not self.has_ended:
            with suppress(AccountNotAvailable):
                await self._subscribe(self.random.randint(1, 40))
            await asyncio.sleep(self.random.uniform(0, 2))  # until it comes back

    async def _subscribe(self, count: int) -> None:
        reader = self.it.core.reader(AUDIT, self.scope)

        async def recheck() -> None:
            reader.scope = self.scope

        deadline = asyncio.get_running_loop().time() + 10
        changes: AsyncGenerator[ExecutionChange | None] = (
            reader.watch_executions(SearchInput(), after=self.after, deadline=deadline, recheck=recheck)
            if self.key is None
            else reader.watch_execution(self.key, after=self.after, deadline=deadline, recheck=recheck)
        )
        async with aclosing(changes):
            async for change in changes:
                if change is not None:
                    self.told[change.key] += change.events
                    self.after = reader.cursor_of(change)
                    self.check(change)
                    count -= 1
                await asyncio.sleep(self.pause_s)  # it is slow
                if count == 0:
                    return
        self.has_ended = True

    def check(self, change: ExecutionChange) -> None:
        """Of an execution, nothing but what is visible."""


class Judged(Subscriber):
    """One whose rights change: told of no account for longer than that after it was denied, and of no hidden file."""

    scopes: Mapping[str, Scope]
    shown = "everything"
    changed_at = -1e9

    def change(self, shown: str) -> None:
        self.shown, self.scope = shown, self.scopes[shown]
        self.changed_at = asyncio.get_running_loop().time()

    def check(self, change: ExecutionChange) -> None:
        is_judged = asyncio.get_running_loop().time() - self.changed_at > _JUDGED_WITHIN_S
        if change.key.account_id != FIRST or not is_judged:
            return
        assert self.shown != "second"
        if self.shown == "hiding":
            assert change.execution.initial_file_location is None
            assert all(event.file_location is None for event in change.events)


class Scenario:
    """Uploads, and subscribers: three whose rights stay, one whose rights change, and some who watch one each."""

    def __init__(self, it: Following, random: Random) -> None:
        self.it, self.random = it, random
        accounts = it.core._accounts
        everything = Scope(accounts)
        second = Scope(Accounts([account for account in accounts if account.id == SECOND]))
        hidden = frozenset({Hideable.INITIAL_FILE_LOCATION})
        hiding = Scope(accounts, {Target(AccountId(FIRST), Region(it.region)): hidden})
        self.judged = Judged(it, random, everything)
        self.judged.scopes = {"everything": everything, "second": second, "hiding": hiding}
        self.constant = [
            Subscriber(it, random, everything),
            Subscriber(it, random, everything, pause_s=3.0),
            Subscriber(it, random, second),
        ]
        self.watching: list[Subscriber] = []
        self.keys: list[ExecutionKey] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.everything = everything

    @property
    def subscribers(self) -> list[Subscriber]:
        return [self.judged, *self.constant, *self.watching]

    async def play(self) -> None:
        random, live = self.random, self.it.core._sources.live
        assert live is not None
        await live.begin(None)
        for each in self.subscribers:  # else those that are cut off before the first change would begin anew
            each.after = live.write_cursor(await live.newest())
        self._start(self.subscribers)
        for _ in range(12):
            key, _ = self.it.upload(random.choice([FIRST, SECOND]), duration_s=random.uniform(1, 60))
            self.keys.append(key)
            if random.random() < 0.5:
                await asyncio.sleep(random.uniform(0, 10))  # between uploads
                one = Subscriber(self.it, random, self.everything, key, pause_s=random.choice([0.0, 2.0]))
                self.watching.append(one)
                self._start([one])
            if random.random() < 0.3:
                self.judged.change(random.choice(list(self.judged.scopes)))
            if random.random() < 0.25:
                await self._stop()
                await self.it.restart()
                self._start([each for each in self.subscribers if not each.has_ended])
        await asyncio.sleep(300)  # all has ended, and was read
        await self._stop()

    def _start(self, subscribers: list[Subscriber]) -> None:
        self._tasks += [asyncio.create_task(each.run()) for each in subscribers]

    async def _stop(self) -> None:
        """Cut all off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            assert task.cancelled() or task.exception() is None, task.exception()
        self._tasks = []


@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("sqlite", 2), ("postgresql", 3)])
async def test_everything_once_and_in_order(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, seed: int
) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = await asyncio.to_thread(lambda: asyncio.run(server.create_database()))
    async with following(tmp_path, FIRST, SECOND, history_url=url) as it:
        await asyncio.sleep(20)  # the logs have been read for the first time
        scenario = Scenario(it, Random(seed))  # noqa: S311  draws lots
        await scenario.play()
        stored = {key: await events_in_order(it.history.store, key) for key in scenario.keys}
    assert all(len(events) > 2 for events in stored.values())
    for each in scenario.subscribers:
        for events in each.told.values():
            assert len({event.event_id for event in events}) == len(events)
    for each in scenario.constant:
        seen = {key: events for key, events in each.told.items() if events}
        assert seen == {key: events for key, events in stored.items() if each.scope.covers(key)}
    for each in scenario.watching:
        assert each.key is not None
        assert each.has_ended
        assert each.told[each.key] == stored[each.key]
