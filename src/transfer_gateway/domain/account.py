"""The accounts that the gateway looks into, and how it gets in."""

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
    """An account as the accounts file describes it.

    `role_arn` None: reached with the service's own credentials, without AssumeRole. The external id is
    a shared secret of sorts, so it stays out of `repr`.
    """

    id: AccountId
    alias: str | None
    regions: tuple[Region, ...]
    role_arn: str | None
    external_id: str | None = field(repr=False)
    session_duration_s: int
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)  # for policies to go by


class Accounts:
    """All configured accounts, by id; order as configured. Never changes: a reload builds another."""

    __slots__ = ("_by_id", "_targets_in")

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._by_id: Mapping[AccountId, Account] = MappingProxyType({a.id: a for a in accounts})
        self._targets_in: Counter[str] = Counter(region for account in self for region in account.regions)

    def get(self, of: Target | WorkflowKey | ExecutionKey) -> Account:
        """The account of a target, or of a key's. Raises: AccountNotAvailable for an unknown account or region."""
        account = self._by_id.get(of.account_id)
        if account is None or of.region not in account.regions:
            raise AccountNotAvailable.of(of.account_id, of.region)
        return account

    def cover(self, of: Target | WorkflowKey | ExecutionKey) -> bool:
        """Whether `get` would find it."""
        account = self._by_id.get(of.account_id)
        return account is not None and of.region in account.regions

    def find(self, account_id: str) -> Account | None:
        return self._by_id.get(account_id)  # type: ignore[call-overload, no-any-return]  # whatever is no id is not in it

    def regions(self) -> tuple[Region, ...]:
        """Every region in use, each once, in the order of first use."""
        return tuple(dict.fromkeys(region for account in self for region in account.regions))

    def targets(self) -> list[Target]:
        """Every account in each of its regions."""
        return [Target(account.id, region) for account in self for region in account.regions]

    def count_targets(self, regions: Iterable[str] = ()) -> int:
        """How many targets there are, in all regions or in those named."""
        return sum(self._targets_in[region] for region in set(regions) or set(self._targets_in))

    def __iter__(self) -> Iterator[Account]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)
