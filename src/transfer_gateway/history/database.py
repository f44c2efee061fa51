"""What the history asks of its database beyond statements: see `sqlite.py` and `postgresql.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_GIBIBYTE = 2**30


class Database(Protocol):
    """`writer`, `reader` and `searcher`: engines. A transaction of the latter two reads one state of the database.

    `searches`: how many may run at once, so that connections are left for others. `writes_in_line`: one connection
    writes, and others wait for it.
    """

    dialect: str
    writer: AsyncEngine
    reader: AsyncEngine
    searcher: AsyncEngine
    searches: int
    writes_in_line: bool
    migrates_itself: bool
    max_bytes: int

    async def size_bytes(self, connection: AsyncConnection) -> int:
        """What the history takes, without the space that deleted rows have left."""
        ...

    async def count(self, connection: AsyncConnection, table: Table) -> int:
        """The rows of a table."""
        ...

    async def shrink(self, connection: AsyncConnection) -> bool:
        """Give a part of the space of deleted rows back. Returns: whether there is more to give."""
        ...

    async def analyze(self, connection: AsyncConnection) -> None:
        """Let the database look at what it has, if what it knows of that is of no use for planning."""
        ...

    async def limit(self, connection: AsyncConnection, timeout_s: float) -> Callable[[], None]:
        """Let the database stop what runs in this transaction after a time. Returns: what ends that, when it is over.

        Called again, it sets another time.
        """
        ...

    async def interrupt(self, connection: Any) -> None:  # noqa: ANN401  a driver's
        """End the statement that runs there."""
        ...

    async def listen(self, on_commit: Callable[[], None]) -> None:
        """Call it whenever another has committed changes, as long as the connection for that lasts, if there is one."""
        ...

    async def start_anew(self) -> None:
        """Replace what is damaged with what is empty."""
        ...

    async def close(self) -> None: ...


def default_max_bytes(url: str) -> int:
    return _GIBIBYTE if url.startswith("sqlite:") else 64 * _GIBIBYTE
