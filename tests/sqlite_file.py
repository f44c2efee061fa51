"""A history's file, changed beside the store that uses it.

Always in a thread: what holds a lock on it may be a transaction of that store, which needs the test's loop to end.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOCK_TIMEOUT_S = 60.0


async def execute(path: Path, statement: str) -> None:
    """In a transaction of its own."""
    await asyncio.to_thread(_execute, path, statement)


def _execute(path: Path, statement: str) -> None:
    with closing(connect(path)) as database:
        database.execute(statement)


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Nobody else can write."""
    with closing(await asyncio.to_thread(connect, path)) as database:
        await asyncio.to_thread(database.execute, "BEGIN IMMEDIATE")
        yield
