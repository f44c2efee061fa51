"""The subscriptions that are open on one connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class OpenStreams(dict[object, "Callable[[], None]"]):
    """While any is open, the connection is not idle, and its responses have no time limit.

    A dict, which is quick to ask whether it has any.
    """

    __slots__ = ()

    @contextmanager
    def one(self, end: Callable[[], None] = lambda: None) -> Iterator[None]:
        """A subscription is open meanwhile. `end` is called once, if the service shuts down."""
        stream = object()
        self[stream] = end
        try:
            yield
        finally:
            self.pop(stream, None)

    def end(self) -> None:
        """End all of them in the way that makes clients come back."""
        while self:
            _, end = self.popitem()
            end()
