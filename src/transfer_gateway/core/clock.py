"""The time by which snapshots are dated: comparable between processes, and never set back within one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The wall clock's time at the start of the process, and the time that has passed since.

    A step of the wall clock (NTP, an operator) during the process changes nothing: no snapshot gets older by it, and
    none is fresh for longer. Source: docs/decisions/0014-clock-and-versions.md.
    """

    def __init__(self, *, monotonic: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        """`monotonic` counts the seconds that pass, from any start: the time of the running loop."""
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset_s + self._monotonic()
