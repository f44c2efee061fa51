from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postgres import PostgresServer
from transfer_gateway.history.store import HistoryStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def own_postgres(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """For tests that stop it: a worker runs one test at a time."""
    try:
        yield postgres
    finally:
        postgres.recover()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty history of each of the two databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/history.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.create_database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[HistoryStore]:
    async with open_store(url, timeout_s=30) as store:
        yield store
