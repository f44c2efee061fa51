"""AWS Organizations: which accounts there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from botocore import xform_name

from transfer_gateway.aws.client import signed_with
from transfer_gateway.aws.decode import request_id
from transfer_gateway.aws.errors import Call, Service, SessionNoLongerGood, foreign_errors
from transfer_gateway.domain.discovery import Member
from transfer_gateway.domain.errors import BadUserInput, UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId
from transfer_gateway.domain.partition import partition_of
from transfer_gateway.domain.text import without_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import RegionalClients
    from transfer_gateway.aws.sts import Sts
    from transfer_gateway.domain.discovery import Discovery
    from transfer_gateway.domain.identity import Region
    from transfer_gateway.telemetry import AwsCalls

# Every operation in use, with the member of its answer that holds what is listed.
LISTS = {
    "ListAccounts": "Accounts",
    "ListAccountsForParent": "Accounts",
    "ListOrganizationalUnitsForParent": "OrganizationalUnits",
    "ListRoots": "Roots",
}
# One account's calls alone go through the client, so botocore's own retries cost nobody else anything.
ATTEMPTS = 5
_MAX_CONCURRENCY = 4  # AWS's limits are for the whole organization, and others read it too
_TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 524_288  # a page has 20 accounts of 1 KB, and a token of 100,000 characters at most
_MAX_NAME_CHARACTERS = 128  # AWS's own are up to 50; as of an alias in the accounts file
_MAX_PAGES, _MAX_LISTED = 20_000, 100_000  # of one reading; AWS has 10,000 accounts, on request 50,000


class Organizations:
    """Reads an organization, signed with a role's session or the service's own credentials."""

    def __init__(self, clients: RegionalClients, sts: Sts, sessions: SessionCache, calls: AwsCalls) -> None:
        self._clients = clients
        self._sts = sts
        self._sessions = sessions
        self._calls = calls

    async def list_members(self, discovery: Discovery) -> tuple[Member, ...]:
        """The active accounts in the wanted OUs, by id. All of them, or an error: never a part.

        Raises: AccessDenied, BadUserInput (an unknown OU, no organization), RoleNotAssumable, Throttled,
        UpstreamUnavailable. Source: Organizations ListAccounts; with OUs, those of `LISTS`.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                # The partition's one region that has Organizations. botocore finds it too, but for own endpoints.
                region = partition_of(discovery.region).global_region
                await self._clients.open([region])
                return await self._list_members(discovery, region)
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
        except SessionNoLongerGood:  # whoever asks again soon does so with another
            self._sessions.drop(reader, session)
            raise


class _Reading:
    """One walk through the organization. An account that moves meanwhile may be missed until the next."""

    def __init__(self, client: Any, discovery: Discovery, calls: AwsCalls) -> None:  # noqa: ANN401  botocore's clients are untyped
        self._client = client
        self._calls = calls
        self._wanted = discovery
        self._semaphore = asyncio.Semaphore(_MAX_CONCURRENCY)
        self._pages = self._listed = 0

    async def members(self) -> tuple[Member, ...]:
        wanted = self._wanted
        if wanted.include_ous or wanted.exclude_ous:
            excluded = await self._below(wanted.exclude_ous)
            tops = wanted.include_ous or {_id(root) for root in await self._list("ListRoots")}
            found = await self._of_each("ListAccountsForParent", await self._below(tops, besides=excluded))
        else:
            found = await self._list("ListAccounts")
        members = {member.id: member for member in map(_decode_member, found) if member is not None}
        return tuple(members[account_id] for account_id in sorted(members))

    async def _below(self, tops: Iterable[str], *, besides: Iterable[str] = ()) -> set[str]:
        """These OUs and all that are nested in them, level by level; AWS allows five."""
        found, besides = set[str](), frozenset(besides)
        level = set(tops) - besides
        while level:
            found |= level
            nested = await self._of_each("ListOrganizationalUnitsForParent", level)
            level = {_id(ou) for ou in nested} - besides - found
        return found

    async def _of_each(self, operation: str, parents: Iterable[str]) -> list[dict[str, Any]]:
        """What is listed for any of the parents. The first failure ends it all."""
        try:
            async with asyncio.TaskGroup() as tasks:
                lists = [
                    tasks.create_task(self._list(operation, ParentId=parent)) for parent in sorted(parents)
                ]
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        return [listed for one in lists for listed in one.result()]

    async def _list(self, operation: str, **asked: str) -> list[dict[str, Any]]:
        """Every page. A truncated body looks like a page without its member, hence an error."""
        found: list[dict[str, Any]] = []
        tokens = set[int]()
        async with self._semaphore:
            call = Call(Service.ORGANIZATIONS, operation, account_id=None)
            region = self._client.meta.region_name
            with self._calls.watch(call.action, None, region) as seen, foreign_errors(call):
                async for page in self._client.get_paginator(xform_name(operation)).paginate(**asked):
                    seen.request_id = request_id(page)
                    if LISTS[operation] not in page:
                        raise _incomplete(operation, LISTS[operation])
                    found += map(_needed, page[LISTS[operation]])
                    self._count(operation, len(page[LISTS[operation]]))
                    if (token := hash(page.get("NextToken"))) in tokens:
                        raise _endless(operation, "repeats a page token")
                    tokens.add(token)
        return found

    def _count(self, operation: str, listed: int) -> None:
        """Raises: UpstreamUnavailable, where it doesn't end."""
        self._pages, self._listed = self._pages + 1, self._listed + listed
        if self._pages > _MAX_PAGES or self._listed > _MAX_LISTED:
            raise _endless(
                operation,
                f"has more than {_MAX_LISTED} entries, or {_MAX_PAGES} pages, with the other lists of the organization",
            )


def _needed(wire: dict[str, Any]) -> dict[str, Any]:
    """An entry without what nobody here reads: there are tens of thousands."""
    return {name: wire[name] for name in ("Id", "Name", "State", "Status") if name in wire}


def _endless(operation: str, what: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"The list of organizations:{operation} {what}.")


def _id(wire: dict[str, Any]) -> str:
    try:
        return str(wire["Id"])
    except KeyError as error:
        raise _incomplete("ListRoots or ListOrganizationalUnitsForParent", "Id") from error


def _decode_member(wire: dict[str, Any]) -> Member | None:
    """The account, if it is active. AWS is replacing `Status` with `State`, and sends both for a while."""
    try:
        state = wire["State"] if "State" in wire else wire["Status"]
        if state != "ACTIVE":
            return None
        # Nobody here can refuse the name of another's account.
        name = without_control_characters(wire.get("Name", ""))[:_MAX_NAME_CHARACTERS]
        return Member(AccountId(wire["Id"]), name or None)
    except KeyError as error:
        raise _incomplete("ListAccounts", str(error.args[0])) from error
    except BadUserInput as error:
        raise UpstreamUnavailable(f"AWS listed an account with an invalid id: {error.message}") from error


def _incomplete(operation: str, member: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(f"AWS's answer to organizations:{operation} lacks the required {member}.")
