"""What a caller may see: accounts, regions and fields of executions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput
from transfer_gateway.domain.execution import Execution, ExecutionResults, ExecutionSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer_gateway.domain.account import Account, Accounts
    from transfer_gateway.domain.identity import ExecutionKey, Target
    from transfer_gateway.domain.page import TargetFilter
    from transfer_gateway.domain.workflow import Workflow

E = TypeVar("E", Execution, ExecutionSummary)


class Hideable(StrEnum):
    """Fields that a policy can hide, by GraphQL name. A hidden field is null, as if AWS had omitted it."""

    INITIAL_FILE_LOCATION = "initialFileLocation"
    SERVICE_METADATA = "serviceMetadata"
    EXECUTION_ROLE = "executionRole"
    LOGGING_CONFIGURATION = "loggingConfiguration"
    POSIX_PROFILE = "posixProfile"
    STEP_OUTPUTS = "stepOutputs"


@dataclass(frozen=True, slots=True)
class Scope:
    """`accounts`: with only the regions that the caller may see. `hidden`: only targets with hidden fields.

    Only the Reader may read `accounts`, as it writes lookups to the audit log. The servers may call the methods here:
    they reveal nothing beyond a response that has been audited.
    """

    accounts: Accounts
    hidden: Mapping[Target, frozenset[Hideable]] = field(default_factory=dict)
    # A digest of everything that a response can show.
    version: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = sha256()
        for account in self.accounts:
            digest.update(f"{account.id} {account.alias!r} {' '.join(account.regions)}\n".encode())
        for target, fields in sorted(self.hidden.items()):
            digest.update(f"{target.account_id} {target.region} {' '.join(sorted(fields))}\n".encode())
        object.__setattr__(self, "version", digest.digest())

    def covers(self, key: ExecutionKey) -> bool:
        """Whether the caller may see the key's account and region."""
        return self.accounts.cover(key)

    def account_of(self, found: Execution | Workflow) -> Account | None:
        """The account of an execution or workflow; None if it is no longer in scope."""
        return self.accounts.find(found.account_id)

    def count_accounts(self) -> int:
        return len(self.accounts)

    def count_targets(self, account_ids: frozenset[str], regions: frozenset[str]) -> int:
        """The number of targets in these accounts and regions; unknown ones count as 0. Empty sets match all."""
        if not account_ids:
            return self.accounts.count_targets(regions)
        named = [account for account in map(self.accounts.find, account_ids) if account]
        return sum(
            len(regions.intersection(account.regions) if regions else account.regions) for account in named
        )

    def targets_named(self, target_filter: TargetFilter) -> list[Target]:
        """The targets that match a filter. Every account and region that it names must match a target.

        Otherwise an empty result would wrongly suggest that nothing exists there.

        Raises: AccountNotAvailable for a named account that is unavailable or has none of the regions; BadUserInput for
        a named region that none of the accounts has.
        """
        targets = [target for target in self.accounts.targets() if target_filter.matches_target(target)]
        for account_id in target_filter.account_ids:
            if not any(target.account_id == account_id for target in targets):
                raise AccountNotAvailable.of(account_id)
        for region in target_filter.regions:
            if not any(target.region == region for target in targets):
                raise BadUserInput.of("regions", f"names {region}, where you have no available account.")
        return targets

    def redact(self, execution: E) -> E:
        """The execution without hidden fields; the same object if nothing is hidden."""
        if not self.hidden:
            return execution
        hidden = self.hidden.get(execution.key.target)
        if not hidden:
            return execution
        redacted: dict[str, Any] = {
            each.name.lower(): None for each in hidden if hasattr(execution, each.name.lower())
        }
        if Hideable.STEP_OUTPUTS in hidden and isinstance(execution, Execution):
            redacted["results"] = _without_outputs(execution.results)
        return replace(execution, **redacted)


def _without_outputs(results: ExecutionResults | None) -> ExecutionResults | None:
    if results is None:
        return None
    steps, on_exception_steps = (
        None if steps is None else tuple(replace(step, outputs=None) for step in steps)
        for steps in (results.steps, results.on_exception_steps)
    )
    return ExecutionResults(steps, on_exception_steps)
