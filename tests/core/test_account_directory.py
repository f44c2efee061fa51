"""The accounts in service during successful and failed discoveries and file changes."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from organization import Told, accounts_page, denied, discovery, reading, sources, telling
from transfer_gateway.core.account_directory import AccountDirectory
from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.identity import AccountId, Region

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer_gateway.domain.discovery import AccountSources

A, B, C = "111111111111", "222222222222", "333333333333"
LISTED = Account(AccountId(C), "mine", (Region("eu-west-1"),), None, None, 900)


@dataclass
class Rig:
    """A directory, its organization, and every list of accounts that it put in service."""

    directory: AccountDirectory
    organization: Told
    in_service: list[list[str]]

    @property
    def now(self) -> list[str]:
        return self.in_service[-1]


@asynccontextmanager
async def rig(monkeypatch: pytest.MonkeyPatch, start: AccountSources, *answers: Any) -> AsyncIterator[Rig]:
    in_service: list[list[str]] = [[account.id for account in start.listed]]

    async def use(accounts: Accounts) -> None:
        await asyncio.sleep(0)
        in_service.append([account.id for account in accounts])

    async with telling(*answers) as told, reading(monkeypatch, told.url) as organizations:
        yield Rig(AccountDirectory(start, organizations, use), told, in_service)


async def test_changes_are_put_in_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts are added and removed as in the organization; a discovery without changes has no effect."""
    answers = accounts_page(A), accounts_page(A), accounts_page(A, B), accounts_page(B)
    async with rig(monkeypatch, sources(LISTED, wanted=discovery()), *answers) as it:
        for _ in answers:
            again_in_s = await it.directory.discover()
            assert 270 <= again_in_s <= 300
    assert it.in_service == [[C], [C, A], [C, A, B], [C, B]]
    assert [account.id for account in it.directory.accounts] == it.now


async def test_failure_keeps_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed discovery changes nothing and is retried soon, then at growing intervals."""
    answers = accounts_page(A), denied()
    async with rig(monkeypatch, sources(wanted=discovery(refresh_s=30)), *answers) as it:
        await it.directory.discover()
        waits_s = [await it.directory.discover() for _ in range(8)]
        assert it.now == [A]
        assert it.directory.not_ready_reason is None
        it.organization.answers = [accounts_page(A, B)]
        await it.directory.discover()
        it.organization.answers = [denied()]
        first_again_s = await it.directory.discover()
    assert it.now == [A, B]
    for wait_s, expected_s in zip([*waits_s, first_again_s], [1, 2, 4, 8, 16, 30, 30, 30, 1], strict=True):
        assert expected_s * 0.8 <= wait_s <= expected_s * 1.2


async def test_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any account the service is not ready, with the reason, until the first success."""
    answers = denied(), accounts_page(), denied()
    async with rig(monkeypatch, sources(wanted=discovery()), *answers) as it:
        assert it.directory.not_ready_reason == "no accounts discovered yet"
        await it.directory.discover()
        assert it.directory.not_ready_reason == (
            "no accounts discovered yet: ACCESS_DENIED: AWS denied organizations:ListAccounts "
            "in the organization: the gateway's role there lacks the permission."
        )
        for _ in range(2):
            await it.directory.discover()
            assert it.directory.not_ready_reason is None


async def test_listed_accounts_need_no_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first discovery fails, the listed accounts stay in service."""
    async with rig(monkeypatch, sources(LISTED, wanted=discovery()), denied()) as it:
        await it.directory.discover()
        assert it.now == [C]
        assert it.directory.not_ready_reason is None


async def test_a_new_file_waits_for_no_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the organization can't be read, accounts of a changed file are in service at once."""
    async with rig(monkeypatch, sources(wanted=discovery()), denied()) as it:
        await it.directory.discover()
        await it.directory.use_sources(sources(LISTED, wanted=discovery()))
        assert it.now == [C]
        assert it.directory.not_ready_reason is None


async def test_a_new_file_keeps_the_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovered accounts are merged again, with the new defaults, without another discovery."""
    async with rig(monkeypatch, sources(wanted=discovery()), accounts_page(A, B), denied()) as it:
        await it.directory.discover()
        await it.directory.use_sources(
            sources(LISTED, wanted=discovery(exclude_accounts=[B]), role_name="Other")
        )
        assert it.now == [C, A]
        assert [account.role_arn for account in it.directory.accounts] == [
            None,
            f"arn:aws:iam::{A}:role/Other",
        ]
        await it.directory.discover()
        assert it.now == [C, A]


async def test_a_new_file_is_discovered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file change ends the wait for the next discovery; otherwise it lasts as long as given."""
    async with rig(monkeypatch, sources(wanted=discovery()), accounts_page(A)) as it:
        await it.directory.discover()
        resting = asyncio.create_task(it.directory.rest(math.inf))
        await asyncio.sleep(0.05)  # in which it must not end
        assert not resting.done()
        await it.directory.use_sources(sources(wanted=discovery(include=["ou-abcd-00000000"])))
        async with asyncio.timeout(30):
            await resting
            await it.directory.rest(0.01)


async def test_discovery_ends_with_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `discover` in the file, discovered accounts are dropped; with it, discovery runs again."""
    async with rig(monkeypatch, sources(wanted=discovery()), accounts_page(A)) as it:
        await it.directory.discover()
        await it.directory.use_sources(sources(LISTED))
        assert it.now == [C]
        assert await it.directory.discover() == math.inf
        await it.directory.use_sources(sources(wanted=discovery()))
        assert it.now == [C]  # until the discovery has been tried
        await it.directory.discover()
        assert it.now == [A]
        assert len(it.organization.asked) == 2


async def test_new_discovery_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a changed file enables a discovery that fails, exactly its listed accounts are in service from then on."""
    async with rig(monkeypatch, sources(LISTED), denied()) as it:
        await it.directory.use_sources(sources(wanted=discovery()))
        assert it.now == [C]
        await it.directory.discover()
        assert it.now == []
        assert it.directory.not_ready_reason is not None


async def test_a_fault_of_ours_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error neither ends the service nor removes accounts."""
    nonsense = {"Accounts": "none"}
    async with rig(monkeypatch, sources(wanted=discovery()), accounts_page(A), nonsense) as it:
        await it.directory.discover()
        assert await it.directory.discover() < 2
        assert it.now == [A]


async def test_an_answer_to_an_older_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of a discovery that started before the file changed are dropped; discovery runs again at once."""
    async with rig(monkeypatch, sources(wanted=discovery()), accounts_page(A)) as it:
        asking = asyncio.create_task(it.directory.discover())
        await asyncio.sleep(0)
        await it.directory.use_sources(sources(LISTED))
        assert await asking == 0.0
        assert it.now == [C]
