"""Tells the other replicas which circuit breakers have opened or closed here, and takes over what they tell of theirs.

So a target that fails is probed by one of them, and all call it again when it answers. What is told goes with the
beats, and may be two seconds late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.core.breaker import BreakerState, BreakerVersion
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history.codec import dump, load
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from transfer_gateway.core.pacing import Pacing

_log = get_logger(__name__)
_MAX_TOLD = 200  # at a time, the latest: each takes 100 bytes of a row that is written every second


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
        """From what another replica tells."""
        try:
            read = load(told)
            self._pacing.breaker_versions.note(int(read["highest"]))
            for account_id, region, number, changed_by, failures, open_for_s, left_s in read["breakers"]:
                target = Target(str.__new__(AccountId, account_id), str.__new__(Region, region))
                version = BreakerVersion(int(number), str(changed_by))
                state = BreakerState(version, int(failures), float(open_for_s), float(left_s))
                self._pacing.adopt_breaker(target, state)
        except (
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # another version has written it, or something else
            _log.warning("breakers_unreadable", replica=replica, detail=f"{type(error).__name__}: {error}")
