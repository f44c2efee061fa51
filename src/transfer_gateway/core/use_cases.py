"""The use cases, one method each, limited to the caller's scope."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from transfer_gateway.core.access import Access
from transfer_gateway.core.fanout import outcomes, outcomes_as_completed
from transfer_gateway.core.response_replay import Described, counts_uses
from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, GatewayError, quote
from transfer_gateway.domain.page import TargetFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping, Sequence

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution, StepRef
    from transfer_gateway.domain.identity import (
        AccountId,
        ExecutionId,
        ExecutionKey,
        Region,
        WorkflowId,
        WorkflowKey,
    )
    from transfer_gateway.domain.page import ExecutionFilter, FindResult, Page
    from transfer_gateway.domain.workflow import Workflow, WorkflowStep

Definitions: TypeAlias = "Mapping[StepRef, WorkflowStep | GatewayError | None]"

_SNAPSHOTS_AT_ONCE = 32
_NO_DEFINITIONS: Definitions = {}
# AWS creates and deletes workflows but never changes their steps.
_STEPS_MAX_AGE_S = 3600.0
DEFAULT_MAX_AGE_S = 1.0
DEFAULT_WORKFLOW_MAX_AGE_S = 300.0
DEFAULT_PAGE = 50


@counts_uses
class Reader(Access):
    """The use cases for one request of one caller.

    Each public method is a use case. It declares to `replay` what makes its response repeatable, if anything. An
    account out of scope is treated like one that doesn't exist.

    `deadline` is in the running loop's time; there is one per request. `max_age_s` is the maximum age of AWS's answer;
    0 means no older than this request.
    """

    def list_accounts(self) -> list[Account]:
        """The accounts of the scope, as configured. Raises: Throttled."""
        accounts = list(self.scope.accounts)
        self._take_rows(len(accounts))
        self._audit.listed("list_accounts", [account.id for account in accounts], targets=0, failures=())
        return accounts

    def get_account(self, account_id: AccountId) -> Account:
        """One account of the scope, as configured. Raises: AccountNotAvailable, Throttled."""
        self._take_rows(1)
        account = self.scope.accounts.find(account_id)
        if account is None:
            refusal = AccountNotAvailable.of(account_id)
            self._audit.looked_up("get_account", account_id, refusal)
            raise refusal
        self._audit.looked_up("get_account", account_id, account)
        return account

    async def describe(self, key: ExecutionKey, *, max_age_s: float, deadline: float) -> Execution:
        """An execution in progress. Raises: GatewayError, with account and region."""
        if not max_age_s >= 0:  # so that NaN is refused too
            raise _bad_max_age(max_age_s)
        self._take_rows(1)
        execution = await self._look_up(
            "get_execution", self._sources.operations.executions, key, max_age_s=max_age_s, deadline=deadline
        )
        if max_age_s:  # with 0 the answer must be no older than the request, which a repeated one never is
            self.replay.declare((Described(key, max_age_s, execution.version),), 1)
        return self.scope.redact(execution)

    def peek(self, key: ExecutionKey, *, max_age_s: float) -> Execution | None:
        """What `describe` would return from a snapshot; None if it would call AWS or raise. Raises: Throttled."""
        executions = self._sources.operations.executions
        if not self.scope.accounts.cover(key):
            return None
        execution = executions.peek(key, max_age_s=max_age_s)
        if execution is None:
            return None
        self._take_rows(1)
        executions.hits += 1
        self._audit.looked_up("get_execution", key, execution, source="snapshot")
        return self.scope.redact(execution)

    async def describe_all(
        self, keys: Sequence[ExecutionKey], *, max_age_s: float, deadline: float
    ) -> list[Execution | GatewayError]:
        """The execution or the error of each key, in the order of the keys.

        Raises: BadUserInput for more than 1,000 keys, Throttled.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise _bad_max_age(max_age_s)
        self._take_keys(len(keys))
        distinct = dict.fromkeys(keys)
        found = self._from_snapshots(distinct, max_age_s)
        found |= await outcomes(
            [key for key in distinct if key not in found],
            lambda key: self._execution(key, max_age_s, deadline),
        )
        parts = tuple(
            Described(key, max_age_s, outcome.version)
            for key, outcome in found.items()
            if not isinstance(outcome, GatewayError)
        )
        if max_age_s and len(parts) == len(found):
            self.replay.declare(parts, len(keys))
        return [self._shown(found[key]) for key in keys]

    def take_keys(self, count: int) -> None:
        """Charge the keys that `describe_each` will describe.

        Raises: BadUserInput for more than 1,000, Throttled.
        """
        self._take_keys(count)

    async def describe_each(
        self, keys: Sequence[ExecutionKey], *, max_age_s: float, with_definitions: bool, deadline: float
    ) -> AsyncGenerator[tuple[int, tuple[Execution, Definitions] | GatewayError]]:
        """As `describe_all`, but each outcome with its key's index as soon as it is available, and with `define_steps`.

        `take_keys` has charged the keys. Applies backpressure: see `outcomes_as_completed`. Raises: BadUserInput.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise _bad_max_age(max_age_s)
        indexes: dict[ExecutionKey, list[int]] = {}
        for index, key in enumerate(keys):
            indexes.setdefault(key, []).append(index)
        to_describe = list(indexes)
        if not with_definitions:
            distinct, to_describe = to_describe, []
            for start in range(0, len(distinct), _SNAPSHOTS_AT_ONCE):
                part = distinct[start : start + _SNAPSHOTS_AT_ONCE]
                for key, known in (found := self._from_snapshots(part, max_age_s)).items():
                    shown = self._shown(known)
                    outcome = shown if isinstance(shown, GatewayError) else (shown, _NO_DEFINITIONS)
                    for index in indexes[key]:
                        yield index, outcome
                to_describe += [key for key in part if key not in found]

        async def describe(key: ExecutionKey) -> tuple[Execution, Definitions]:
            execution = await self._execution(key, max_age_s, deadline)
            return self.scope.redact(execution), await self.define_steps(
                [execution] if with_definitions else [], deadline=deadline
            )

        completed = outcomes_as_completed(to_describe, describe)
        async with aclosing(completed):
            async for key, described in completed:
                for index in indexes[key]:
                    yield index, described

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        account_ids: Sequence[AccountId] | None,
        regions: Sequence[Region] | None,
        *,
        deadline: float,
    ) -> FindResult:
        """An execution by its id, in all targets or in those of the accounts and regions named.

        Raises: AccountNotAvailable for a named account that is not configured, or not in any of these regions;
        BadUserInput for a region that is not configured for any of these accounts.
        """
        self._take_rows(1)
        wanted = TargetFilter(account_ids=tuple(account_ids or ()), regions=tuple(regions or ()))
        criteria = {
            "execution_id": execution_id,
            "account_ids": list(wanted.account_ids),
            "regions": list(wanted.regions),
        }
        try:
            targets = self.scope.targets_named(wanted)
            with self._audited_if_cancelled("find_execution", **criteria):
                found = await self._sources.finder.find(execution_id, workflow_id, targets, deadline=deadline)
        except GatewayError as error:
            self._audit.refused("find_execution", error, **criteria)
            raise
        self._audit.listed(
            "find_execution",
            [found.execution.id] if found.execution else [],
            targets=found.targets_asked,
            failures=found.failures,
            **criteria,
        )
        if found.execution is None:
            return found
        return replace(found, execution=self.scope.redact(found.execution))

    async def in_progress(
        self,
        wanted: ExecutionFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
    ) -> Page[Execution]:
        """A page of all executions in progress that match. Raises: BadUserInput, Throttled."""
        self._take_rows(0)
        with self._audited_if_cancelled("list_executions"):
            page = await self._sources.in_progress.page(
                self.scope.accounts.targets(),
                wanted,
                self.scope,
                first=first,
                after=after,
                with_details=with_details,
                deadline=deadline,
            )
        for entry in page.entries:
            self._sources.finder.remember(entry.node.key)
        self._listed("list_executions", wanted, page)
        return page

    async def describe_workflow(self, key: WorkflowKey, *, max_age_s: float, deadline: float) -> Workflow:
        """A workflow's definition. Raises: GatewayError, with account and region."""
        if not max_age_s >= 0:  # so that NaN is refused too
            raise _bad_max_age(max_age_s)
        self._take_rows(1)
        return await self._look_up(
            "get_workflow", self._sources.operations.definitions, key, max_age_s=max_age_s, deadline=deadline
        )

    async def define_step(self, ref: StepRef, *, deadline: float) -> WorkflowStep | None:
        """The definition of a step; None past the definition's end.

        Writes one audit event per workflow and request, however many of its steps are selected.

        Raises: GatewayError, with account and region, if the definition is unavailable.
        """
        definitions = self._sources.operations.definitions
        workflow = await self._look_up_once(
            "get_workflow", definitions, ref.workflow, max_age_s=_STEPS_MAX_AGE_S, deadline=deadline
        )
        return workflow.step_at(ref)

    async def define_steps(self, executions: Iterable[Execution], *, deadline: float) -> Definitions:
        """The definition of every step that has a result, None, or the error."""
        refs = [
            step.ref
            for execution in executions
            if execution.results is not None
            for steps in (execution.results.steps, execution.results.on_exception_steps)
            for step in steps or ()
        ]
        return await outcomes(refs, lambda ref: self.define_step(ref, deadline=deadline))

    async def list_workflows(
        self,
        wanted: TargetFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        deadline: float,
    ) -> Page[Workflow]:
        """A page of all workflows that match. Raises: BadUserInput, Throttled."""
        self._take_rows(0)
        with self._audited_if_cancelled("list_workflows"):
            page = await self._sources.workflows.page(
                self.scope.accounts.targets(),
                wanted,
                first=first,
                after=after,
                with_details=with_details,
                deadline=deadline,
            )
        self._listed("list_workflows", wanted, page)
        return page

    def _execution(self, key: ExecutionKey, max_age_s: float, deadline: float) -> Awaitable[Execution]:
        return self._look_up(
            "get_execution", self._sources.operations.executions, key, max_age_s=max_age_s, deadline=deadline
        )

    def _shown(self, outcome: Execution | GatewayError) -> Execution | GatewayError:
        return outcome if isinstance(outcome, GatewayError) else self.scope.redact(outcome)


def _bad_max_age(max_age_s: float) -> BadUserInput:
    return BadUserInput.of("max_age", f"must be 0 or more seconds; got {quote(max_age_s)}.")
