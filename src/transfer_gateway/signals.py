"""SIGTERM and SIGINT handling, from the start of the process to its exit.

Imported before everything else, so it imports little: until it has run, a signal kills the process.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

TYPE_CHECKING = False  # importing `typing` takes 10 ms
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from collections.abc import Callable
    from typing import Any, Self

ALIVE_EVERY_S = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_early: list[int] = []  # received before `SignalHandlers` was entered


def exit_at_once() -> None:
    """From now on a signal exits with code 0: nothing needs to be shut down."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))


def die() -> None:
    """From now on SIGINT kills the process, unless it is ignored.

    A KeyboardInterrupt while C extensions are imported may crash the process instead.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt() -> None:
    """From now on SIGINT raises KeyboardInterrupt, unless it is ignored, so that contexts end."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def remember() -> None:
    """From now on signals are kept until `SignalHandlers` is entered."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _frame: _early.append(number))


def ignore() -> None:
    """From now on signals are ignored, so that the exit code stands.

    As it exits, Python restores the default action in place of any other handler.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Parent:
    """A context in which a worker follows its parent, which writes a byte to stdin for each signal that it gets.

    `on_first` is called at the first, and at the end of stdin, when the parent is gone; `on_second` at further ones.
    Signals to the worker itself don't count: a terminal or service manager may send the same one to both.
    """

    def __init__(
        self, loop: AbstractEventLoop, on_first: Callable[[], None], on_second: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._on_first = self._on_next = on_first
        self._on_second = on_second
        self._telling: TimerHandle | None = None

    def __enter__(self) -> Self:
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        self._loop.add_reader(0, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(0)
        if self._telling is not None:
            self._telling.cancel()

    def tell_alive(self) -> None:
        """From now on, write an empty line to stdout every 2 s, as long as the event loop runs."""
        with suppress(OSError):  # the parent has ended, or has not read for long
            os.write(1, b"\n")
        self._telling = self._loop.call_later(ALIVE_EVERY_S, self.tell_alive)

    def _read(self) -> None:
        try:
            told = os.read(0, 64)
        except ConnectionResetError:  # as its end
            told = b""
        if not told:
            self._loop.remove_reader(0)
            self._on_first()
        for _ in told:
            self._on_next()
            self._on_next = self._on_second


class SignalHandlers:
    """A context in which each signal calls `on_signal`, starting with those kept by `remember`.

    `schedule` runs it, such as a loop's call_soon_threadsafe. A loop's own add_signal_handler does not fit: removing it
    restores the default action, which kills the process.
    """

    def __init__(
        self, on_signal: Callable[[], None], schedule: Callable[[Callable[[], None]], object]
    ) -> None:
        self._on_signal = on_signal
        self._schedule = schedule
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, lambda *_: self._schedule(self._on_signal))
        while _early:
            _early.pop()
            self._schedule(self._on_signal)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
