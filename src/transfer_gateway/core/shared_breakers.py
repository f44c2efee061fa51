"""Tells the other replicas which circuit breakers have opened or closed here, and takes over what they tell of theirs.

So a target that fails is probed by one of them, and all call it again when it answers. What is told goes with the
beats, and may be two seconds late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer_gateway.core.breaker import LONGEST_OPEN_S, BreakerState, BreakerVersion
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history.codec import UNREADABLE, described, dump, load
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from transfer_gateway.core.pacing import Pacing

_log = get_logger(__name__)
_MAX_TOLD = 200  # at a time, the latest: each takes 100 bytes of a row that is written every second
_MAX_NAME = 300  # of a replica: a host's name and more
_MAX_NUMBER = 2**53


class SharedBreakers:
    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing

    def name(self, replica: str) -> None:
        """Whose changes these are."""
        self._pacing.breaker_versions.replica = replica

    def tell(self) -> str:
        """What the others are to know: JSON."""
        states = self._pacing.breaker_states()
        latest = sorted(states, key=lambda target: states[target].version, reverse=True)[:_MAX_TOLD]
        return dump(
            {
                "highest": self._pacing.breaker_versions.highest,
                "breakers": [
                    (target.account_id, target.region, *it.version, it.failures, it.open_for_s, it.left_s)
                    for target in latest
                    for it in (states[target],)
                ],
            }
        )

    def learn(self, replica: str, told: str) -> None:
        """From what another replica tells. What is not as this one would tell it is left out, all of it."""
        try:
            read = load(told)
            states = dict(map(_state, _within(read["breakers"], _MAX_TOLD)))
            highest = _whole(read["highest"])
        except UNREADABLE as error:  # another version has written it, or something else
            _log.warning("breakers_unreadable", replica=replica, detail=described(error))
            return
        self._pacing.breaker_versions.note(highest)
        for target, state in states.items():
            self._pacing.adopt_breaker(target, state)


def _state(row: list[Any]) -> tuple[Target, BreakerState]:
    """Raises: one of UNREADABLE."""
    account_id, region, number, changed_by, failures, open_for_s, left_s = row
    target = Target(str.__new__(AccountId, _name(account_id)), str.__new__(Region, _name(region)))
    version = BreakerVersion(_whole(number), _name(changed_by))
    return target, BreakerState(version, _whole(failures), _seconds(open_for_s), _seconds(left_s))


def _within(rows: list[Any], most: int) -> list[Any]:
    if len(rows) > most:
        raise ValueError(f"more than {most} rows")
    return rows


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME:
        raise ValueError("no name, or too long")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise ValueError("no whole number, or out of range")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= LONGEST_OPEN_S:
        raise ValueError("no time, or out of range")
    return float(value)
