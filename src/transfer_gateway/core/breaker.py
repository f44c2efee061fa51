"""A target's circuit breaker: no calls for a while after too many consecutive AWS failures.

Replicas tell each other of their breakers' changes: see `shared_breakers.py`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from transfer_gateway.backoff import jittered
from transfer_gateway.domain.errors import GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.domain.identity import Target

T = TypeVar("T")
_log = get_logger(__name__)

_BREAKER_FAILURES = 5  # consecutive
_FIRST_OPEN_S, LONGEST_OPEN_S = 0.5, 5.0  # how long it opens: at first, and at most
_RESOLUTION_S = 0.001  # of the loop's timers
_PATIENCE_S = 2.0  # a call cancelled after this long counts as an AWS failure
_TOLD_FOR_S = 10.0  # so long others are told of a change; of one that is open, as long as it is
_THEIRS_FIRST_S = (
    2.0  # so much later than the one that opened it others probe, as they may hear late of its next probe
)


class BreakerOpen(UpstreamUnavailable):
    """AWS was not called, because it has just failed too often."""


class BreakerVersion(NamedTuple):
    """Orders the changes of a target's breakers. `number`: higher than all that were known to the replica then."""

    number: int
    replica: str


@dataclass(frozen=True, slots=True)
class BreakerState:
    """`version`: of its last change. `left_s`: until the next probe."""

    version: BreakerVersion
    failures: int
    open_for_s: float
    left_s: float


class BreakerVersions:
    """Those of one replica. `highest`: of all numbers that it knows."""

    def __init__(self, replica: str = "") -> None:
        self.replica, self.highest = replica, 0

    def next(self) -> BreakerVersion:
        self.highest += 1
        return BreakerVersion(self.highest, self.replica)

    def note(self, number: int) -> None:
        self.highest = max(self.highest, number)


class CircuitBreaker:
    """Opens after `_BREAKER_FAILURES`; then lets one probe through at a time, at growing intervals."""

    __slots__ = (
        "_changed_at",
        "_failures",
        "_open_for_s",
        "_open_until",
        "_probing",
        "_target",
        "_version",
        "_versions",
        "openings",
    )

    def __init__(self, target: Target, versions: BreakerVersions) -> None:
        self._target, self._versions = target, versions
        self._version: BreakerVersion | None = None
        self._changed_at = 0.0
        self._failures = 0
        self._open_until = 0.0
        self._open_for_s = 0.0
        self._probing = False
        self.openings = 0

    @property
    def is_open(self) -> bool:
        """True until a probe succeeds."""
        return self._failures >= _BREAKER_FAILURES

    @property
    def has_failed(self) -> bool:
        """Whether AWS's last answer was a failure, or did not come."""
        return self._failures > 0

    def refuse_if_open(self) -> None:
        """Raises: BreakerOpen, with the time until the next probe."""
        if not self.is_open:
            return
        left_s = self._open_until - asyncio.get_running_loop().time()
        if left_s > 0 or self._probing:
            raise BreakerOpen(
                f"AWS has failed {self._failures} times in a row for {self._target.label}, "
                "so the gateway does not call it for a while.",
                account_id=self._target.account_id,
                region=self._target.region,
                retry_after_s=max(left_s, 0.1),
            )

    async def call(self, send: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Make one call, which the caller cancels at the deadline. Raises: BreakerOpen, and whatever `send` raises."""
        self.refuse_if_open()
        probe = self._probing = self.is_open
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            answer = await send()
        except (Throttled, UpstreamUnavailable):
            self._failed(probe=probe)
            raise
        except GatewayError:  # AWS responded
            self._responded()
            raise
        except asyncio.CancelledError:
            now = loop.time()
            if now >= deadline - _RESOLUTION_S or now - started > _PATIENCE_S:
                self._failed(probe=probe)
            raise
        finally:
            if probe:
                self._probing = False
        self._responded()
        return answer

    def _failed(self, *, probe: bool) -> None:
        self._failures += 1
        # Only a probe's failure extends the open time; calls that were in progress when it opened do not.
        if self._failures != _BREAKER_FAILURES and not (probe and self._failures > _BREAKER_FAILURES):
            return
        self.openings += not probe
        self._open_for_s = min(LONGEST_OPEN_S, self._open_for_s * 2 or _FIRST_OPEN_S)
        self._open_until = asyncio.get_running_loop().time() + self._open_for_s
        self._changed()
        _log.warning(
            "breaker_opened",
            account=self._target.account_id,
            region=self._target.region,
            failures=self._failures,
            for_s=self._open_for_s,
        )

    def _responded(self) -> None:
        if self.is_open:
            self._changed()
            self._log_closed()
        self._failures, self._open_for_s = 0, 0.0

    def _changed(self) -> None:
        self._version, self._changed_at = self._versions.next(), asyncio.get_running_loop().time()

    def _log_closed(self) -> None:
        _log.info("breaker_closed", account=self._target.account_id, region=self._target.region)

    def state(self) -> BreakerState | None:
        """For the other replicas; None: there is nothing to tell."""
        now = asyncio.get_running_loop().time()
        if self._version is None or not (self.is_open or now - self._changed_at < _TOLD_FOR_S):
            return None
        failures = self._failures if self.is_open else 0
        return BreakerState(self._version, failures, self._open_for_s, max(0.0, self._open_until - now))

    def adopt(self, state: BreakerState) -> None:
        """Another replica's, if it is the later one."""
        if self._version is not None and state.version <= self._version:
            return
        was_open = self.is_open
        self._version, self._changed_at = state.version, asyncio.get_running_loop().time()
        self._failures, self._open_for_s = state.failures, state.open_for_s
        self._open_until = self._changed_at + state.left_s + jittered(_THEIRS_FIRST_S)
        if was_open and not self.is_open:
            self._log_closed()
