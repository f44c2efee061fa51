"""Event loops whose time a busy machine can't disturb, or whose waits are short. Selected by a marker (conftest.py)."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_TIMES_FASTER = 20


class MadeUpTime(asyncio.SelectorEventLoop):
    """For code without connections. Time stands still while anything runs, then jumps to the next timer."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Leaping(self._leap))

    def time(self) -> float:
        return self._now

    def _leap(self, by_s: float) -> None:
        self._now += by_s


class _Leaping(selectors.DefaultSelector):
    def __init__(self, leap: Callable[[float], None]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Never wait for a timer; without one, wait as usual."""
        happened = super().select(None if timeout is None else 0)
        if not happened and timeout is not None and timeout > 0:
            self._leap(timeout)
        return happened


class FastTime(asyncio.SelectorEventLoop):
    """For real connections. Idle time counts 20 times, so a wait of 1 s takes 50 ms; busy time counts once.

    A timeout that must never be reached still leaves time for slow threads: 90 s are 4.5 s of idle time. Only the
    loop's own clock is fast: `time.monotonic()`, threads and other processes are not affected.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0
        super().__init__(_Hurrying(self._idled))

    def time(self) -> float:
        return time.monotonic() + self._ahead_s

    def _idled(self, for_s: float) -> None:
        self._ahead_s += for_s * (_TIMES_FASTER - 1)


class _Hurrying(selectors.DefaultSelector):
    def __init__(self, idled: Callable[[float], None]) -> None:
        super().__init__()
        self._idled = idled

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        began = time.monotonic()
        happened = super().select(timeout and timeout / _TIMES_FASTER)
        self._idled(time.monotonic() - began)
        return happened


def loop_factory(item: pytest.Item) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop class for a test's marker."""
    if item.get_closest_marker("made_up_time"):
        return MadeUpTime
    return FastTime if item.get_closest_marker("fast_time") else asyncio.new_event_loop
