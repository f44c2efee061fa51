"""The clock of executions, separate from the wall clock that signatures are checked against."""

import time


class Clock:
    """Wall time plus what a test has advanced it; does not run if created by `frozen`."""

    def __init__(self) -> None:
        self._frozen_at: float | None = None
        self._offset_s = 0.0

    @classmethod
    def frozen(cls, at: float) -> "Clock":
        """A clock that stays at `at` (seconds since 1970) until it is advanced."""
        clock = cls()
        clock._frozen_at = at
        return clock

    def now(self) -> float:
        """Seconds since 1970."""
        base = time.time() if self._frozen_at is None else self._frozen_at
        return base + self._offset_s

    def advance(self, seconds: float) -> None:
        self._offset_s += seconds
