"""AWS Organizations: lists the organization's accounts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import request_id
from transfer_gateway.aws.errors import Call, Service, SessionRejected, foreign_errors
from transfer_gateway.domain.discovery import Member
from transfer_gateway.domain.errors import BadUserInput, UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId
from transfer_gateway.domain.partition import partition_of
from transfer_gateway.domain.text import is_blank, without_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import RegionalClients
    from transfer_gateway.aws.sts import Sts
    from transfer_gateway.domain.discovery import Discovery
    from transfer_gateway.domain.identity import Region
    from transfer_gateway.telemetry import AwsCalls

# Every operation in use, with the member of its response that holds the list.
LISTS = {
    "ListAccounts": "Accounts",
    "ListAccountsForParent": "Accounts",
    "ListOrganizationalUnitsForParent": "OrganizationalUnits",
    "ListRoots": "Roots",
}
# The client makes only one account's calls, so botocore's retries affect no other account.
ATTEMPTS = 5
_MAX_CONCURRENCY = 4  # AWS's limits apply to the whole organization, which other tools call too
_TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 524_288  # a page has at most 20 accounts of 1 KB, and a token of 100,000 characters
_MAX_NAME_CHARACTERS = 128  # as for an alias in the accounts file; AWS allows 50
_MAX_PAGES, _MAX_LISTED = 20_000, 100_000  # per discovery; AWS allows 10,000 accounts, on request 50,000


class Organizations:
    """Lists an organization's accounts, with a role's session or the service's own credentials."""

    def __init__(self, clients: RegionalClients, sts: Sts, sessions: SessionCache, calls: AwsCalls) -> None:
        self._clients = clients
        self._sts = sts
        self._sessions = sessions
        self._calls = calls

    async def open(self, discovery: Discovery) -> Region:
        """Open the client that discovery needs. Returns: its region. Raises: ConfigurationError."""
        # The partition's region with Organizations. botocore knows it too, but not for custom endpoints.
        region = partition_of(discovery.region).global_region
        await self._clients.open([region])
        return region

    async def list_members(self, discovery: Discovery) -> tuple[Member, ...]:
        """All active accounts in the configured OUs, sorted by id. Never a partial list.

        Raises: AccessDenied, BadUserInput (an unknown OU, no organization), RoleNotAssumable, Throttled,
        UpstreamUnavailable. Source: Organizations ListAccounts; with OUs, those of `LISTS`.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await self._list_members(discovery, await self.open(discovery))
        except TimeoutError as error:
            raise UpstreamUnavailable(
                f"AWS did not list the organization's accounts within {_TIMEOUT_S:g} s."
            ) from error

    async def _list_members(self, discovery: Discovery, region: Region) -> tuple[Member, ...]:
        reading = _Reading(self._clients[region], discovery, self._calls)
        reader = discovery.reader
        if reader is None:
            with signed_with(await self._sts.own_credentials()):
                return await reading.members()
        session = await self._sessions.get(reader)
        try:
            with signed_with(session.credentials):
                return await reading.members()
        except SessionRejected:  # the next discovery gets a new session
            self._sessions.drop(reader, session)
            raise


class _Reading:
    """One pass over the organization. An account that moves meanwhile may be missed until the next pass."""

    def __init__(self, client: Any, discovery: Discovery, calls: AwsCalls) -> None:  # noqa: ANN401  botocore's clients are untyped
        self._client = client
        self._calls = calls
        self._discovery = discovery
        self._semaphore = asyncio.Semaphore(_MAX_CONCURRENCY)
        self._pages = self._listed = 0

    async def members(self) -> tuple[Member, ...]:
        wanted = self._discovery
        if wanted.include_ous or wanted.exclude_ous:
            excluded = await self._nested_in(wanted.exclude_ous)
            tops = wanted.include_ous or {_id(root) for root in await self._list("ListRoots")}
            found = await self._list_each(
                "ListAccountsForParent", await self._nested_in(tops, exclude=excluded)
            )
        else:
            found = await self._list("ListAccounts")
        members = {member.id: member for member in map(_decode_member, found) if member is not None}
        return tuple(members[account_id] for account_id in sorted(members))

    async def _nested_in(self, tops: Iterable[str], *, exclude: Iterable[str] = ()) -> set[str]:
        """These OUs and all nested ones, level by level; AWS allows five levels."""
        found, exclude = set[str](), frozenset(exclude)
        level = set(tops) - exclude
        while level:
            found |= level
            nested = await self._list_each("ListOrganizationalUnitsForParent", level)
            level = {_id(ou) for ou in nested} - exclude - found
        return found

    async def _list_each(self, operation: str, parents: Iterable[str]) -> list[dict[str, Any]]:
        """The entries of all parents. The first failure cancels the rest."""
        try:
            async with asyncio.TaskGroup() as tasks:
                lists = [
                    tasks.create_task(self._list(operation, ParentId=parent)) for parent in sorted(parents)
                ]
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        return [listed for one in lists for listed in one.result()]

    async def _list(self, operation: str, **params: str) -> list[dict[str, Any]]:
        """All pages. A page without its member is an error, since a truncated body looks like that."""
        found: list[dict[str, Any]] = []
        tokens = set[int]()
        async with self._semaphore:
            call = Call(Service.ORGANIZATIONS, operation, account_id=None)
            region = self._client.meta.region_name
            with self._calls.watch(call.action, None, region) as seen, foreign_errors(call):
                async for page in self._client.get_paginator(xform_name(operation)).paginate(**params):
                    seen.request_id = request_id(page)
                    if LISTS[operation] not in page:
                        raise _incomplete(operation, LISTS[operation])
                    found += map(_without_unused_members, page[LISTS[operation]])
                    self._count(operation, len(page[LISTS[operation]]))
                    if (token := hash(page.get("NextToken"))) in tokens:
                        raise _endless(operation, "repeats a page token")
                    tokens.add(token)
        return found

    def _count(self, operation: str, listed: int) -> None:
        """Raises: UpstreamUnavailable, if the list does not end."""
        self._pages, self._listed = self._pages + 1, self._listed + listed
        if self._pages > _MAX_PAGES or self._listed > _MAX_LISTED:
            raise _endless(
                operation,
                f"has more than {_MAX_LISTED} entries or {_MAX_PAGES} pages, including the organization's other lists",
            )


def _without_unused_members(wire: dict[str, Any]) -> dict[str, Any]:
    """An entry without unused members, to save memory: there may be tens of thousands."""
    return {name: wire[name] for name in ("Id", "Name", "State", "Status") if name in wire}


def _endless(operation: str, problem: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"The list of organizations:{operation} {problem}.")


def _id(wire: dict[str, Any]) -> str:
    try:
        return str(wire["Id"])
    except KeyError as error:
        raise _incomplete("ListRoots or ListOrganizationalUnitsForParent", "Id") from error


def _decode_member(wire: dict[str, Any]) -> Member | None:
    """The account, or None if it is not active. AWS is replacing `Status` with `State` and sends both for now."""
    try:
        state = wire["State"] if "State" in wire else wire["Status"]
        if state != "ACTIVE":
            return None
        # An account's name is outside our control, so it is sanitized instead of rejected.
        name = without_control_characters(wire.get("Name", ""))[:_MAX_NAME_CHARACTERS]
        return Member(AccountId(wire["Id"]), None if is_blank(name) else name)
    except KeyError as error:
        raise _incomplete("ListAccounts", str(error.args[0])) from error
    except BadUserInput as error:
        raise UpstreamUnavailable(f"AWS listed an account with an invalid id: {error.message}") from error


def _incomplete(operation: str, member: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"AWS's answer to organizations:{operation} lacks the required {member}.")
