"""The subscriptions that are open on one connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OpenStreams:
    """While any is open, the connection is not idle, and its responses have no time limit."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[object, Callable[[], None]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @contextmanager
    def one(self, end: Callable[[], None] = lambda: None) -> Iterator[None]:
        """A subscription is open meanwhile. `end` is called once, if the service shuts down."""
        stream = object()
        self._open[stream] = end
        try:
            yield
        finally:
            self._open.pop(stream, None)

    def end(self) -> None:
        """End all of them in the way that makes clients come back."""
        while self._open:
            _, end = self._open.popitem()
            end()
