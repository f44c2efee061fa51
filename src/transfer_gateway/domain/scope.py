"""What a caller may see: accounts, regions and fields of executions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, ExecutionNotFound, GatewayError
from transfer_gateway.domain.execution import Execution, ExecutionResults, ExecutionSummary
from transfer_gateway.domain.identity import AccountId, Region, Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer_gateway.domain.account import Account, Accounts
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.domain.page import TargetFilter
    from transfer_gateway.domain.server import Server
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


_IN_STEPS = frozenset({Hideable.STEP_OUTPUTS, Hideable.INITIAL_FILE_LOCATION})
_IN_DETAILS = _IN_STEPS | {Hideable.SERVICE_METADATA}
# A log group is often called after its server.
_IN_NOT_FOUND = frozenset({Hideable.LOGGING_CONFIGURATION, Hideable.SERVICE_METADATA})


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
        texts: dict[frozenset[Hideable], str] = {}  # of 40,000 targets, few differ
        for target, fields in self.hidden.items():  # a policy has them in the order of the accounts
            if (text := texts.get(fields)) is None:
                text = texts[fields] = " ".join(sorted(fields))
            digest.update(f"{target.account_id} {target.region} {text}\n".encode())
        object.__setattr__(self, "version", digest.digest())

    def covers(self, key: ExecutionKey) -> bool:
        """Whether the caller may see the key's account and region."""
        return self.accounts.cover(key)

    def account_of(self, found: Execution | Workflow | Server) -> Account | None:
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
        self.check_named(target_filter)
        return [target for target in self.accounts.targets() if target_filter.matches_target(target)]

    def check_named(self, target_filter: TargetFilter) -> None:
        """Raises: as `targets_named`."""
        accounts, regions = target_filter.account_ids, target_filter.regions
        for account_id in accounts:
            account = self.accounts.find(account_id)
            if account is None:
                raise AccountNotAvailable.of(account_id)
            if regions and not set(regions).intersection(account.regions):
                raise AccountNotAvailable.elsewhere(account_id, regions)
        for region in regions:
            if not self.count_targets(frozenset(accounts), frozenset([region])):
                raise BadUserInput.of("regions", f"names {region}, where you have no available account.")

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
        if hidden & _IN_STEPS and isinstance(execution, Execution):
            redacted["results"] = _redacted_results(execution.results, hidden)
        return replace(execution, **redacted)

    def redact_event(self, event: ExecutionEvent) -> ExecutionEvent:
        """The event without hidden fields, wherever in it they are."""
        hidden = self.hidden.get(event.key.target)
        if not hidden:
            return event
        return replace(
            event,
            file_location=None if Hideable.INITIAL_FILE_LOCATION in hidden else event.file_location,
            upload=None if Hideable.SERVICE_METADATA in hidden else event.upload,
            # The details have files, outputs and users, in whatever form.
            details=None if hidden & _IN_DETAILS else event.details,
        )

    def redact_server(self, server: Server) -> Server:
        """The server without hidden fields."""
        hidden = self.hidden.get(server.key.target)
        if not hidden:
            return server
        redacted: dict[str, Any] = {}
        if Hideable.LOGGING_CONFIGURATION in hidden:
            redacted |= {"logging_role": None, "structured_log_destinations": None}
        if Hideable.EXECUTION_ROLE in hidden:
            redacted |= {
                "on_upload": tuple(replace(started, execution_role=None) for started in server.on_upload),
                "on_partial_upload": tuple(
                    replace(started, execution_role=None) for started in server.on_partial_upload
                ),
            }
        return replace(server, **redacted)

    def redact_workflow(self, workflow: Workflow) -> Workflow:
        """The workflow without hidden fields."""
        if Hideable.LOGGING_CONFIGURATION not in self.hidden.get(workflow.key.target, ()):
            return workflow
        return replace(workflow, structured_log_destinations=None)

    def shows_log_names(self, target: Target) -> bool:
        """Whether the caller may see the names of log groups, and of servers as far as logs name them."""
        hidden = self.hidden.get(target)
        return not hidden or not hidden & _IN_NOT_FOUND

    def redact_error(self, error: GatewayError) -> GatewayError:
        """The error without the names of servers and log groups, if these are hidden."""
        if not isinstance(error, ExecutionNotFound) or error.unnamed is None:
            return error
        if error.account_id is None or error.region is None:  # nobody knows whether it may be shown
            return error.without_names()
        target = Target(AccountId(error.account_id), Region(error.region))
        return error if self.shows_log_names(target) else error.without_names()


def _redacted_results(
    results: ExecutionResults | None, hidden: frozenset[Hideable]
) -> ExecutionResults | None:
    if results is None:
        return None
    redacted: dict[str, Any] = {}
    if Hideable.STEP_OUTPUTS in hidden:
        redacted["outputs"] = None
    if Hideable.INITIAL_FILE_LOCATION in hidden:
        redacted["file_location"] = None
    steps, on_exception_steps = (
        None if steps is None else tuple(replace(step, **redacted) for step in steps)
        for steps in (results.steps, results.on_exception_steps)
    )
    return ExecutionResults(steps, on_exception_steps)
