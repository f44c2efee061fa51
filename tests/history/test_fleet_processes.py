"""Replicas as processes that share a PostgreSQL, in real time: one is killed, and the database is sick in every way."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from command import Started, started
from following import FIRST, SECOND, THIRD, TRADES, accounts_yaml
from postgres import PostgresServer
from proxy import Proxy
from streams import ALL_CHANGED, Lost, events
from transfer_emulator import (
    NO_QUIRKS,
    Emulator,
    Fault,
    FaultKind,
    SampleScenario,
    ScenarioSettings,
    Upload,
    World,
)
from wire import HOME, Gateway, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.thorough
ACCOUNTS, REGION = (FIRST, SECOND, THIRD), "eu-west-1"
PATIENCE_S, SICK_S = 40.0, 7.0
ADDRESS = "127.77.0.1"  # where no other PostgreSQL listens
LOOKUP = """
query ($key: ExecutionKey!, $maxAge: Float) {
  executionOrError(key: $key, maxAge: $maxAge) { __typename ... on Execution { status } ... on Error { code message } }
}
"""
IN_PROGRESS = """
query ($account: AccountId!) {
  inProgressExecutions(filter: {accountIds: [$account]}) { edges { node { executionId } } }
}
"""


class FleetUnderTest:
    """Two replicas, an emulated AWS, and the database that they share."""

    def __init__(self, aws: Emulator, stack: AsyncExitStack, environment: dict[str, str]) -> None:
        self.aws, self._stack, self._environment = aws, stack, environment
        self.replicas: list[Started] = []
        self.gateways: list[Gateway] = []
        self._number = 0

    async def start(self, number: int, url: str) -> None:
        """Once more, if it was killed."""
        told = self._environment | {"TRANSFER_GATEWAY_HISTORY_URL": url}
        replica = await self._stack.enter_async_context(started("serve", "--http-port", "0", **told))
        gateway = await self._stack.enter_async_context(calling(replica.url))
        self.replicas[number : number + 1], self.gateways[number : number + 1] = [replica], [gateway]

    def upload(self, account_id: str, duration_s: float = 3.0) -> tuple[dict[str, str], Upload]:
        workflow_id = self.workflows(account_id)[0]
        self._number += 1
        upload = self.aws.world.upload(
            account_id, REGION, workflow_id, time.time(), duration_s=duration_s, seed=self._number
        )
        key = {
            "accountId": account_id,
            "region": REGION,
            "workflowId": workflow_id,
            "executionId": upload.execution_id,
        }
        return key, upload

    @property
    def lookups(self) -> int:
        """How often it was looked up where a target logs."""
        return self.aws.calls.count(operation="ListServers")

    async def has_looked_all_up(self) -> bool:
        return self.lookups >= len(ACCOUNTS)

    def workflows(self, account_id: str) -> list[str]:
        return list(self.aws.world.target(account_id, REGION).workflows)

    async def look_up(self, gateway: Gateway, key: dict[str, str], max_age: float = 0.0) -> dict[str, Any]:
        found: dict[str, Any] = (await gateway.ask(LOOKUP, key=key, maxAge=max_age))["data"]
        return dict(found["executionOrError"])

    async def replicas_seen(self, gateway: Gateway) -> int:
        metrics = (await gateway.send("GET", "/metrics")).body.decode()
        line = next(line for line in metrics.splitlines() if line.startswith("transfer_gateway_replicas "))
        return int(float(line.split()[1]))

    async def until_complete(self) -> None:
        """Each sees both."""
        for gateway in self.gateways:
            await becomes_true(lambda gateway=gateway: self._sees_both(gateway))  # type: ignore[misc]  # the loop's

    async def _sees_both(self, gateway: Gateway) -> bool:
        return await self.replicas_seen(gateway) == len(self.gateways)


async def becomes_true(look: Callable[[], Awaitable[bool]]) -> float:
    """Returns: after how many seconds."""
    started_at = time.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        while not await look():
            await asyncio.sleep(0.1)  # between two looks
    return time.monotonic() - started_at


@asynccontextmanager
async def fleet(
    folder: Path, url: str, second_url: str | None = None, **settings: str
) -> AsyncIterator[FleetUnderTest]:
    """`second_url`: another way to the same database, for the second replica."""
    scripted = ScenarioSettings(quirks=NO_QUIRKS, history_from=time.time() - 60, is_automatic=False)
    world = World(HOME, (REGION,), SampleScenario(7, TRADES, scripted))
    for account_id in ACCOUNTS:
        world.add_account(account_id)
    path = folder / "accounts.yaml"
    path.write_text(accounts_yaml(REGION, *ACCOUNTS))
    told = {
        "ACCOUNTS_FILE": str(path),
        "AUTH": "none",
        "HISTORY_INTERVAL_S": "0.5",
        "HISTORY_BACKFILL_HOURS": "0",
        "HISTORY_TIMEOUT_S": "2",
        "SHUTDOWN_DELAY_S": "0",
    } | settings
    async with Emulator(world, port=0) as aws, AsyncExitStack() as stack:
        environment = aws.environment() | {f"TRANSFER_GATEWAY_{name}": value for name, value in told.items()}
        it = FleetUnderTest(aws, stack, environment)
        for number, each in enumerate((url, second_url or url)):
            await it.start(number, each)
        await it.until_complete()
        yield it


class Subscriber:
    """`replicas`: where it goes, one after the other. `told`: an execution's events. `ended_at`: when told."""

    def __init__(self, *replicas: int) -> None:
        self.replicas = replicas
        self.told: dict[str, list[tuple[str, str | None, str]]] = {}
        self.ended_at: dict[str, float] = {}
        self._cursor: str | None = None

    async def read(self, gateway: Gateway, until: Callable[[], bool]) -> None:
        """Raises: Lost, aiohttp.ClientError."""
        async with events(gateway, ALL_CHANGED, last_event_id=self._cursor, filter={}) as stream:
            while not until():
                change = await stream.next()
                self._cursor = change["cursor"] or self._cursor
                execution_id = change["execution"]["id"]
                self.told.setdefault(execution_id, []).extend(
                    (event["kind"], event["stepName"], event["occurredAt"]) for event in change["events"]
                )
                if change["execution"]["status"] == "COMPLETED":
                    self.ended_at.setdefault(execution_id, time.time())


async def test_subscribers_miss_nothing_when_their_replicas_are_killed(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    """One after the other, and started again: all there is, each event once, at most 10 s late."""
    rounds, kills = 24, {5: 0, 14: 1}
    uploads, is_killed = list[Upload](), {number: asyncio.Event() for number in kills.values()}
    url = await postgres.create_database()
    async with fleet(tmp_path, url) as it:

        async def happens() -> None:
            for number in range(rounds):
                uploads.extend(it.upload(account_id, duration_s=2.0)[1] for account_id in ACCOUNTS)
                await asyncio.sleep(1)  # they run for some time
                if number in kills:
                    it.replicas[kills[number]].process.kill()
                    is_killed[kills[number]].set()
                if number - 4 in kills:
                    tasks.create_task(it.start(kills[number - 4], url))

        async def subscribe(subscriber: Subscriber) -> None:
            """Where it is, until that is killed; then at the other one."""
            for number in subscriber.replicas:
                with suppress(Lost, aiohttp.ClientError):
                    await subscriber.read(
                        it.gateways[number], lambda: len(subscriber.ended_at) == rounds * len(ACCOUNTS)
                    )
                    return
                await is_killed[number].wait()

        subscribers = Subscriber(0, 1, 0), Subscriber(1, 0)
        async with asyncio.timeout(3 * PATIENCE_S), asyncio.TaskGroup() as tasks:
            tasks.create_task(happens())
            for subscriber in subscribers:
                tasks.create_task(subscribe(subscriber))
    for subscriber in subscribers:
        assert len(subscriber.told) == len(uploads)
        for upload in uploads:
            id_ = next(id_ for id_ in subscriber.told if upload.execution_id in id_)
            told = subscriber.told[id_]
            assert len(told) == len(set(told)) == 2 + 2 * len(upload.steps)
            assert subscriber.ended_at[id_] - upload.ended_at < 12  # it took 10 s to be replaced, and a read


async def _restart(server: PostgresServer, url: str) -> None:
    server.stop()
    await asyncio.sleep(3)  # the outage
    server.start()


async def _hang(server: PostgresServer, url: str) -> None:
    server.hang()
    await asyncio.sleep(SICK_S)  # longer than a silent replica takes to be gone
    server.go_on()


async def _throw_out(server: PostgresServer, url: str) -> None:
    connection = await server.connect()
    for _ in range(10):
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'transfer-gateway'"
        )
        await asyncio.sleep(0.3)  # it connects again
    await connection.close()


async def _use_up(server: PostgresServer, url: str) -> None:
    """Others have all connections, those of the replicas, too."""
    async with AsyncExitStack() as stack:
        first = await server.connect()
        stack.push_async_callback(first.close)
        until = time.monotonic() + SICK_S  # longer than a silent replica takes to be gone
        while time.monotonic() < until:
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    connection = await server.connect()
                    stack.push_async_callback(connection.close)
            await first.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'transfer-gateway'"
            )
            await asyncio.sleep(0.1)  # they try again


async def _take_no_writes(server: PostgresServer, url: str) -> None:
    database = url.split("?", maxsplit=1)[0].rpartition("/")[2]
    connection = await server.connect()
    await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'transfer-gateway'"
    )
    await asyncio.sleep(SICK_S)  # longer than a silent replica takes to be gone
    await connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'transfer-gateway'"
    )
    await connection.close()


async def _lock(server: PostgresServer, url: str) -> None:
    """What the replicas tell each other can't be read or written."""
    connection = await server.connect(url.split("?", maxsplit=1)[0].rpartition("/")[2])
    async with connection.transaction():
        await connection.execute("LOCK history_replicas, history_snapshots, history_followed")
        await asyncio.sleep(SICK_S)  # longer than a silent replica takes to be gone
    await connection.close()


async def _before_each_write(server: PostgresServer, url: str, statement: str) -> None:
    connection = await server.connect(url.split("?", maxsplit=1)[0].rpartition("/")[2])
    await connection.execute(
        "CREATE FUNCTION sicken() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {statement}; RETURN new; END $$"
    )
    tables = [
        row["tablename"]
        for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    for table in tables:
        await connection.execute(
            f"CREATE TRIGGER sicken BEFORE INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION sicken()"
        )
    await asyncio.sleep(SICK_S)  # longer than a silent replica takes to be gone
    await connection.execute("DROP FUNCTION sicken CASCADE")
    await connection.close()


async def _fill_up(server: PostgresServer, url: str) -> None:
    """As PostgreSQL says it when its disk is full."""
    await _before_each_write(
        server,
        url,
        "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'",
    )


async def _slow_down(server: PostgresServer, url: str) -> None:
    await _before_each_write(server, url, "PERFORM pg_sleep(0.7)")


@asynccontextmanager
async def polled(it: FleetUnderTest) -> AsyncIterator[None]:
    """Meanwhile, an execution that runs is looked up on both, in AWS each time: at once, and rightly."""
    key, _ = it.upload(FIRST, duration_s=600)
    took_s: list[float] = []
    is_over = False

    async def poll(gateway: Gateway) -> None:
        while not is_over:
            began = time.monotonic()
            found = await it.look_up(gateway, key, max_age=0.2)
            took_s.append(time.monotonic() - began)
            assert found.get("status") == "IN_PROGRESS", found
            await asyncio.sleep(0.25)  # older than `max_age`

    async with asyncio.TaskGroup() as tasks:
        for gateway in it.gateways:
            tasks.create_task(poll(gateway))
        await asyncio.sleep(1)  # both poll
        yield
        is_over = True
    assert len(took_s) > 20
    assert max(took_s) < 3.0


async def until_known(it: FleetUnderTest, keys: Sequence[dict[str, str]]) -> None:
    """Each knows that these have ended."""
    for gateway in it.gateways:
        for key in keys:

            async def is_known(gateway: Gateway = gateway, key: dict[str, str] = key) -> bool:
                return (await it.look_up(gateway, key)).get("status") == "COMPLETED"

            await becomes_true(is_known)


@pytest.mark.parametrize(
    "sicken", [_restart, _hang, _slow_down, _throw_out, _use_up, _take_no_writes, _fill_up, _lock]
)
async def test_a_sick_database_costs_running_executions_nothing(
    tmp_path: Path,
    own_postgres: PostgresServer,
    sicken: Callable[[PostgresServer, str], Awaitable[None]],
) -> None:
    """Each replica goes on alone; both are back afterwards, what ended meanwhile is known, and nothing is done anew."""
    url = await own_postgres.create_database()
    async with fleet(tmp_path, url) as it:
        await becomes_true(it.has_looked_all_up)
        await asyncio.sleep(3)  # each has told the other what it found
        looked_up = it.lookups
        async with polled(it):
            ended = [it.upload(account_id, duration_s=1)[0] for account_id in ACCOUNTS]
            await sicken(own_postgres, url)
        await it.until_complete()
        await until_known(it, ended)
        assert it.lookups - looked_up < len(ACCOUNTS)


async def test_a_replica_that_is_cut_off_goes_on_alone(tmp_path: Path) -> None:
    """The other one follows its targets meanwhile, and gives them back."""
    with PostgresServer(listen_addresses=ADDRESS) as server:
        url = await server.create_database()
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text(f"{rules.read_text()}\nhost all all {ADDRESS}/32 trust\n")
        connection = await server.connect()
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()
        database = url.split("?", maxsplit=1)[0].rpartition("/")[2]
        async with Proxy() as proxy:
            proxy.server = (ADDRESS, 5432)
            async with fleet(tmp_path, url, f"postgresql://gateway@{proxy.address}/{database}") as it:
                async with polled(it):
                    proxy.server = None
                    proxy.cut()
                    await becomes_true(lambda: is_alone(it))
                    ended = [it.upload(account_id, duration_s=1)[0] for account_id in ACCOUNTS]

                    async def all_ended() -> bool:
                        found = [await it.look_up(it.gateways[0], key) for key in ended]
                        return all(each.get("status") == "COMPLETED" for each in found)

                    assert await becomes_true(all_ended) < 12
                    proxy.server = (ADDRESS, 5432)
                await it.until_complete()
                await until_known(it, ended)


async def is_alone(it: FleetUnderTest) -> bool:
    return await it.replicas_seen(it.gateways[0]) == 1


async def test_one_budget_and_one_call_for_all(tmp_path: Path, postgres: PostgresServer) -> None:
    """Polled on both, an execution costs AWS what it costs one; its limit holds for both together."""
    async with fleet(
        tmp_path, await postgres.create_database(), TARGET_RATE_PER_S="10", TARGET_BURST="2"
    ) as it:
        key, _ = it.upload(FIRST, duration_s=600)

        async def poll(gateway: Gateway, until: float, max_age: float) -> None:
            while time.monotonic() < until:
                await it.look_up(gateway, key, max_age=max_age)
                await asyncio.sleep(0.05)  # many times a second

        async def calls_in(seconds: float, max_age: float) -> int:
            before = it.aws.calls.count(operation="DescribeExecution")
            async with asyncio.TaskGroup() as tasks:
                for gateway in it.gateways * 3:
                    tasks.create_task(poll(gateway, time.monotonic() + seconds, max_age))
            return it.aws.calls.count(operation="DescribeExecution") - before

        await calls_in(2, 0.5)
        assert await calls_in(10, 1.0) <= 12
        assert await calls_in(5, 0.0) <= 5 * 10 * 1.1 + 2


async def test_one_lists_for_all(tmp_path: Path, postgres: PostgresServer) -> None:
    """What no log tells of is listed as often as one replica would, and both show it, and its end."""
    async with fleet(tmp_path, await postgres.create_database()) as it:
        it.aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=FIRST))
        it.upload(FIRST, duration_s=600)
        _, brief = it.upload(FIRST, duration_s=20)

        async def shown(gateway: Gateway) -> list[str]:
            found = await gateway.ask(IN_PROGRESS, account=FIRST)
            return [edge["node"]["executionId"] for edge in found["data"]["inProgressExecutions"]["edges"]]

        async def both_show(count: int) -> bool:
            return [len(await shown(gateway)) for gateway in it.gateways] == [count, count]

        async def look_on(gateway: Gateway, until: float) -> None:
            while time.monotonic() < until:
                await shown(gateway)
                await asyncio.sleep(0.2)  # as a page that is open

        await becomes_true(lambda: both_show(2))
        await asyncio.sleep(3)  # each has listed it, and knows of the other's lists
        before, workflows = it.aws.calls.count(operation="ListExecutions"), len(it.workflows(FIRST))
        async with asyncio.TaskGroup() as tasks:
            for gateway in it.gateways:
                tasks.create_task(look_on(gateway, time.monotonic() + 12))
        lists = (it.aws.calls.count(operation="ListExecutions") - before) / workflows
        assert 4 <= lists <= 8
        await becomes_true(lambda: both_show(1))
        for gateway in it.gateways:
            assert brief.execution_id not in await shown(gateway)
