"""Tells the other replicas what is known of the targets that this one follows, and learns from them about theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.follower import WATCHED_FOR_S
from transfer_gateway.core.follower_state import dump_sources, dump_state, load_sources, load_state
from transfer_gateway.history.codec import UNREADABLE, described
from transfer_gateway.history.fleet import Followed
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.fleet import Fleet
    from transfer_gateway.core.follower import Follower
    from transfer_gateway.domain.identity import Target
    from transfer_gateway.domain.log_sources import LogSources
    from transfer_gateway.history.store import HistoryStore

_log = get_logger(__name__)
SHARE_EVERY_S = 1.0
_BATCH = 500


class SharedFollowing:
    """`owned`: the targets that this replica follows. Nothing is shared while it is alone."""

    def __init__(
        self,
        fleet: Fleet,
        store: HistoryStore,
        followers: Mapping[Target, Follower],
        owned: Mapping[Target, object],
        clock: Clock,
    ) -> None:
        self._fleet, self._store, self._followers, self._owned = fleet, store, followers, owned
        self._now = clock.now
        self._changed: set[Target] = set()
        self._told: dict[Target, LogSources] = {}
        self._learned: dict[Target, int] = {}  # the hash of its sources
        self._gone: set[Target] = set()
        self._after = 0
        self._with: object = None  # the members and the store that all of the above is about

    def note(self, target: Target) -> None:
        """What is known of a target may have changed."""
        if not self._fleet.is_alone:
            self._changed.add(target)

    def forget(self, target: Target) -> None:
        """It is not configured any more."""
        self._gone.add(target)
        self._changed.discard(target)
        self._told.pop(target, None)
        self._learned.pop(target, None)

    async def share(self) -> None:
        """Raises: UpstreamUnavailable."""
        if self._gone and self._store.is_shared:
            gone = list(self._gone)[:_BATCH]
            await self._store.fleet.forget(gone)
            self._gone.difference_update(gone)
        if self._fleet.is_alone:
            if self._store.is_shared and not self._after:
                await self._learn()  # what was known before a restart
            self._with = None
            return
        if self._with != (now := (self._fleet.members, self._store.generation)):
            self._changed.update(self._owned)
            self._told.clear()
            self._after, self._with = 0, now
        await self._learn()
        await self._tell()
        await self._share_watched()

    async def _tell(self) -> None:
        """What changes meanwhile is told the next time."""
        changed = [
            target
            for target in self._changed
            if target in self._owned and self._followers[target].is_informed
        ]
        self._changed.clear()
        try:
            while changed:
                batch = changed[-_BATCH:]
                sources = {
                    target: self._followers[target].sources for target in batch if target in self._owned
                }
                await self._store.fleet.save([self._told_of(target) for target in sources])
                del changed[-_BATCH:]
                self._told.update((target, it) for target, it in sources.items() if it is not None)
                for target in sources:
                    self._learned.pop(target, None)
        finally:
            self._changed.update(changed)  # what could not be told

    def _told_of(self, target: Target) -> Followed:
        follower = self._followers[target]
        sources = follower.sources
        is_new = sources is not None and self._told.get(target) is not sources
        return Followed(
            target,
            self._fleet.replica,
            dump_state(follower.state),
            dump_sources(sources, follower.logs) if sources is not None and is_new else None,
        )

    async def _learn(self) -> None:
        while True:
            found, after = await self._store.fleet.followed(self._after)
            self._adopt(found)
            if after == self._after:
                return
            self._after = after

    def _adopt(self, found: Iterable[Followed]) -> None:
        for each in found:
            follower = self._followers.get(each.target)
            if follower is None or each.replica == self._fleet.replica:
                continue
            if each.target in self._owned and follower.is_informed:
                continue  # it knows better
            try:
                self._adopt_one(follower, each)
            except UNREADABLE as error:
                _log.warning(
                    "follower_state_unreadable",
                    account=each.target.account_id,
                    region=each.target.region,
                    replica=each.replica,
                    detail=described(error),
                )

    def _adopt_one(self, follower: Follower, told: Followed) -> None:
        """Raises: one of UNREADABLE."""
        sources, logs = follower.sources, follower.logs
        if told.sources is not None and self._learned.get(told.target) != hash(told.sources):
            sources, logs = load_sources(told.sources, told.target)
            self._learned[told.target] = hash(told.sources)
        follower.adopt(load_state(told.state, told.target), sources, logs)

    async def _share_watched(self) -> None:
        """What is watched here and followed there, and the other way round."""
        now_ms = int(self._now() * 1000)
        here = [
            target
            for target, follower in self._followers.items()
            if follower.is_watched and target not in self._owned
        ]
        if here:
            until_ms = now_ms + int(WATCHED_FOR_S * 1000)
            await self._store.fleet.watch(here, now_ms=now_ms, until_ms=until_ms)
        for target in await self._store.fleet.watched(now_ms=now_ms):
            if target in self._owned:
                self._followers[target].watch()
