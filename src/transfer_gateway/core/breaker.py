"""A target's circuit breaker: AWS is not asked for a while after it has failed too often in a row."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.domain.errors import GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.domain.identity import Target

T = TypeVar("T")
_log = get_logger(__name__)

_BREAKER_FAILURES = 5
_BREAKER_S = (0.5, 5.0)  # first time open, and longest
_RESOLUTION_S = 0.001  # of the loop's timers
_PATIENCE_S = 2.0  # a call that is given up after this long counts as a failure of AWS's


class BreakerOpen(UpstreamUnavailable):
    """We did not ask AWS: it has failed too often a moment ago."""


class CircuitBreaker:
    """Opens after so many failures in a row; then lets one probe through at a time, ever more rarely."""

    __slots__ = ("_failures", "_open_for_s", "_open_until", "_probing", "_target", "openings")

    def __init__(self, target: Target) -> None:
        self._target = target
        self._failures = 0
        self._open_until = 0.0
        self._open_for_s = 0.0
        self._probing = False
        self.openings = 0

    @property
    def is_open(self) -> bool:
        """Until a probe is answered."""
        return self._failures >= _BREAKER_FAILURES

    def refuse_if_open(self) -> None:
        """Raises: UpstreamUnavailable, with the time after which a probe may go."""
        if not self.is_open:
            return
        left_s = self._open_until - asyncio.get_running_loop().time()
        if left_s > 0 or self._probing:
            raise BreakerOpen(
                f"AWS has failed {self._failures} times in a row for {self._target.label}, "
                "so it is left alone for a while.",
                account_id=self._target.account_id,
                region=self._target.region,
                retry_after_s=max(left_s, 0.1),
            )

    async def watch(self, ask: Callable[[], Awaitable[T]], deadline: float) -> T:
        """One call, which is ended at the deadline. Refused if the breaker has opened while it waited for its turn."""
        self.refuse_if_open()
        probe = self._probing = self.is_open
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            answer = await ask()
        except (Throttled, UpstreamUnavailable):
            self._failed(probe=probe)
            raise
        except GatewayError:  # an answer all the same
            self._answered()
            raise
        except asyncio.CancelledError:
            now = loop.time()
            if now >= deadline - _RESOLUTION_S or now - started > _PATIENCE_S:
                self._failed(probe=probe)
            raise
        finally:
            if probe:
                self._probing = False
        self._answered()
        return answer

    def _failed(self, *, probe: bool) -> None:
        self._failures += 1
        # Calls that were under way when it opened say nothing new: only a probe's failure keeps it open longer.
        if self._failures != _BREAKER_FAILURES and not (probe and self._failures > _BREAKER_FAILURES):
            return
        self.openings += not probe
        first_s, longest_s = _BREAKER_S
        self._open_for_s = min(longest_s, self._open_for_s * 2 or first_s)
        self._open_until = asyncio.get_running_loop().time() + self._open_for_s
        _log.warning(
            "breaker_opened",
            account=self._target.account_id,
            region=self._target.region,
            failures=self._failures,
            for_s=self._open_for_s,
        )

    def _answered(self) -> None:
        if self.is_open:
            _log.info("breaker_closed", account=self._target.account_id, region=self._target.region)
        self._failures, self._open_for_s = 0, 0.0
