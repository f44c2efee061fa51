"""Running operations on the database: bounded in time, done again once if that helps, failing with one error.

The schema is checked, or made, before the first one. While the database is down, one operation a second tries it and
the others fail at once.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.history import schema
from transfer_gateway.history.failures import (
    FAILURES,
    REPLACED,
    RETRY_S,
    Failure,
    Kind,
    NotConnected,
    Replaced,
    failure_of,
)
from transfer_gateway.history.time_limit import TimeLimit, turn
from transfer_gateway.telemetry import counter, gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

    from prometheus_client.core import Metric
    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.history.database import Database
    from transfer_gateway.shared_tasks import SharedTasks

T = TypeVar("T")

_log = get_logger(__name__)
_ATTEMPTS = 2
# The time of a search, and of the wait for its turn, each with the part of the timeout that it may take at most.
_SEARCH_S, _SEARCH_PART = 2.0, 0.6
_TURN_S, _TURN_PART = 2.0, 0.3
_LEAVE_S = 0.5  # how long an operation that is cancelled may take to clean up before it is left


class Operations:
    """`generation`: another number means that the database may be another one, with less in it."""

    def __init__(self, database: Database, tasks: SharedTasks, *, timeout_s: float) -> None:
        self.database = database
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._has_schema = False
        self._making_schema = asyncio.Lock()
        self._schema: asyncio.Task[None] | None = None
        self._replacing = asyncio.Lock()
        self.generation = 0
        self.losses_are_told = False  # by `note_loss`; else each outage may have been one
        self._replacements = 0
        self._is_closed = False
        self._running: set[asyncio.Task[Any]] = set()
        self._used: WeakKeyDictionary[asyncio.Task[Any], Any] = WeakKeyDictionary()  # the driver's
        self._searches = FairLimiter(database.searches, slow_s=math.inf)
        self._down: Failure | None = None
        self._try_at = 0.0
        self._failing: dict[str, str] = {}  # the reason by operation, logged once
        self._done: dict[tuple[str], int] = {}
        self._took_s: dict[tuple[str], float] = {}
        self._errors: dict[tuple[str], int] = {}

    async def read(self, operation: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Raises: UpstreamUnavailable."""

        async def attempt() -> T:
            async with self.database.reader.connect() as connection:
                return await work(connection)

        return await self._run(operation, attempt)

    async def search(
        self, operation: str, work: Callable[[AsyncConnection, TimeLimit], Awaitable[T]], *, caller: str
    ) -> T:
        """As `read`, for what may take long: few at once, and each is stopped after a while, which is no failure.

        Callers take turns, so that none keeps the others from searching.

        Raises: UpstreamUnavailable; DeadlineExceeded.
        """
        turn_s = min(_TURN_S, self._timeout_s * _TURN_PART)

        async def attempt() -> T:
            async with turn(self._searches, caller, turn_s), self.database.searcher.connect() as connection:
                limit = TimeLimit(self.database, min(_SEARCH_S, self._timeout_s * _SEARCH_PART))
                return await limit.run(connection, work)

        return await self._run(operation, attempt, is_alone=True)

    async def write(self, operation: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """In a transaction. Raises: UpstreamUnavailable."""

        async def attempt() -> T:
            async with self.database.writer.begin() as connection:
                await self._note_use(connection)
                return await work(connection)

        return await self._run(operation, attempt, is_alone=self.database.writes_in_line)

    async def _run(
        self, operation: str, attempt: Callable[[], Coroutine[Any, Any, T]], *, is_alone: bool = False
    ) -> T:
        """`is_alone`: its timeout says nothing of other operations, as it may have waited for its like, or be large."""
        self._refuse_if_down()
        started_at = time.perf_counter()
        try:
            result = await self._attempts(attempt)
        except _Failed as failed:
            self._errors[operation,] = self._errors.get((operation,), 0) + 1
            is_own = is_alone and isinstance(failed.__cause__, TimeoutError)
            self._note(operation, replace(failed.failure, kind=Kind.FAILED) if is_own else failed.failure)
            raise failed.failure.error() from failed.__cause__
        self._worked(operation)
        of = (operation,)
        self._done[of] = self._done.get(of, 0) + 1
        self._took_s[of] = self._took_s.get(of, 0.0) + time.perf_counter() - started_at
        return result

    async def _attempts(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        failure = REPLACED
        for _ in range(_ATTEMPTS):
            async with self._replacing:
                replacements = self._replacements
            try:
                return await self._attempt(attempt, replacements)
            except FAILURES as error:
                failure = await self._passing(error, replacements)
        raise _Failed(failure)

    async def _attempt(self, attempt: Callable[[], Coroutine[Any, Any, T]], replacements: int) -> T:
        if not self._has_schema:
            await self._await_schema()
        if replacements != self._replacements:
            raise Replaced
        return await self._within_time(attempt)

    async def _passing(self, error: Exception, replacements: int) -> Failure:
        """Returns: what has passed, so that another attempt may help. Raises: _Failed."""
        failure = failure_of(error, self._timeout_s)
        if failure.kind is Kind.DAMAGED:
            await self._replace(replacements, failure)
        elif failure.kind is not Kind.TRANSIENT:
            raise _Failed(failure) from error
        return failure

    async def _within_time(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """In a task of its own: a driver's clean-up may hang as the database does.

        Raises: TimeoutError; NotConnected once the store is closed.
        """
        if self._is_closed:
            raise NotConnected("is closed")
        replacements = self._replacements
        task = self._tasks.start(attempt(), name="history")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({task}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            # It goes on: a driver whose operation is cancelled in the middle may lose its connection, and hang.
            asyncio.get_running_loop().call_later(self._timeout_s, task.cancel)
            raise
        if not task.done():
            task.cancel()
            if (connection := self._used.get(task)) is not None:
                await self.database.interrupt(connection)
            await asyncio.wait({task}, timeout=_LEAVE_S)
            if not task.done():
                task.cancel()  # the driver then drops the connection
            raise TimeoutError
        if task.cancelled():
            raise Replaced if replacements != self._replacements else TimeoutError
        return task.result()

    async def _note_use(self, connection: AsyncConnection) -> None:
        """By this attempt: if it does not end in time, a statement that runs must not keep its locks."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  it runs in one
        self._used[task] = (await connection.get_raw_connection()).driver_connection

    async def _await_schema(self) -> None:
        """A large file's migration takes longer than an operation may: it goes on, and operations fail meanwhile."""
        if not self.database.migrates_itself:
            await self._within_time(self._ensure_schema)
            return
        if self._schema is None:
            self._schema = self._tasks.start(self._ensure_schema(), name="history schema")
            self._running.add(self._schema)
            self._schema.add_done_callback(self._running.discard)
        schema_task = self._schema
        await asyncio.wait({schema_task}, timeout=self._timeout_s)
        if not schema_task.done():
            raise NotConnected("is being brought up to this version's tables")
        if self._schema is schema_task:
            self._schema = None
        if schema_task.cancelled():
            raise Replaced
        schema_task.result()

    async def _ensure_schema(self) -> None:
        async with self._making_schema:
            if self._has_schema:
                return
            if self.database.migrates_itself:
                async with self.database.writer.begin() as connection:
                    before, after = await schema.migrate(connection)
                if before not in {None, after}:
                    _log.info("history_migrated", before=before, after=after)
            else:
                async with self.database.reader.connect() as connection:
                    await schema.check(connection)
            self._has_schema = True

    async def _replace(self, replacements: int, failure: Failure) -> None:
        async with self._replacing:
            if replacements != self._replacements:
                return  # another operation has
            _log.error(
                "history_store_replaced", detail=failure.detail, effect="the new one is filled from the logs"
            )
            self._replacements += 1
            self.generation += 1
            self._has_schema = False
            running = set(self._running)  # they use the old one, or wait for its connections
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running, timeout=_LEAVE_S)
            try:
                await self._within_time(self.database.start_anew)
            except FAILURES as error:
                raise _Failed(failure_of(error, self._timeout_s)) from error

    def _refuse_if_down(self) -> None:
        if self._down is None:
            return
        now = time.monotonic()
        if now < self._try_at:
            raise self._down.error()
        self._try_at = now + RETRY_S + self._timeout_s  # this one tries

    def _note(self, operation: str, failure: Failure) -> None:
        """Log a reason once, until it changes or is gone."""
        if self._is_closed:
            return
        if failure.kind is Kind.DOWN:
            if self._down is None or self._down.reason != failure.reason:
                _log.error("history_store_unavailable", reason=failure.reason, detail=failure.detail)
            self._down, self._try_at = failure, time.monotonic() + RETRY_S
        elif self._failing.get(operation) != failure.reason:
            self._failing[operation] = failure.reason
            _log.error(
                "history_operation_failed",
                operation=operation,
                reason=failure.reason,
                detail=failure.detail,
            )

    def _worked(self, operation: str) -> None:
        if self._down is not None:
            self._down = None
            if not self.losses_are_told:
                self.generation += 1
            _log.info("history_store_available")
        if self._failing.pop(operation, None) is not None:
            _log.info("history_operation_works", operation=operation)

    def note_loss(self) -> None:
        """It lacks what was written before: it was restored, or failed over to a copy that was behind."""
        self.generation += 1
        _log.warning("history_store_lost_writes", effect="what it lacks is read from the logs again")

    @property
    def problem(self) -> str | None:
        """Why nothing can be read or written, to continue *the history store*; None: it can, as far as is known."""
        return None if self._down is None else self._down.reason

    async def close(self) -> None:
        """What runs may end first, within the timeout. Nothing else begins."""
        self._is_closed = True
        if self._running:
            await asyncio.wait(set(self._running), timeout=self._timeout_s)
        task = self._tasks.start(self.database.close(), name="history closes")
        await asyncio.wait({task}, timeout=self._timeout_s)

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "history_store_up",
            "0 while the history store can't be used; else 1.",
            (),
            float(self._down is None),
        )
        yield counter(
            "history_operations", "Operations of the history store that worked.", ("operation",), self._done
        )
        yield counter(
            "history_operation_seconds",
            "Time that these operations took, in total.",
            ("operation",),
            self._took_s,
        )
        yield counter(
            "history_operation_errors",
            "Operations of the history store that failed.",
            ("operation",),
            self._errors,
        )


class _Failed(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure
