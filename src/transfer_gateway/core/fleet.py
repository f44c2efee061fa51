"""The replicas that share the history: which of them live, and which of them follows which target.

Each says every second that it lives, and reads who else does: whoever has not said so for six seconds is gone. Every
replica then finds the same owner of each target by itself (rendezvous hashing): targets spread evenly, and those of the
replicas that stay do not move. For a moment two may disagree, and a target is followed twice, or not at all. Neither
does harm: what is appended twice is stored once, and the next owner reads on from the checkpoint.

A replica that can't reach the store goes on with what it followed, and with its share of AWS's limits. Time in which
nobody can be seen does not count, so that after an outage nobody is taken for gone.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING

from transfer_gateway.backoff import jittered
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.shared_tasks import restarted
from transfer_gateway.telemetry import gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.core import Metric

    from transfer_gateway.core.shared_breakers import SharedBreakers
    from transfer_gateway.domain.identity import Target
    from transfer_gateway.history.fleet import Beat, FleetStore

_log = get_logger(__name__)
BEAT_S, GONE_S = 1.0, 6.0
_LEAVE_S = 1.0


class Fleet:
    """`replica`: this one's name. `members`: those that live, this one included, in order.

    `run` it in a task of its own. Without a store it is alone.
    """

    def __init__(
        self,
        store: FleetStore | None,
        breakers: SharedBreakers | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self.replica = f"{name or socket.gethostname()}-{secrets.token_hex(4)}"
        self.members: tuple[str, ...] = (self.replica,)
        self._store, self._breakers = store, breakers
        if breakers is not None:
            breakers.name(self.replica)
        self._beats: dict[str, int] = {}
        self._silent_s: dict[str, float] = {}
        self._seen_at: float | None = None  # when the others were last seen, in the loop's time
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_alone(self) -> bool:
        return len(self.members) == 1

    @property
    def share(self) -> float:
        """This replica's part of what all may use together."""
        return 1 / len(self.members)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call it whenever the members have changed."""
        self._listeners.append(listener)

    def owns(self, target: Target) -> bool:
        return self.is_alone or self.replica == max(self.members, key=lambda member: _rank(member, target))

    async def run(self) -> None:
        """Until cancelled; then leave."""
        if self._store is None:
            return
        try:
            await restarted(self._beat_on, on_fault=lambda: _log.exception("beats_failed"), after_s=BEAT_S)
        finally:
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._store.remove([self.replica])

    async def _beat_on(self) -> None:
        while True:
            await self.beat()
            await asyncio.sleep(jittered(BEAT_S, 0.9, 1.0))

    async def beat(self) -> None:
        """Say that this replica lives, and see who else does. Problems are the store's to log."""
        if self._store is None:
            return
        try:
            beats = await self._store.beat(self.replica, self._breakers.tell() if self._breakers else None)
        except GatewayError:
            self._seen_at = None
            return
        gone = self._note({it: beat.number for it, beat in beats.items()}, asyncio.get_running_loop().time())
        self._learn(beats)
        if gone:
            with suppress(GatewayError):
                await self._store.remove(gone)

    def _learn(self, beats: Mapping[str, Beat]) -> None:
        if self._breakers is None:
            return
        for member in self.members:
            told = beats[member].note if member in beats else None
            if told is not None and member != self.replica:
                self._breakers.learn(member, told)

    def _note(self, beats: Mapping[str, int], now: float) -> list[str]:
        """Returns: those that are gone, but did not say so."""
        elapsed_s = 0.0 if self._seen_at is None else min(now - self._seen_at, 2 * BEAT_S)
        self._seen_at = now
        silent_s = {
            member: self._silent_s.get(member, 0.0) + elapsed_s if self._beats.get(member) == count else 0.0
            for member, count in beats.items()
        }
        gone = [member for member, silent in silent_s.items() if silent >= GONE_S and member != self.replica]
        lives = beats.keys() - gone
        self._beats, self._silent_s = {it: beats[it] for it in lives}, {it: silent_s[it] for it in lives}
        self._use({*lives, self.replica})
        return gone

    def _use(self, members: Iterable[str]) -> None:
        before, self.members = self.members, tuple(sorted(members))
        if before == self.members:
            return
        _log.info(
            "fleet_changed",
            replicas=len(self.members),
            came=sorted(set(self.members) - set(before)),
            left=sorted(set(before) - set(self.members)),
        )
        for listener in self._listeners:
            listener()

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "replicas",
            "Replicas that share the history and live, as this one sees it.",
            (),
            len(self.members),
        )


def _rank(member: str, target: Target) -> bytes:
    return blake2b(f"{member} {target.account_id} {target.region}".encode(), digest_size=8).digest()
