"""The running service with accounts from an organization: moto has the organization, the emulator everything else."""

from __future__ import annotations

import asyncio
from socket import create_server
from typing import TYPE_CHECKING, Any

import pytest

from doors import Failed, both_doors
from organization import Organization, accounts_page, denied, founded, telling
from transfer_emulator import Emulator, World
from transfer_gateway import server
from wire import PLAIN, REGION, Gateway, becomes, calling, place, socket, to_input, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from doors import Door
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.fast_time

DISCOVER = f"defaults: {{ regions: [{REGION}] }}\ndiscover: {{ organizations: {{ refresh_s: 1 }} }}\n"


@pytest.fixture
def organization(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Organization]:
    with founded() as organization:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", organization.url)
        yield organization


async def ready(gateway: Gateway) -> Any:
    return (await gateway.send("GET", "/readyz")).json()


async def aliases(gateway: Gateway) -> list[str]:
    answer = await gateway.ask("{ accounts { id alias } }")
    return [account["alias"] for account in answer["data"]["accounts"]]


async def test_discovered_accounts_are_looked_into(
    world: World, organization: Organization, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """Accounts of the organization are served like listed ones, including later ones; listed accounts come first."""
    first = organization.add_account("payments")
    world.add_account(first)
    accounts_file.write_text(f'{DISCOVER}accounts: [{{ id: "{PLAIN}", alias: mine }}]\n')
    async with server.running(settings()) as service, calling(service.url) as gateway:
        await becomes(lambda: ready(gateway), {"status": "ready"})
        key = place(world, first)
        assert (await gateway.look_up(key))["account"] == {"alias": "payments"}
        later = organization.add_account("claims")
        world.add_account(later)
        await becomes(lambda: aliases(gateway), ["mine", *by_id({first: "payments", later: "claims"})])
        assert (await gateway.look_up(place(world, later)))["__typename"] == "Execution"
        organization.close_account(first)
        await becomes(lambda: aliases(gateway), ["mine", *by_id({later: "claims"})])
        assert (await gateway.look_up(key))["code"] == "ACCOUNT_NOT_AVAILABLE"


def by_id(accounts: dict[str, str]) -> list[str]:
    """Their names in the order of their ids, including the management account's."""
    return [name for _, name in sorted((accounts | {"123456789012": "master"}).items())]


async def test_not_ready_without_any_account(
    aws: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Settings],
    accounts_file: Path,
) -> None:
    """Live but not ready, with the reason, until a discovery succeeds; a later failure changes nothing."""
    accounts_file.write_text(DISCOVER)
    async with telling(denied()) as organizations:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", organizations.url)
        async with server.running(settings()) as service, calling(service.url) as gateway:
            assert (await ready(gateway))["status"] == "not ready"
            await becomes(
                lambda: ready(gateway),
                {
                    "status": "not ready",
                    "reason": "no accounts discovered yet: ACCESS_DENIED: AWS denied organizations:ListAccounts "
                    "in the organization: the gateway's role there lacks the permission.",
                },
            )
            assert (await gateway.send("GET", "/livez")).status == 200
            organizations.answers = [accounts_page(PLAIN)]
            await becomes(lambda: ready(gateway), {"status": "ready"})
            organizations.answers = [denied()]
            asked = len(organizations.asked)
            await until(lambda: len(organizations.asked) >= asked + 2)
            assert await ready(gateway) == {"status": "ready"}
            assert await aliases(gateway) == [f"a{PLAIN}"]


@pytest.fixture
def lookups(world: World) -> list[tuple[str, Callable[[Door], Any]]]:
    """Every API that uses accounts."""
    key = to_input(place(world))
    workflow = {name: key[name] for name in ("accountId", "region", "workflowId")}
    return [
        ("accounts", lambda door: door.accounts()),
        ("get", lambda door: door.get(key)),
        ("batch", lambda door: door.batch([key])),
        ("find", lambda door: door.find(key["executionId"])),
        ("list_executions", lambda door: door.list_executions()),
        ("get_workflow", lambda door: door.get_workflow(workflow)),
        ("list_workflows", lambda door: door.list_workflows()),
    ]


async def test_requests_wait_for_the_first_discovery(
    world: World,
    aws: Emulator,
    lookups: list[tuple[str, Callable[[Door], Any]]],
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Settings],
    accounts_file: Path,
) -> None:
    """Requests right after the start are answered at both servers once the accounts are known."""
    accounts_file.write_text(DISCOVER)
    async with telling(accounts_page(PLAIN), at_once=False) as organizations:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", organizations.url)
        async with (
            server.running(settings()) as service,
            both_doors(service) as doors,
            socket(service.url) as client,
            asyncio.timeout(60),
        ):
            waiting = [asyncio.ensure_future(ask(door)) for _, ask in lookups for door in doors]
            await client.subscribe("1", "{ accounts { id } }")
            over_socket = asyncio.ensure_future(client.next())
            done, _ = await asyncio.wait([*waiting, over_socket], timeout=0.5)
            assert not done
            organizations.may_answer.set()
            answers = [await each for each in waiting]
            names = [name for name, _ in lookups]
            http, rpc = (dict(zip(names, answers[door::2], strict=True)) for door in (0, 1))
            assert [account["accountId"] for account in http["accounts"]] == [PLAIN]
            assert http["get"]["executionId"] == http["find"]["execution"]["executionId"]
            assert http == rpc
            assert (await over_socket)["payload"] == {"data": {"accounts": [{"id": PLAIN}]}}


@pytest.mark.parametrize("is_denied", [True, False], ids=["denied", "no-answer"])
async def test_requests_without_a_discovery(
    world: World,
    aws: Emulator,
    lookups: list[tuple[str, Callable[[Door], Any]]],
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Settings],
    accounts_file: Path,
    *,
    is_denied: bool,
) -> None:
    """If none has succeeded by the request's deadline, the response says so, rather than that there are no accounts."""
    accounts_file.write_text(DISCOVER)
    async with telling(denied(), at_once=is_denied) as organizations:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", organizations.url)
        hasty = settings(
            request_timeout_s=90 if is_denied else 1, aws_read_timeout_s=30, aws_connect_timeout_s=30
        )
        async with server.running(hasty) as service, both_doors(service) as doors, asyncio.timeout(60):
            outcomes = await asyncio.gather(
                *(ask(door) for _, ask in lookups for door in doors), return_exceptions=True
            )
            organizations.may_answer.set()
    for outcome in outcomes:
        error: Any = outcome.error if isinstance(outcome, Failed) else outcome
        assert (error["code"], error["retryable"], error["retryAfter"]) == ("UPSTREAM_UNAVAILABLE", True, 1)
        assert error["message"].startswith("The accounts are not known yet")
        assert "organizations:ListAccounts" not in error["message"]


async def test_listed_accounts_are_served_without_the_organization(
    aws: Emulator,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Settings],
    accounts_file: Path,
) -> None:
    """If the first discovery fails, the listed accounts are served all the same."""
    accounts_file.write_text(f'{DISCOVER}accounts: [{{ id: "{PLAIN}" }}]\n')
    async with telling(denied()) as organizations:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", organizations.url)
        async with server.running(settings()) as service, calling(service.url) as gateway:
            await becomes(lambda: ready(gateway), {"status": "ready"})
            assert (await gateway.look_up(place(world)))["__typename"] == "Execution"


async def test_file_brings_discovery(
    organization: Organization, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """A new version of the file starts, changes and ends discovery; the current accounts stay meanwhile."""
    accounts_file.write_text(f'accounts: [{{ id: "{PLAIN}", alias: mine, regions: [{REGION}] }}]\n')
    added = organization.add_account("payments")
    async with server.running(settings(accounts_reload_s=0.1)) as service, calling(service.url) as gateway:
        assert await ready(gateway) == {"status": "ready"}
        assert await aliases(gateway) == ["mine"]
        accounts_file.write_text(DISCOVER.replace("refresh_s: 1", "refresh_s: 3600"))
        await becomes(lambda: aliases(gateway), by_id({added: "payments"}))
        accounts_file.write_text(
            DISCOVER.replace("refresh_s: 1", 'refresh_s: 3600, exclude_accounts: ["123456789012"]')
        )
        await becomes(lambda: aliases(gateway), ["payments"])
        accounts_file.write_text(f'accounts: [{{ id: "{PLAIN}", alias: mine, regions: [{REGION}] }}]\n')
        await becomes(lambda: aliases(gateway), ["mine"])


async def test_nothing_is_left_of_a_discovery(
    aws: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    settings: Callable[..., Settings],
    accounts_file: Path,
) -> None:
    """A service that is stopped while the organization does not answer ends at once, and leaves nothing running."""
    accounts_file.write_text(DISCOVER)
    before = asyncio.all_tasks()
    with create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", f"http://127.0.0.1:{silent.getsockname()[1]}")
        patient = settings(aws_read_timeout_s=100)
        async with asyncio.timeout(50), server.running(patient) as service, calling(service.url) as gateway:
            connection, _ = await asyncio.to_thread(silent.accept)
            assert await ready(gateway) == {"status": "not ready", "reason": "discovering accounts"}
        connection.close()
    assert [task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task)] == []
