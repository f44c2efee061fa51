"""The use cases, one method each, for a caller who sees a part of the accounts and of what AWS tells."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from transfer_gateway.core.audit import now
from transfer_gateway.core.fanout import outcomes, outcomes_as_they_come
from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, GatewayError, Throttled, quote
from transfer_gateway.domain.page import TargetFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from datetime import datetime

    from transfer_gateway.core.audit import AuditTrail
    from transfer_gateway.core.find import Finder
    from transfer_gateway.core.in_progress import InProgress
    from transfer_gateway.core.lookups import Lookups
    from transfer_gateway.core.quota import Quota
    from transfer_gateway.core.workflows import Workflows
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.domain.execution import Execution, StepPlace
    from transfer_gateway.domain.identity import (
        AccountId,
        ExecutionId,
        ExecutionKey,
        Region,
        Target,
        WorkflowId,
        WorkflowKey,
    )
    from transfer_gateway.domain.page import ExecutionFilter, Found, Page
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.domain.workflow import Workflow, WorkflowStep

Definitions: TypeAlias = "Mapping[StepPlace, WorkflowStep | GatewayError | None]"

MAX_KEYS = 1000
_AT_HAND_AT_ONCE = 32
_NO_DEFINITIONS: Definitions = {}
DEFAULT_MAX_AGE_S = 1.0
DEFAULT_WORKFLOW_MAX_AGE_S = 300.0
DEFAULT_PAGE = 50


class Told(NamedTuple):
    """An execution that a caller was told of, as AWS described it, by what it asked."""

    key: ExecutionKey
    max_age_s: float
    execution: Execution


class Reader:
    """Lookups of executions across the accounts of a scope, which is looked at before any snapshot or flight is.

    An account out of scope is one that there is not. `deadline` is in the running loop's time: one for each
    request, whatever it asks. `max_age_s` is how old an answer of AWS's may be; 0: at least as fresh as this request.

    `told` has what `describe` told; it is None once the caller has asked for anything else, or in vain.
    """

    def __init__(  # noqa: PLR0917  what one caller has, and what all share
        self,
        audit: AuditTrail,
        scope: Scope,
        quota: Quota | None,
        lookups: Lookups,
        finder: Finder,
        in_progress: InProgress,
        workflows: Workflows,
    ) -> None:
        self.accounts = scope.accounts
        self.scope = scope
        self.told: list[Told] | None = []
        self._audit = audit
        self._quota = quota
        self._lookups = lookups
        self._finder = finder
        self._in_progress = in_progress
        self._workflows = workflows

    @property
    def caller(self) -> Caller:
        return self._audit.caller

    def see(self, scope: Scope) -> None:
        """From now on, use this scope."""
        self.scope, self.accounts = scope, scope.accounts

    def list_accounts(self) -> list[Account]:
        """The accounts of the scope, as configured. Raises: Throttled."""
        self.told = None
        accounts = list(self.accounts)
        self._take_rows(len(accounts))
        self._audit.listed("list_accounts", [account.id for account in accounts], targets=0, failures=())
        return accounts

    async def describe(self, key: ExecutionKey, *, max_age_s: float, deadline: float) -> Execution:
        """An execution in progress. Raises: GatewayError, with account and region."""
        self._take_rows(1)
        return await self._describe(key, max_age_s=max_age_s, deadline=deadline)

    async def _describe(self, key: ExecutionKey, *, max_age_s: float, deadline: float) -> Execution:
        """The same, when its row is paid for."""
        recalled = self._recall(key, max_age_s=max_age_s)
        if recalled is not None:
            return recalled
        _check_max_age(max_age_s)
        since = now()
        try:
            self.accounts.get(key)
            execution = await self._lookups.executions.get(key, max_age_s=max_age_s, deadline=deadline)
        except GatewayError as error:
            self.told = None
            self._audit.looked_up("get_execution", key, error, since)
            raise
        self._finder.saw(key)
        return self._tell(key, max_age_s, execution, since)

    def recall(self, key: ExecutionKey, *, max_age_s: float) -> Execution | None:
        """What `describe` would tell out of a snapshot, which needs no deadline; None where it would ask or raise.

        Raises: Throttled.
        """
        recalled = self._recall(key, max_age_s=max_age_s)
        if recalled is not None:
            self._take_rows(1)
        return recalled

    def _recall(self, key: ExecutionKey, *, max_age_s: float) -> Execution | None:
        if not self.accounts.cover(key):
            return None
        executions = self._lookups.executions
        execution = executions.peek(key, max_age_s=max_age_s)
        if execution is None:
            return None
        executions.hits += 1
        return self._tell(key, max_age_s, execution, now())

    def _tell(self, key: ExecutionKey, max_age_s: float, execution: Execution, since: datetime) -> Execution:
        if self.told is not None:
            self.told.append(Told(key, max_age_s, execution))
        self._audit.looked_up("get_execution", key, execution, since)
        return self.scope.shown(execution)

    def tell_again(self, told: Sequence[Told], at: float | None = None) -> bool:
        """Whether `describe` would tell all of that again without a call, to a caller with the scope of who was told.

        Or would have at that time, in the loop's, had it known all that is known now.

        If so it counts as told: its rows are charged, and the audit has it. False, too, where they can't be:
        `describe` says why.
        """
        executions = self._lookups.executions
        for key, max_age_s, execution in told:
            if executions.peek(key, max_age_s=max_age_s, at=at) is not execution:
                return False
        if self._quota is not None:
            try:
                self._quota.take_rows(len(told))
            except Throttled:
                return False
        if len(told) == 1:
            self._audit.looked_up("get_execution", key, execution, now())
        else:
            self._audit.recalled("get_execution", [(key, execution) for key, _, execution in told])
        executions.hits += len(told)
        return True

    async def describe_all(
        self, keys: Sequence[ExecutionKey], *, max_age_s: float, deadline: float
    ) -> list[Execution | GatewayError]:
        """For each key its execution or what stood in the way, in the order of the keys.

        Raises: BadUserInput for more than 1,000 keys, Throttled.
        """
        _check_max_age(max_age_s)
        self.take_keys(len(keys))
        different = dict.fromkeys(keys)
        found = self._at_hand(different, max_age_s)
        found |= await outcomes(
            [key for key in different if key not in found],
            lambda key: self._describe(key, max_age_s=max_age_s, deadline=deadline),
        )
        return [found[key] for key in keys]

    def _at_hand(
        self, keys: Iterable[ExecutionKey], max_age_s: float
    ) -> dict[ExecutionKey, Execution | GatewayError]:
        """What `describe` would say of each without asking AWS; with one event of the audit for all of a kind."""
        executions = self._lookups.executions
        found: dict[ExecutionKey, Execution | GatewayError] = {}
        recalled: list[tuple[ExecutionKey, Execution]] = []
        unavailable: list[ExecutionKey] = []
        for key in keys:
            if not self.accounts.cover(key):
                unavailable.append(key)
                found[key] = AccountNotAvailable.of(key.account_id, key.region)
            elif (execution := executions.peek(key, max_age_s=max_age_s)) is not None:
                recalled.append((key, execution))
                found[key] = self.scope.shown(execution)
        self._audit.recalled("get_execution", recalled)
        self._audit.unavailable("get_execution", unavailable)
        executions.hits += len(recalled)
        if unavailable:
            self.told = None
        if self.told is not None:
            self.told += [Told(key, max_age_s, execution) for key, execution in recalled]
        return found

    def take_keys(self, count: int) -> None:
        """Charge what `describe_each` will be asked for, before anything is done with it.

        Raises: BadUserInput for more than 1,000, Throttled.
        """
        if count > MAX_KEYS:
            raise BadUserInput.of("keys", f"may hold {MAX_KEYS} at most; got {count}.")
        self._take_rows(count)

    async def describe_each(
        self, keys: Sequence[ExecutionKey], *, max_age_s: float, with_definitions: bool, deadline: float
    ) -> AsyncGenerator[tuple[int, tuple[Execution, Definitions] | GatewayError]]:
        """The same, each with its index among the keys, as soon as it is there; with what `define_steps` gives.

        For keys that are taken. No faster than the answers are. Raises: BadUserInput.
        """
        _check_max_age(max_age_s)
        self.told = None  # a stream is not given again: no need to keep what it told
        indexes: dict[ExecutionKey, list[int]] = {}
        for index, key in enumerate(keys):
            indexes.setdefault(key, []).append(index)
        to_ask = list(indexes)
        if not with_definitions:
            different, to_ask = to_ask, []
            for start in range(0, len(different), _AT_HAND_AT_ONCE):
                part = different[start : start + _AT_HAND_AT_ONCE]
                for key, at_hand in (found := self._at_hand(part, max_age_s)).items():
                    told = at_hand if isinstance(at_hand, GatewayError) else (at_hand, _NO_DEFINITIONS)
                    for index in indexes[key]:
                        yield index, told
                to_ask += [key for key in part if key not in found]

        async def describe(key: ExecutionKey) -> tuple[Execution, Definitions]:
            execution = await self._describe(key, max_age_s=max_age_s, deadline=deadline)
            return execution, await self.define_steps(
                [execution] if with_definitions else [], deadline=deadline
            )

        coming = outcomes_as_they_come(to_ask, describe)
        async with aclosing(coming):
            async for key, outcome in coming:
                for index in indexes[key]:
                    yield index, outcome

    async def find(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        account_ids: Sequence[AccountId] | None,
        regions: Sequence[Region] | None,
        *,
        deadline: float,
    ) -> Found:
        """An execution by its id, in all targets or in those of the accounts and regions named.

        Raises: AccountNotAvailable for a named account that is not configured, or in none of these regions;
        BadUserInput for a region that none of these accounts is configured for.
        """
        self.told = None
        self._take_rows(1)
        wanted = TargetFilter(account_ids=tuple(account_ids or ()), regions=tuple(regions or ()))
        try:
            targets = self._wanted(wanted)
        except GatewayError as error:
            self._audit.refused("find_execution", error, execution_id=execution_id)
            raise
        found = await self._finder.find(execution_id, workflow_id, targets, deadline=deadline)
        self._audit.listed(
            "find_execution",
            [found.execution.id] if found.execution else [],
            targets=found.targets_asked,
            failures=found.failures,
            execution_id=execution_id,
        )
        if found.execution is None:
            return found
        return replace(found, execution=self.scope.shown(found.execution))

    def _wanted(self, wanted: TargetFilter) -> list[Target]:
        targets = [target for target in self.accounts.targets() if wanted.wants_target(target)]
        # Not to look in a place that was named is no certainty that the execution isn't there.
        for account_id in wanted.account_ids:
            if not any(target.account_id == account_id for target in targets):
                raise AccountNotAvailable.of(account_id)
        for region in wanted.regions:
            if not any(target.region == region for target in targets):
                raise BadUserInput.of("regions", f"names {region}, where no account is available to you.")
        return targets

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
        self.told = None
        self._take_rows(0)
        page = await self._in_progress.page(
            self.accounts.targets(),
            wanted,
            self.scope,
            first=first,
            after=after,
            with_details=with_details,
            deadline=deadline,
        )
        for entry in page.entries:
            self._finder.saw(entry.node.key)
        self._listed("list_executions", wanted, page)
        return page

    async def describe_workflow(self, key: WorkflowKey, *, max_age_s: float, deadline: float) -> Workflow:
        """A workflow's definition. Raises: GatewayError, with account and region."""
        self.told = None
        _check_max_age(max_age_s)
        self._take_rows(1)
        since = now()
        try:
            self.accounts.get(key)
            workflow = await self._lookups.definitions.get(key, max_age_s=max_age_s, deadline=deadline)
        except GatewayError as error:
            self._audit.looked_up("get_workflow", key, error, since)
            raise
        self._audit.looked_up("get_workflow", key, workflow, since)
        return workflow

    async def define_step(self, place: StepPlace, *, deadline: float) -> WorkflowStep | None:
        """The definition of the step that has a result at that place; None past the definition's end.

        Raises: GatewayError, with account and region, where the definition can't be had.
        """
        self.told = None
        self.accounts.get(place.workflow)
        return await self._workflows.step(place, deadline=deadline)

    async def define_steps(self, executions: Iterable[Execution], *, deadline: float) -> Definitions:
        """For the place of every step that has a result: its definition, None, or why it could not be had."""
        places = [
            step.place
            for execution in executions
            if execution.results is not None
            for steps in (execution.results.steps, execution.results.on_exception_steps)
            for step in steps or ()
        ]
        return await outcomes(places, lambda place: self.define_step(place, deadline=deadline))

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
        self.told = None
        self._take_rows(0)
        page = await self._workflows.page(
            self.accounts.targets(),
            wanted,
            first=first,
            after=after,
            with_details=with_details,
            deadline=deadline,
        )
        self._listed("list_workflows", wanted, page)
        return page

    def _take_rows(self, count: int) -> None:
        if self._quota is not None:
            self._quota.take_rows(count)

    def _listed(self, operation: str, wanted: TargetFilter, page: Page[Execution] | Page[Workflow]) -> None:
        if self._quota is not None:
            self._quota.owe_rows(len(page.entries) + len(page.failures))
        self._audit.listed(
            operation,
            [entry.node.id for entry in page.entries],
            targets=self.accounts.count_targets(),
            failures=page.failures,
            account_ids=list(wanted.account_ids),
            regions=list(wanted.regions),
        )


def _check_max_age(max_age_s: float) -> None:
    if not max_age_s >= 0:  # so that NaN is refused too
        raise BadUserInput.of("max_age", f"must be 0 or more seconds; got {quote(max_age_s)}.")
