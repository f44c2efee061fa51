"""Lists over many accounts: hanging targets delay no others, and each stable execution appears exactly once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from doors import both_doors
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from transfer_gateway.settings import Settings
from wire import Gateway, calling, place, until_in_flight

pytestmark = pytest.mark.early

EXECUTIONS = """
query Page($first: Int, $after: String) {
  list: inProgressExecutions(first: $first, after: $after) {
    edges { node { id accountId } } pageInfo { hasNextPage endCursor } targetFailures { accountId error { code } }
  }
}
"""
WORKFLOWS = EXECUTIONS.replace("inProgressExecutions", "workflows")


Company = Callable[..., AbstractAsyncContextManager[tuple[Gateway, list[str]]]]


@pytest.fixture
def company(world: World, aws: Emulator, accounts_file: Path, settings: Callable[..., Settings]) -> Company:
    """A service for that many accounts, each in both regions, and the accounts' ids in order."""

    @asynccontextmanager
    async def running(accounts: int, **overrides: object) -> AsyncIterator[tuple[Gateway, list[str]]]:
        ids = [f"{number + 1:012}" for number in range(accounts)]
        for account_id in ids:
            world.add_account(account_id)
        listed = "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in ids)
        accounts_file.write_text(
            f"defaults: {{ regions: [{', '.join(world.regions)}] }}\naccounts:\n{listed}"
        )
        async with server.running(settings(**overrides)) as service, calling(service.url) as gateway:
            yield gateway, ids

    return running


async def page(gateway: Gateway, query: str, **variables: Any) -> dict[str, Any]:
    answer = await gateway.ask(query, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["list"]
    return found


def accounts_of(found: dict[str, Any]) -> list[str]:
    return [edge["node"]["accountId"] for edge in found["edges"]]


@pytest.mark.fast_time
@pytest.mark.parametrize("query", [EXECUTIONS, WORKFLOWS], ids=["executions", "workflows"])
@pytest.mark.variants(keep=1)
async def test_what_hangs_holds_up_nobody(company: Company, world: World, aws: Emulator, query: str) -> None:
    """More accounts that never answer than the initial window: everything from the other accounts is returned."""
    async with company(60, request_timeout_s=30) as (gateway, ids):
        for account_id, region in product(ids, world.regions):
            place(world, account_id, region)
        sick = [*ids[:9], ids[30]]
        for account_id in sick:
            aws.faults.add(Fault(FaultKind.HANG, account_id=account_id, service="transfer"))
        found = await page(gateway, query, first=1000)
    assert accounts_of(found) == sorted(2 * [account_id for account_id in ids if account_id not in sick])
    assert [(failure["accountId"], failure["error"]["code"]) for failure in found["targetFailures"]] == [
        (account_id, "DEADLINE_EXCEEDED") for account_id in sorted(2 * sick)
    ]


@pytest.mark.parametrize("query", [EXECUTIONS, WORKFLOWS], ids=["executions", "workflows"])
async def test_a_page_waits_for_its_own_targets_only(
    company: Company, world: World, aws: Emulator, query: str
) -> None:
    """A page is returned once its last target has answered, whatever hangs after it, and costs few extra lists."""
    async with company(60, request_timeout_s=100, aws_read_timeout_s=100) as (gateway, ids):
        for account_id, region in product(ids, world.regions):
            place(world, account_id, region)
        aws.faults.add(Fault(FaultKind.HANG, account_id=ids[3], service="transfer"))
        loop = asyncio.get_running_loop()
        started = loop.time()
        found = await page(gateway, query, first=5)
        took_s = loop.time() - started
        assert took_s < 50
        assert (len(found["edges"]), found["targetFailures"]) == (5, [])
        # As many again for each half a second: on a machine that is slow others seem to hang, too.
        assert aws.calls.count(operation="ListWorkflows") <= 16 * (1 + took_s / 0.5)
        await until_in_flight(aws, 0)


class Life:
    """Executions that stay, and others that start and finish all the time, in two workflows per target."""

    def __init__(self, world: World, accounts: list[str], count: int, *, seed: int) -> None:
        self._world = world
        self._dice = random.Random(seed)  # noqa: S311  a script for the test
        self._workflows = [
            (account_id, region, world.add_workflow(account_id, region))
            for account_id, region in product(accounts, world.regions)
            for _ in range(2)
        ]
        self.staying = {"/".join(self._start()) for _ in range(count * 4 // 5)}
        self._passing = [self._start() for _ in range(count // 5)]
        self.started = 0

    def _start(self) -> tuple[str, str, str, str]:
        account_id, region, workflow_id = self._dice.choice(self._workflows)
        execution_id = self._world.place(account_id, region, workflow_id, {"Status": "IN_PROGRESS"})
        return account_id, region, workflow_id, execution_id

    async def go_on(self) -> None:
        """Runs until cancelled, a few thousand times per second, between any two calls of a page."""
        while True:
            for _ in range(20):
                self._world.remove(*self._passing.pop(self._dice.randrange(len(self._passing))))
                self._passing.append(self._start())
            self.started += 20
            await asyncio.sleep(0.005)  # the pace of a busy company


@pytest.mark.parametrize(("count", "first"), [(10_000, 1000), (2_500, 83)])
@pytest.mark.thorough
async def test_each_that_lives_is_met_once(company: Company, world: World, count: int, first: int) -> None:
    """Thousands of executions in 200 targets start and finish during the lists; each one that stays appears once."""
    async with company(100, request_timeout_s=100) as (gateway, ids):
        life = Life(world, ids, count, seed=first)
        seen: list[str] = []
        after, started_during_pages = None, []
        living = asyncio.create_task(life.go_on())
        try:
            while True:
                before = life.started
                found = await page(gateway, EXECUTIONS, first=first, after=after)
                started_during_pages.append(life.started - before)
                assert found["targetFailures"] == []
                seen += [edge["node"]["id"] for edge in found["edges"]]
                if not found["pageInfo"]["hasNextPage"]:
                    break
                after = found["pageInfo"]["endCursor"]
        finally:
            living.cancel()
    assert seen == sorted(set(seen))
    assert life.staying <= set(seen)
    assert sum(started_during_pages) > 500


FIND = """
{ list: findExecution(executionId: "00000000-0000-4000-8000-000000000000") {
  targetsAsked targetFailures { accountId region error { code message } }
} }
"""


@pytest.mark.thorough
@pytest.mark.fast_time
async def test_all_of_10_000_accounts_in_4_regions(
    world: World, aws: Emulator, accounts_file: Path, settings: Callable[..., Settings]
) -> None:
    """By default a request for all targets is allowed and ends by its deadline.

    A search lists 1,000 failures; a page ends with what was asked, and the next one goes on there.
    """
    listed = "".join(f'  - {{ id: "{number + 1:012}" }}\n' for number in range(10_000))
    accounts_file.write_text(
        f"defaults: {{ regions: [eu-west-1, eu-west-2, us-east-1, us-east-2] }}\naccounts:\n{listed}"
    )
    aws.faults.add(Fault(FaultKind.HANG))
    loop = asyncio.get_running_loop()
    async with (
        # Eight requests: together they must not take the 20 s after which it is STS that has not answered.
        server.running(settings(request_timeout_s=1)) as service,
        both_doors(service) as (_, rpc),
        calling(service.url) as gateway,
    ):
        started = loop.time()
        failures = (await page(gateway, FIND))["targetFailures"]
        assert loop.time() - started < 20
        assert {failure["error"]["code"] for failure in failures} == {"DEADLINE_EXCEEDED"}
        assert len(failures) == 1000
        assert "39000 more targets failed" in failures[-1]["error"]["message"]
        by_rpc = await rpc.find("00000000-0000-4000-8000-000000000000")
        assert len(by_rpc["targetFailures"]) == 1000
        for query, list_by_rpc in ((EXECUTIONS, rpc.list_executions), (WORKFLOWS, rpc.list_workflows)):
            failed: list[str] = []
            after = None
            for _ in range(2):
                started = loop.time()
                found = await page(gateway, query, first=1000, after=after)
                assert loop.time() - started < 20, query
                assert {it["error"]["code"] for it in found["targetFailures"]} == {"DEADLINE_EXCEEDED"}, query
                failed += dict.fromkeys(it["accountId"] for it in found["targetFailures"])
                assert found["pageInfo"]["hasNextPage"], query
                after = found["pageInfo"]["endCursor"]
            assert failed == [f"{number + 1:012}" for number in range(len(failed))], query
            by_rpc = await list_by_rpc(after=after)
            assert by_rpc["failures"][0]["accountId"] == f"{len(failed) + 1:012}", query
            assert by_rpc["next"], query
