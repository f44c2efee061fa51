"""Lists over a whole company: what hangs holds up nobody, and what lives is met once, on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from transfer_gateway.settings import Settings
from wire import Gateway, calling, place

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
    """A service for so many accounts, each in both regions, and the accounts' ids in order."""

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


@pytest.mark.parametrize("query", [EXECUTIONS, WORKFLOWS], ids=["executions", "workflows"])
async def test_what_hangs_holds_up_nobody(company: Company, world: World, aws: Emulator, query: str) -> None:
    """Accounts that never answer, and more of them than are asked at first: all that the others have is there."""
    async with company(60, request_timeout_s=4) as (gateway, ids):
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
    """A page is there when its last target is, whatever hangs behind it, and costs few lists more than its own."""
    async with company(60, request_timeout_s=8) as (gateway, ids):
        for account_id, region in product(ids, world.regions):
            place(world, account_id, region)
        aws.faults.add(Fault(FaultKind.HANG, account_id=ids[3], service="transfer"))
        async with asyncio.timeout(4):
            found = await page(gateway, query, first=5)
        assert (len(found["edges"]), found["targetFailures"]) == (5, [])
        assert aws.calls.count(operation="ListWorkflows") <= 16
        async with asyncio.timeout(2):
            while aws.calls.in_flight:
                await asyncio.sleep(0.01)
