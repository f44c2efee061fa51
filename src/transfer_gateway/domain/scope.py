"""What a caller may see: which accounts, in which regions, and which fields of what runs in them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
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
    """Fields that a policy can hide, by their names in GraphQL. Hidden is null, as if AWS had left it out."""

    INITIAL_FILE_LOCATION = "initialFileLocation"
    SERVICE_METADATA = "serviceMetadata"
    EXECUTION_ROLE = "executionRole"
    LOGGING_CONFIGURATION = "loggingConfiguration"
    POSIX_PROFILE = "posixProfile"
    STEP_OUTPUTS = "stepOutputs"


@dataclass(frozen=True, slots=True)
class Scope:
    """`accounts` have only the regions that the caller may see; `hidden` has the targets where a field is hidden.

    To read `accounts` is a look-up, which only the Reader may do, since it writes look-ups to the audit. The methods
    here are for the servers too: they give no more than belongs to an answer that has been audited.
    """

    accounts: Accounts
    hidden: Mapping[Target, frozenset[Hideable]] = field(default_factory=dict)

    def covers(self, key: ExecutionKey) -> bool:
        """Whether the caller may see what runs there."""
        return self.accounts.cover(key)

    def account_of(self, found: Execution | Workflow) -> Account | None:
        """The account of what was found; None once it is out of scope."""
        return self.accounts.find(found.account_id)

    def count_accounts(self) -> int:
        return len(self.accounts)

    def count_targets(self, account_ids: frozenset[str], regions: frozenset[str]) -> int:
        """How many targets there are in these accounts and regions, whatever these texts are. Empty sets match all."""
        if not account_ids:
            return self.accounts.count_targets(regions)
        named = [account for account in map(self.accounts.find, account_ids) if account]
        return sum(
            len(regions.intersection(account.regions) if regions else account.regions) for account in named
        )

    def targets_named(self, wanted: TargetFilter) -> list[Target]:
        """The targets that match a filter, all of whose names must be known.

        Not to look in a place that was named is no certainty that something isn't there.

        Raises: AccountNotAvailable for a named account that is not available, or in none of these regions; BadUserInput
        for a region that none of these accounts is configured for.
        """
        targets = [target for target in self.accounts.targets() if wanted.wants_target(target)]
        for account_id in wanted.account_ids:
            if not any(target.account_id == account_id for target in targets):
                raise AccountNotAvailable.of(account_id)
        for region in wanted.regions:
            if not any(target.region == region for target in targets):
                raise BadUserInput.of("regions", f"names {region}, where you have no available account.")
        return targets

    def shown(self, execution: E) -> E:
        """The execution without what is hidden from the caller; the same object where nothing is."""
        if not self.hidden:
            return execution
        hidden = self.hidden.get(execution.key.target)
        if not hidden:
            return execution
        nothing: dict[str, Any] = {
            each.name.lower(): None for each in hidden if hasattr(execution, each.name.lower())
        }
        if Hideable.STEP_OUTPUTS in hidden and isinstance(execution, Execution):
            nothing["results"] = _without_outputs(execution.results)
        return replace(execution, **nothing)


def _without_outputs(results: ExecutionResults | None) -> ExecutionResults | None:
    if results is None:
        return None
    steps, on_exception_steps = (
        None if steps is None else tuple(replace(step, outputs=None) for step in steps)
        for steps in (results.steps, results.on_exception_steps)
    )
    return ExecutionResults(steps, on_exception_steps)
