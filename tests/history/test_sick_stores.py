"""A store that hangs, is down, full, damaged, locked, read-only or an older copy, through both APIs.

Executions in progress are answered as ever, ended ones say what is wrong with the store, or are answered, too; then all
is right again, and nothing is lost that AWS still has.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import sqlite_file
from doors import GraphQLDoor, RpcDoor, rpc
from history_model import PostgresDatabase, SqliteFile
from postgres import PostgresServer
from transfer_emulator import NO_QUIRKS, WORKFLOWS, Emulator, SampleScenario, ScenarioSettings, World
from transfer_gateway import server
from transfer_gateway.settings import Settings
from wire import HOME, PLAIN, REGION, Gateway, becomes, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

pytestmark = pytest.mark.early

LATENCY_S = 2.5  # of an execution in progress, on a busy machine: less than the store's timeout
WITH_TIMES = """
query($key: ExecutionKey!, $maxAge: Float) {
  executionOrError(key: $key, maxAge: $maxAge) { ... on Execution { status startedAt } ... on Error { code message } }
}
"""


class Stores:
    """The store of a test, and what can be done to it."""

    def __init__(self, url: str, folder: Path, postgres: PostgresServer | None) -> None:
        self.url, self.path, self._postgres = url, folder / "history.db", postgres
        self.database = SqliteFile(folder) if postgres is None else PostgresDatabase(url)

    @property
    def postgres(self) -> PostgresServer:
        assert self._postgres is not None
        return self._postgres


@asynccontextmanager
async def hanging(of: Stores) -> AsyncIterator[None]:
    of.postgres.hang()
    try:
        yield
    finally:
        of.postgres.go_on()


@asynccontextmanager
async def down(of: Stores) -> AsyncIterator[None]:
    of.postgres.stop()
    yield
    of.postgres.start()


@asynccontextmanager
async def restarted(of: Stores) -> AsyncIterator[None]:
    of.postgres.stop()
    of.postgres.start()
    await (await of.postgres.connect()).close()
    yield


@asynccontextmanager
async def read_only(of: Stores) -> AsyncIterator[None]:
    await _allow_writing(of, "on")
    yield
    await _allow_writing(of, "off")


async def _allow_writing(of: Stores, read_only: str) -> None:
    name = of.url.split("?")[0].rpartition("/")[2]
    connection = await of.postgres.connect()
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )
    await connection.close()


@asynccontextmanager
async def restored(of: Stores) -> AsyncIterator[None]:
    """The copy of before anything was stored, without a lost connection."""
    await of.database.restore()
    yield


@asynccontextmanager
async def full(of: Stores) -> AsyncIterator[None]:
    await sqlite_file.execute(of.path, "CREATE TABLE ballast AS SELECT zeroblob(30000000) AS bytes")
    yield
    await sqlite_file.execute(of.path, "DROP TABLE ballast")


@asynccontextmanager
async def locked(of: Stores) -> AsyncIterator[None]:
    async with sqlite_file.locked(of.path):
        yield


@asynccontextmanager
async def damaged(of: Stores) -> AsyncIterator[None]:
    with of.path.open("r+b") as file:
        file.write(b"\xa5" * of.path.stat().st_size)
    of.path.with_name("history.db-wal").write_bytes(b"")
    yield


@asynccontextmanager
async def deleted(of: Stores) -> AsyncIterator[None]:
    """Its rows: a file that is open stays where it is."""
    await of.database.wipe()
    yield


@asynccontextmanager
async def unlinked(of: Stores) -> AsyncIterator[None]:
    of.path.unlink()
    yield


@asynccontextmanager
async def exchanged(of: Stores) -> AsyncIterator[None]:
    """For the copy, as an operator may do it."""
    of.path.with_name("copy.db").replace(of.path)
    yield


READS_FAIL = [
    pytest.param("postgresql", hanging, "did not answer within 3 s", id="postgresql-hangs"),
    pytest.param("postgresql", down, "can't be reached", id="postgresql-down"),
]
WRITES_FAIL = [
    pytest.param("postgresql", read_only, id="postgresql-read-only"),
    pytest.param("sqlite", full, id="sqlite-full"),
    pytest.param("sqlite", locked, id="sqlite-locked", marks=pytest.mark.thorough),
]
LOSES = [
    pytest.param("postgresql", restarted, id="postgresql-restarted"),
    pytest.param("postgresql", restored, id="postgresql-restored", marks=pytest.mark.thorough),
    pytest.param("postgresql", deleted, id="postgresql-deleted", marks=pytest.mark.thorough),
    pytest.param("sqlite", restored, id="sqlite-restored", marks=pytest.mark.thorough),
    pytest.param("sqlite", deleted, id="sqlite-deleted"),
    pytest.param("sqlite", damaged, id="sqlite-damaged", marks=pytest.mark.thorough),
    pytest.param("sqlite", unlinked, id="sqlite-unlinked", marks=pytest.mark.thorough),
    pytest.param("sqlite", exchanged, id="sqlite-exchanged", marks=pytest.mark.thorough),
]


class Asked:
    """A running service, asked through both APIs."""

    def __init__(self, aws: Emulator, http: Gateway, grpc: RpcDoor) -> None:
        self._aws, self._http, self._grpc = aws, http, grpc
        self._doors = (GraphQLDoor(http), grpc)
        self._workflow_id = next(iter(aws.world.target(PLAIN, REGION).workflows))

    def upload(self, duration_s: float, ago_s: float = 0) -> dict[str, str]:
        at = round(time.time() - ago_s, 3)
        upload = self._aws.world.upload(PLAIN, REGION, self._workflow_id, at, duration_s=duration_s, seed=at)
        return {
            "accountId": PLAIN,
            "region": REGION,
            "workflowId": self._workflow_id,
            "executionId": upload.execution_id,
        }

    async def answers(self, key: dict[str, str]) -> list[Any]:
        """Each API's: the status, or the error's code and message. They are equal but for the message's words."""
        answer = await self._http.ask(WITH_TIMES, key=key, maxAge=0)
        told = answer["data"]["executionOrError"]
        by_grpc = await self._grpc.get(key, max_age=0)
        return [_short(told), _short(by_grpc)]

    async def listed(self, max_age: float | None = None) -> list[set[str]]:
        """The executions in progress, of each API."""
        return [
            {
                entry["node"]["executionId"]
                for entry in (await door.list_executions(maxAge=max_age))["entries"] or ()
            }
            for door in self._doors
        ]

    async def doubts(self, execution_id: str) -> list[set[str]]:
        """The codes of the failures of looking for an execution that is not found, of each API."""
        found = [await door.find(execution_id) for door in self._doors]
        assert [each["execution"] for each in found] == [None, None]
        return [{failure["error"]["code"] for failure in each["targetFailures"] or ()} for each in found]

    async def remedy(self) -> str:
        """What is told to do about the history of the target."""
        (place,) = [
            it for it in (await self._grpc.coverage())["coverage"] if it["account"]["accountId"] == PLAIN
        ]
        return str(place["remedy"])

    async def becomes(self, key: dict[str, str], status: str) -> None:
        await becomes(lambda: self.answers(key), [status, status])


def _short(told: dict[str, Any]) -> Any:
    return told["status"] if "status" in told else (told["code"], told["message"])


@asynccontextmanager
async def asking(of: Stores, folder: Path) -> AsyncIterator[Asked]:
    scripted = ScenarioSettings(quirks=NO_QUIRKS, history_from=time.time() - 3600, is_automatic=False)
    world = World(HOME, (REGION,), SampleScenario(7, WORKFLOWS[:1], scripted))
    world.add_account(PLAIN)
    accounts = folder / "accounts.yaml"
    accounts.write_text(f'defaults: {{ regions: [{REGION}] }}\naccounts:\n  - {{ id: "{PLAIN}" }}\n')
    async with Emulator(world) as aws:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in aws.environment().items():
                environment.setenv(name, value)
            settings = Settings.from_environment(
                accounts_file=accounts,
                http_port=0,
                grpc_port=0,
                shutdown_delay_s=0,
                history_url=of.url,
                history_interval_s=0.2,
                history_timeout_s=3,
                request_timeout_s=60,  # so that the store's timeout comes first, however often it is waited for
                history_max_bytes=16_777_216,
            )
            async with (
                server.running(settings) as service,
                calling(service.url) as http,
                rpc(service) as stub,
            ):
                yield Asked(aws, http, RpcDoor(stub))


@pytest.fixture
async def stores(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Stores:
    if database == "sqlite":
        return Stores(f"sqlite:///{tmp_path}/history.db", tmp_path, None)
    postgres: PostgresServer = request.getfixturevalue("own_postgres")
    return Stores(await postgres.create_database(), tmp_path, postgres)


@pytest.mark.parametrize(("database", "sick", "why"), READS_FAIL)
@pytest.mark.variants(keep=1)
async def test_without_its_store_it_answers_what_runs(
    stores: Stores, tmp_path: Path, sick: Callable[[Stores], AbstractAsyncContextManager[None]], why: str
) -> None:
    """As fast as ever; ended executions name the store and what is wrong. What ended meanwhile is known afterwards."""
    async with asking(stores, tmp_path) as it:
        ended, running = it.upload(5, ago_s=60), it.upload(600)
        await it.becomes(ended, "COMPLETED")
        await it.becomes(running, "IN_PROGRESS")
        async with sick(stores):
            meanwhile = it.upload(0.5)
            await becomes(
                lambda: it.answers(ended), [("UPSTREAM_UNAVAILABLE", f"The history store {why}.")] * 2
            )
            for _ in range(5):
                started_at = time.monotonic()
                assert await it.answers(running) == ["IN_PROGRESS"] * 2
                assert time.monotonic() - started_at < LATENCY_S
                await asyncio.sleep(0.1)  # the gateway goes on meanwhile
        for key in (ended, meanwhile):
            await it.becomes(key, "COMPLETED")
        assert await it.answers(running) == ["IN_PROGRESS"] * 2


@pytest.mark.parametrize(("database", "sick"), WRITES_FAIL)
@pytest.mark.thorough
async def test_a_store_that_takes_no_writes_is_read(
    stores: Stores, tmp_path: Path, sick: Callable[[Stores], AbstractAsyncContextManager[None]]
) -> None:
    """What it has is answered as before, and what ended meanwhile is known as soon as it can be stored."""
    async with asking(stores, tmp_path) as it:
        ended, running = it.upload(5, ago_s=60), it.upload(600)
        await it.becomes(ended, "COMPLETED")
        await it.becomes(running, "IN_PROGRESS")
        async with sick(stores):
            meanwhile = it.upload(0.5)
            for _ in range(5):
                assert await it.answers(ended) == ["COMPLETED"] * 2
                started_at = time.monotonic()
                assert await it.answers(running) == ["IN_PROGRESS"] * 2
                assert time.monotonic() - started_at < LATENCY_S
                await asyncio.sleep(0.3)  # the gateway goes on meanwhile
            goes_on = it.upload(600)
            for options in ({}, {"max_age": 5.0}):
                await becomes(
                    partial(it.listed, **options), [{running["executionId"], goes_on["executionId"]}] * 2
                )
            await becomes(partial(it.doubts, str(uuid4())), [{"UPSTREAM_UNAVAILABLE"}] * 2)
            assert "check the history store" in await it.remedy()
            for told in await it.answers(meanwhile):
                assert told is None or told[0] == "UPSTREAM_UNAVAILABLE", (
                    told
                )  # it ended, how is not known yet
        await it.becomes(meanwhile, "COMPLETED")
        assert await it.answers(running) == ["IN_PROGRESS"] * 2


@pytest.mark.parametrize(("database", "sick"), LOSES)
@pytest.mark.thorough
async def test_what_a_store_has_lost_it_gets_again(
    stores: Stores, tmp_path: Path, sick: Callable[[Stores], AbstractAsyncContextManager[None]]
) -> None:
    """From the log, and no answer in between says that an execution never was."""
    async with asking(stores, tmp_path) as it:
        first, running = it.upload(5, ago_s=60), it.upload(600)
        await it.becomes(first, "COMPLETED")
        await it.becomes(running, "IN_PROGRESS")
        await stores.database.copy()
        second = it.upload(0.5)
        await it.becomes(second, "COMPLETED")
        async with sick(stores):
            for _ in range(10):
                assert await it.answers(running) == ["IN_PROGRESS"] * 2
                for key in (first, second):
                    for told in await it.answers(key):
                        assert told in {None, "COMPLETED"} or told[0] == "UPSTREAM_UNAVAILABLE", told
                await asyncio.sleep(0.05)  # the gateway goes on meanwhile
        for key in (first, second, it.upload(0.5)):
            await it.becomes(key, "COMPLETED")
