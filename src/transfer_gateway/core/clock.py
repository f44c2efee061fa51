"""The clock that dates snapshots: comparable between processes, and monotonic within one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The wall clock's time at process start, plus the monotonic time since.

    Later steps of the wall clock (NTP, an operator) do not change the age of a snapshot.
    Source: docs/decisions/0014-clock-and-versions.md.
    """

    def __init__(self, *, monotonic: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        """`monotonic` returns seconds from an arbitrary start, such as the event loop's time."""
        self._monotonic = monotonic
        self._offset_s = wall() - monotonic()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._offset_s + self._monotonic()
