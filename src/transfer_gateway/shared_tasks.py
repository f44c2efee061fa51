"""Tasks that several callers wait for and none of them owns."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

T = TypeVar("T")


class SharedTasks:
    """Keeps tasks alive until they are done. An async context manager: leaving it cancels those still running.

    Not a TaskGroup, where one task's failure cancels all others.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(
        self, work: Coroutine[Any, Any, T], *, name: str, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Start a task. Wait for it through `asyncio.shield`, so that a cancelled caller does not cancel it.

        It runs in `context`, an empty one by default, never in a copy of the caller's: it may outlive the caller, and
        its other waiters must not run under the caller's request, quota or credentials.
        """
        task = asyncio.create_task(work, name=name, context=Context() if context is None else context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def restarted(
    run: Callable[[], Coroutine[Any, Any, None]], *, on_fault: Callable[[], object], after_s: float
) -> None:
    """Run in the background until cancelled; after a fault again, as nobody waits who would hear of it.

    `on_fault` logs it: it is called while the exception is handled.
    """
    while True:
        try:
            await run()
        except Exception:  # whatever it is, others must not miss this task for good  # noqa: BLE001
            on_fault()
            await asyncio.sleep(after_s)
