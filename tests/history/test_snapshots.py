"""AWS's answers that replicas have from each other: how old they are, whatever the clocks say, and who asks AWS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from history_events import new_key
from transfer_gateway.history.snapshots import Round, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer_gateway.history.snapshots import RoundResult, SnapshotKey
    from transfer_gateway.history.store import HistoryStore

AHEAD_MS, CLAIM_MS = 300_000, 60_000


class Replica:
    """One whose clock is ahead by so much."""

    def __init__(self, store: HistoryStore, ahead_ms: int = 0) -> None:
        self._store, self._ahead_ms = store, ahead_ms

    def now_ms(self) -> int:
        return int(time.time() * 1000) + self._ahead_ms

    async def exchange(
        self, seen: Mapping[SnapshotKey, Seen] | None = None, **ages_s: Mapping[SnapshotKey, float]
    ) -> RoundResult:
        """`wanted`: no older than so many seconds."""
        now_ms = self.now_ms()
        wanted: dict[SnapshotKey, int] = {
            key: now_ms - int(age_s * 1000) for key, age_s in ages_s.get("wanted", {}).items()
        }
        given = Round(seen or {}, (), wanted, now_ms=self.now_ms, claim_ms=CLAIM_MS)
        return await self._store.snapshots.exchange(given)


async def test_ages_are_true_whatever_the_clocks_say(store: HistoryStore) -> None:
    key = new_key()
    for writes_ms, reads_ms in ((0, 0), (AHEAD_MS, 0), (0, AHEAD_MS)):
        writer, reader = Replica(store, writes_ms), Replica(store, reads_ms)
        sent_ms = writer.now_ms() - 10_000
        await writer.exchange({key: Seen(sent_ms, None)})
        assert (await reader.exchange(wanted={key: 5})).found == {}
        found = (await reader.exchange(wanted={key: 60})).found[key]
        age_ms = reader.now_ms() - found.sent_at_ms
        assert 10_000 <= age_ms < 50_000
        await store.snapshots.remove(0)


async def test_one_asks_and_the_others_wait(store: HistoryStore) -> None:
    """Until there is an answer; a claim by a wrong clock holds no longer than any."""
    key, first, second = new_key(), Replica(store, AHEAD_MS), Replica(store)
    assert (await first.exchange(wanted={key: 0})).claimed == {key}
    waiting = await second.exchange(wanted={key: 0})
    assert not waiting.claimed
    assert not waiting.found
    await first.exchange({key: Seen(first.now_ms(), None)})
    assert key in (await second.exchange(wanted={key: 60})).found
    assert (await second.exchange(wanted={key: -1})).claimed == {key}


@pytest.mark.parametrize("body", ['{"another": 1}', "[" * 100_000, '{"observed_at_us": 1e30}', "1", "null"])
async def test_what_can_not_be_read_is_asked_for_anew(store: HistoryStore, body: str) -> None:
    """It may be another version's."""
    key, replica = new_key(), Replica(store)
    await replica.exchange({key: Seen(replica.now_ms(), None)})
    async with store._operations.database.writer.begin() as connection:
        await connection.execute(sa.text("UPDATE history_snapshots SET body = :body"), {"body": body})
    result = await replica.exchange(wanted={key: 60})
    assert not result.found
    assert result.claimed == {key}
