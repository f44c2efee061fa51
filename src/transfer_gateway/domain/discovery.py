"""Account sources: the accounts file's list, an AWS organization, or both, and how to merge them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.identity import Identifier
from transfer_gateway.domain.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer_gateway.domain.identity import AccountId, Region


class OuId(Identifier):
    """An organizational unit, or the organization's root. Source: the Organizations model."""

    __slots__ = ()
    PATTERN = re.compile(r"(r-[0-9a-z]{4,32})|(ou-[0-9a-z]{4,32}-[a-z0-9]{8,32})")
    EXAMPLE = "ou-ab12-11111111"


@dataclass(frozen=True, slots=True)
class Member:
    """An active account of an organization, with its name."""

    id: AccountId
    name: str | None


@dataclass(frozen=True, slots=True)
class Discovery:
    """Which accounts of the organization to include.

    An OU includes everything below it. Empty `include_ous`: the whole organization. Exclusions take precedence.
    `reader`: the role that may read the organization; None: the service's own credentials. `region` only determines
    the AWS partition.
    """

    region: Region
    reader: Account | None
    include_ous: frozenset[OuId]
    exclude_ous: frozenset[OuId]
    exclude_accounts: frozenset[AccountId]
    refresh_s: float


@dataclass(frozen=True, slots=True)
class AccountDefaults:
    """Settings for accounts that do not override them."""

    role_name: str
    regions: tuple[Region, ...]
    external_id: str | None = field(repr=False)
    session_duration_s: int

    def account(self, account_id: AccountId, alias: str | None) -> Account:
        return Account(
            id=account_id,
            alias=alias,
            regions=self.regions,
            role_arn=self.role_arn(account_id, self.regions[0]),
            external_id=self.external_id,
            session_duration_s=self.session_duration_s,
        )

    def role_arn(self, account_id: AccountId, region: Region) -> str:
        """The default role's ARN, in the region's partition."""
        return f"arn:{partition_of(region).id}:iam::{account_id}:role/{self.role_name}"


@dataclass(frozen=True, slots=True)
class AccountSources:
    """The accounts file's content. If `discovery` is set, `defaults.regions` is not empty."""

    listed: Accounts
    defaults: AccountDefaults
    discovery: Discovery | None

    def regions(self) -> tuple[Region, ...]:
        """Every region that an account may use, without duplicates; at least one."""
        discovered = self.defaults.regions if self.discovery is not None else ()
        return tuple(dict.fromkeys((*self.listed.regions(), *discovered)))

    def merge(self, members: Iterable[Member]) -> Accounts:
        """The listed accounts, followed by the other members, sorted by id.

        A member's alias is its name, unless the name is not unique among members and listed aliases.
        """
        if self.discovery is None:
            return self.listed
        known = sorted(members, key=lambda member: member.id)
        names = Counter([member.name for member in known] + [account.alias for account in self.listed])
        unwanted = self.discovery.exclude_accounts | {account.id for account in self.listed}
        discovered = [
            self.defaults.account(member.id, member.name if names[member.name] == 1 else None)
            for member in known
            if member.id not in unwanted
        ]
        return Accounts([*self.listed, *discovered])
