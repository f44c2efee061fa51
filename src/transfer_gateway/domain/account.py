"""The configured AWS accounts and how to access them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import AccountNotAvailable
from transfer_gateway.domain.identity import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, WorkflowKey


@dataclass(frozen=True, slots=True)
class Account:
    """An account from the accounts file or discovered in the organization.

    `role_arn` None: accessed with the service's own credentials, without AssumeRole. The external id should not be
    disclosed, so it is excluded from `repr`.
    """

    id: AccountId
    alias: str | None
    regions: tuple[Region, ...]
    role_arn: str | None
    external_id: str | None = field(repr=False)
    session_duration_s: int
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)  # matched by access policies


class Accounts:
    """All accounts by id, in configured order. Immutable: a reload builds a new one."""

    __slots__ = ("_by_id", "_targets_in")

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_id: Mapping[AccountId, Account] = MappingProxyType({a.id: a for a in accounts})
        self._targets_in: Counter[str] = Counter(region for account in self for region in account.regions)

    def get(self, key: Target | WorkflowKey | ExecutionKey) -> Account:
        """The account of a target or key. Raises: AccountNotAvailable for an unknown account or region."""
        account = self._by_id.get(key.account_id)
        if account is None or key.region not in account.regions:
            raise AccountNotAvailable.of(key.account_id, key.region)
        return account

    def cover(self, key: Target | WorkflowKey | ExecutionKey) -> bool:
        """Whether `get` would succeed."""
        account = self._by_id.get(key.account_id)
        return account is not None and key.region in account.regions

    def find(self, account_id: str) -> Account | None:
        return self._by_id.get(account_id)  # type: ignore[call-overload, no-any-return]  # a string that is no account id is not found

    def regions(self) -> tuple[Region, ...]:
        """Every region in use, without duplicates, in order of first use."""
        return tuple(dict.fromkeys(region for account in self for region in account.regions))

    def targets(self) -> list[Target]:
        """Every account in each of its regions."""
        return [Target(account.id, region) for account in self for region in account.regions]

    def count_targets(self, regions: Iterable[str] = ()) -> int:
        """The number of targets in the given regions; none given: in all."""
        return sum(self._targets_in[region] for region in set(regions) or set(self._targets_in))

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
