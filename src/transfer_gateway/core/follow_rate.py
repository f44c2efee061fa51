"""How often logs are read, and how often it is looked up where targets log, so that one process carries all of it.

Reads of all logs together stay below a limit. Quiet logs are slowed down first, and the past waits for what is new;
but both keep at least a fifth of the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import Target

MAX_IDLE_S = 60.0  # between reads of a quiet log, as long as the limit allows that
_BACKGROUND = 0.2
# Each takes four AWS calls or more. Those of targets of which nothing is known are in a hurry.
_LOOKUPS_PER_S, _FIRST_LOOKUPS_PER_S, _LOOKUPS_BURST = 25.0, 50.0, 50
_LOOKED_UP_EVERY_S = 300.0


class Demand(NamedTuple):
    """The logs of one target: in which something happens, in which nothing does, and whose past is being read."""

    active: int = 0
    idle: int = 0
    past: int = 0


class FollowRate:
    """The rates of all targets' followers. Times are in seconds."""

    def __init__(self, *, interval_s: float, max_reads_per_s: float) -> None:
        """`interval_s`: between reads of an active log, as long as the limit allows that."""
        self._interval_s, self._limit = interval_s, max_reads_per_s
        self._demands: dict[Target, Demand] = {}
        self._active = self._idle = self._past = 0
        self._next_lookup_at = 0.0
        self.targets = 0  # followed in all

    def count(self, target: Target, demand: Demand) -> None:
        """Count this target's logs, instead of what was counted of it before."""
        before = self._demands.get(target, Demand())
        self._demands[target] = demand
        self._active += demand.active - before.active
        self._idle += demand.idle - before.idle
        self._past += demand.past - before.past

    def forget(self, target: Target) -> None:
        self.count(target, Demand())
        del self._demands[target]

    @property
    def active_s(self) -> float:
        """Between two reads of a log in which something happens."""
        needed = self._limit if self._past else self._idle / MAX_IDLE_S
        kept = min(self._limit * _BACKGROUND, needed)
        return max(self._interval_s, self._active / (self._limit - kept))

    @property
    def idle_s(self) -> float:
        """Between two reads of a log in which nothing happens, at least."""
        if not self._idle:
            return 0.0
        left = self._left
        return self._idle / (left / 2 if self._past else left)

    @property
    def past_s(self) -> float:
        """Between two reads of a log's past: what quiet logs can't use, and half of the rest at least."""
        if not self._past:
            return 0.0
        left = self._left
        return self._past / max(left / 2, left - self._idle / self._interval_s)

    @property
    def _left(self) -> float:
        """Reads per second that active logs leave."""
        return self._limit - self._active / self.active_s

    @property
    def lookup_every_s(self) -> float:
        """How long it may be known where a target logs before it is looked up again."""
        return max(_LOOKED_UP_EVERY_S, self.targets / _LOOKUPS_PER_S)

    def next_lookup(self, now: float, *, is_first: bool) -> float:
        """Take a turn to look up where a target logs; `is_first`: nothing is known of it. Returns: when."""
        step_s = 1 / (_FIRST_LOOKUPS_PER_S if is_first else _LOOKUPS_PER_S)
        at = max(self._next_lookup_at, now - _LOOKUPS_BURST * step_s)
        self._next_lookup_at = at + step_s
        return max(at, now)
