"""The clock of executions, separate from the wall clock that signatures are checked against."""

import time

MAX_ADVANCE_S = 1_000_000_000  # 31 years: executions end within minutes


class Clock:
    """Wall time plus what a test has advanced it; does not run if created by `frozen`. It never goes backwards."""

    def __init__(self) -> None:
        self._frozen_at: float | None = None
        self._offset_s = 0.0
        self._latest = 0.0

    @classmethod
    def frozen(cls, at: float) -> "Clock":
        """A clock that stays at `at` (seconds since 1970) until it is advanced."""
        clock = cls()
        clock._frozen_at = at
        return clock

    def now(self) -> float:
        """Seconds since 1970."""
        base = time.time() if self._frozen_at is None else self._frozen_at
        self._latest = max(self._latest, base + self._offset_s)  # the wall clock may be set back
        return self._latest

    def advance(self, seconds: float) -> None:
        """Raises: ValueError, unless `seconds` is from 0 to `MAX_ADVANCE_S`."""
        if not 0 <= seconds <= MAX_ADVANCE_S:
            raise ValueError(f"advance_s: must be from 0 to {MAX_ADVANCE_S}, not {seconds!r}")
        self._offset_s += seconds
