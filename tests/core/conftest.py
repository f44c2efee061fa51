"""Time that is made up, for what has no connections: it takes none, and a busy machine can't disturb it."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


class MadeUpTime(asyncio.SelectorEventLoop):
    """A loop whose time stands still while anything runs, and then goes on to when the next thing is due."""

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
        """What has happened; where nothing has, the wait is over at once. One without an end is a real one."""
        happened = super().select(None if timeout is None else 0)
        if not happened and timeout is not None and timeout > 0:
            self._leap(timeout)
        return happened


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests marked `made_up_time` get it."""
    return {"loop": MadeUpTime if item.get_closest_marker("made_up_time") else asyncio.new_event_loop}
