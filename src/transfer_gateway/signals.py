"""SIGTERM and SIGINT, from the command's first moment to its last.

Loaded before all else, so it needs little: each module more is time in which a signal still kills.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # `typing` takes 10 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_early: list[int] = []  # arrived with nobody to hear them


def exit_at_once() -> None:
    """From now on a signal ends the process with 0: there is nothing to finish."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def remember() -> None:
    """From now on signals wait for `SignalHandlers`."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: _early.append(number))


def ignore() -> None:
    """From now on nothing happens: the exit code stands. Python's end would put the default in any other's place."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class SignalHandlers:
    """Calls `hear` for each signal, those remembered first, as long as the context lasts.

    `wake` is what has it called, such as a loop's call_soon_threadsafe. Not a loop's own add_signal_handler: taken away
    again, it leaves the default, by which a signal kills.
    """

    def __init__(self, hear: Callable[[], None], wake: Callable[[Callable[[], None]], object]) -> None:
        self._hear = hear
        self._wake = wake
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, lambda *_: self._wake(self._hear))
        while _early:
            _early.pop()
            self._wake(self._hear)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
