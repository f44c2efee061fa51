"""How long a search may take. Then the database itself stops it, and its connection is free for the next one."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DBAPIError

from transfer_gateway.domain.errors import DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from transfer_gateway.fair_limiter import FairLimiter
    from transfer_gateway.history.database import Database

T = TypeVar("T")

_CANCELED = "57014"  # PostgreSQL's query_canceled
_BUSY_RETRY_S = 1.0
_SLACK = 0.05  # of the limit, by which a search may take longer: to tell PostgreSQL takes a millisecond


@asynccontextmanager
async def turn(searches: FairLimiter, caller: str, timeout_s: float) -> AsyncIterator[None]:
    """Wait for a turn to search, which callers get one after the other. Raises: DeadlineExceeded."""
    try:
        async with asyncio.timeout(timeout_s):
            await searches.wait_for_slot(caller)
    except TimeoutError:
        raise DeadlineExceeded(
            "The history is busy with other searches; try again.", retry_after_s=_BUSY_RETRY_S
        ) from None
    try:
        yield
    finally:
        searches.call_ended(caller)
        searches.release_slot()


class TimeLimit:
    """Of one search, once it has its turn."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database, self._seconds = database, seconds
        self._until = asyncio.get_running_loop().time() + seconds
        self._connection: AsyncConnection | None = None
        self._end: Callable[[], None] | None = None
        self._told_s = math.inf

    async def run(
        self, connection: AsyncConnection, work: Callable[[AsyncConnection, TimeLimit], Awaitable[T]]
    ) -> T:
        """Raises: DeadlineExceeded."""
        self._connection = connection
        try:
            return await work(connection, self)
        except DBAPIError as error:
            if _was_stopped(error):
                raise self._exceeded() from error
            raise
        finally:
            if self._end is not None:
                self._end()

    async def renew(self) -> None:
        """Before each statement: what is left is all that it has. Raises: DeadlineExceeded if nothing is."""
        left_s = self._until - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise self._exceeded()
        if self._told_s - left_s <= self._seconds * _SLACK:
            return
        assert self._connection is not None  # noqa: S101  it runs
        if self._end is not None:
            self._end()
        self._told_s = left_s
        self._end = await self._database.limit(self._connection, left_s)

    def _exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The search did not finish within {self._seconds:g} s. Narrow it: name accounts, a shorter time, "
            "or three characters or more of a name."
        )


def _was_stopped(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return getattr(error.orig, "sqlstate", None) == _CANCELED
