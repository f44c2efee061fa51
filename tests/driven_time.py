"""Event loops whose time a busy machine can't disturb, or whose waits are short. Selected by a marker (conftest.py)."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    import pytest

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_TIMES_FASTER = 20
_A_MOMENT_S = 0.01


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


class DrivenTime(asyncio.SelectorEventLoop):
    """For real connections and hours that pass in milliseconds: time leaps to the next timer once nothing happens.

    It stands still while `is_busy` says that something is under way that the loop doesn't see, such as a database's
    answer, and while the loop's executor works.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._in_threads: set[asyncio.Future[Any]] = set()
        self.is_busy: Callable[[], bool] = lambda: False
        super().__init__(_Idling(self._waits, self._leap))

    def time(self) -> float:
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    def _waits(self) -> bool:
        return bool(self._in_threads) or self.is_busy()

    def _leap(self, by_s: float) -> None:
        self._now += by_s


class _Idling(selectors.DefaultSelector):
    def __init__(self, waits: Callable[[], bool], leap: Callable[[float], None]) -> None:
        super().__init__()
        self._waits, self._leap = waits, leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        happened = super().select(0)
        if happened or timeout == 0:
            return happened
        if timeout is None or self._waits():
            return super().select(_A_MOMENT_S)
        happened = super().select(_A_MOMENT_S / 20)  # connections within the process need no more
        if not happened:
            self._leap(timeout)
        return happened


def loop_factory(item: pytest.Item) -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop class for a test's marker."""
    if item.get_closest_marker("made_up_time"):
        return MadeUpTime
    if item.get_closest_marker("driven_time"):
        return DrivenTime
    return FastTime if item.get_closest_marker("fast_time") else asyncio.new_event_loop
