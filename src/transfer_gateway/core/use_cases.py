"""The use cases, one method each, limited to the caller's scope."""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from transfer_gateway.core.access import bad_max_age
from transfer_gateway.core.fanout import outcomes, outcomes_as_completed
from transfer_gateway.core.history_use_cases import HistoryUseCases
from transfer_gateway.core.response_replay import Described, counts_uses, not_a_use
from transfer_gateway.core.search_use_cases import SearchUseCases
from transfer_gateway.core.workflow_use_cases import Definitions, WorkflowUseCases
from transfer_gateway.domain.errors import (
    AccountNotAvailable,
    GatewayError,
    UpstreamUnavailable,
)
from transfer_gateway.domain.page import FindResult, TargetFilter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import (
        AccountId,
        ExecutionId,
        ExecutionKey,
        Region,
        Target,
        WorkflowId,
    )
    from transfer_gateway.domain.page import ExecutionFilter, Page

_SNAPSHOTS_AT_ONCE = 32
_CALLS_TO_SEARCH = 2  # a target: its workflows, and an execution of one of them
_NO_DEFINITIONS: Definitions = {}
DEFAULT_MAX_AGE_S = 1.0
DEFAULT_PAGE = 50


@counts_uses
class Reader(WorkflowUseCases, HistoryUseCases, SearchUseCases):
    """The use cases for one request of one caller.

    Each public method is a use case. It declares to `replay` what makes its response repeatable, if anything. An
    account out of scope is treated like one that doesn't exist.

    `deadline` is in the running loop's time; there is one per request. `max_age_s` is the maximum age of AWS's answer;
    0 means no older than this request. `with_records`: whether executions in progress get what the history adds.
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

    async def describe(
        self, key: ExecutionKey, *, max_age_s: float, deadline: float, in_progress_only: bool = False
    ) -> Execution:
        """An execution, in progress or ended; or only AWS's own view. Raises: GatewayError, with account and region."""
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_rows(1)
        execution = await self._look_up(
            "get_execution",
            self._sources.operations.executions,
            key,
            max_age_s=max_age_s,
            deadline=deadline,
            get=None if in_progress_only else self._known,
        )
        if self.with_records:
            (execution,) = await self._with_records([execution])
        elif max_age_s:  # with 0 the answer must be no older than the request, which a repeated one never is
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
        self,
        keys: Sequence[ExecutionKey],
        *,
        max_age_s: float,
        deadline: float,
        in_progress_only: bool = False,
    ) -> list[Execution | GatewayError]:
        """The execution or the error of each key, in the order of the keys.

        Raises: BadUserInput for more than 1,000 keys, Throttled.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_keys(len(keys))
        distinct = dict.fromkeys(keys)
        found = self._from_snapshots(distinct, max_age_s)
        found |= await outcomes(
            [key for key in distinct if key not in found],
            lambda key: self._execution(key, max_age_s, deadline, in_progress_only=in_progress_only),
        )
        if self.with_records:
            executions = [outcome for outcome in found.values() if not isinstance(outcome, GatewayError)]
            found |= {execution.key: execution for execution in await self._with_records(executions)}
            return [self._shown(found[key]) for key in keys]
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
        self,
        keys: Sequence[ExecutionKey],
        *,
        max_age_s: float,
        with_definitions: bool,
        deadline: float,
        in_progress_only: bool = False,
    ) -> AsyncGenerator[tuple[int, tuple[Execution, Definitions] | GatewayError]]:
        """As `describe_all`, but each outcome with its key's index as soon as it is available, and with `define_steps`.

        `take_keys` has charged the keys. Applies backpressure: see `outcomes_as_completed`. Raises: BadUserInput.
        """
        if not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        indexes: dict[ExecutionKey, list[int]] = {}
        for index, key in enumerate(keys):
            indexes.setdefault(key, []).append(index)
        to_describe = list(indexes)
        if not with_definitions and not self.with_records:
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
            execution = await self._execution(key, max_age_s, deadline, in_progress_only=in_progress_only)
            (execution,) = await self._with_records([execution])
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
        max_age_s: float | None = None,
        in_progress_only: bool = False,
    ) -> FindResult:
        """An execution by its id, in all targets or in those of the accounts and regions named.

        What the history knows needs no search, and AWS is asked only about what it may lack. `max_age_s`: also about
        targets whose logs have not been read for so long; 0: about all.

        Raises: AccountNotAvailable for a named account that is not configured, or not in any of these regions;
        BadUserInput for a region that is not configured for any of these accounts.
        """
        if max_age_s is not None and not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_rows(1)
        wanted = TargetFilter(account_ids=tuple(account_ids or ()), regions=tuple(regions or ()))
        criteria = {
            "execution_id": execution_id,
            "account_ids": list(wanted.account_ids),
            "regions": list(wanted.regions),
        }
        try:
            self.scope.check_named(wanted)
            with self._audited_if_cancelled("find_execution", **criteria):
                found = None
                if in_progress_only:
                    max_age_s = 0
                else:
                    try:
                        found = await self._find_known(execution_id, workflow_id, wanted, deadline=deadline)
                    except UpstreamUnavailable:  # the history can't be read
                        max_age_s = 0
                if found is None:
                    to_ask = self._to_ask(execution_id, workflow_id, wanted, max_age_s)
                    found = await self._sources.finder.find(
                        execution_id, workflow_id, to_ask, deadline=deadline
                    )
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
        (execution,) = await self._with_records([found.execution])
        return replace(found, execution=self.scope.redact(execution))

    async def in_progress(
        self,
        wanted: ExecutionFilter,
        *,
        first: int,
        after: str | None,
        with_details: bool,
        with_results: bool,
        max_age_s: float | None,
        deadline: float,
    ) -> Page[Execution]:
        """A page of all executions in progress that match, as the history knows them, or as AWS lists them.

        `max_age_s`: of what is known; None: as the history keeps it; 0: AWS is asked. Raises: BadUserInput, Throttled.
        """
        if max_age_s is not None and not max_age_s >= 0:  # so that NaN is refused too
            raise bad_max_age(max_age_s)
        self._take_rows(0)
        page: Page[Execution] | None = None
        with self._audited_if_cancelled("list_executions"):
            if (known := self._sources.known) is not None and max_age_s != 0:
                with suppress(UpstreamUnavailable):  # the history can't be read
                    page = await known.page(
                        self.scope,
                        wanted,
                        with_details=with_details,
                        with_results=with_results,
                        max_age_s=max_age_s,
                        first=first,
                        after=after,
                        deadline=deadline,
                    )
            if page is None:
                page = await self._sources.in_progress.page(
                    self.scope.accounts.targets(),
                    wanted,
                    self.scope,
                    with_details=with_details or with_results,
                    first=first,
                    after=after,
                    deadline=deadline,
                )
        for entry in page.entries:
            self._sources.finder.remember(entry.node.key)
        self._listed("list_executions", wanted, page)
        if not self.with_records:
            return page
        found = await self._with_records([entry.node for entry in page.entries])
        return replace(
            page,
            entries=tuple(
                replace(entry, node=self.scope.redact(execution))
                for entry, execution in zip(page.entries, found, strict=True)
            ),
        )

    def _execution(
        self, key: ExecutionKey, max_age_s: float, deadline: float, *, in_progress_only: bool
    ) -> Awaitable[Execution]:
        return self._look_up(
            "get_execution",
            self._sources.operations.executions,
            key,
            max_age_s=max_age_s,
            deadline=deadline,
            get=None if in_progress_only else self._known,
        )

    async def _with_records(self, executions: list[Execution]) -> list[Execution]:
        """With what the history adds, if the request wants it. AWS's answers stand if the store can't be read."""
        history = self._sources.history
        if not self.with_records or history is None:
            return executions
        return await history.add_records(executions)

    async def _find_known(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        wanted: TargetFilter,
        *,
        deadline: float,
    ) -> FindResult | None:
        """The execution, if the history knows where it ran; None if a search has to tell.

        Raises: UpstreamUnavailable if the history can't be read.
        """
        history = self._sources.history
        if history is None:
            return None
        key = await history.find(
            execution_id,
            workflow_id,
            lambda key: self.scope.covers(key) and wanted.matches_target(key.target),
        )
        if key is None:
            return None
        try:
            execution = await self._known(key, max_age_s=DEFAULT_MAX_AGE_S, deadline=deadline)
        except GatewayError:  # the search, which asks there again, reports it
            self._sources.finder.remember(key)
            return None
        return FindResult(execution, targets_asked=1, failures=())

    def _to_ask(
        self,
        execution_id: ExecutionId,
        workflow_id: WorkflowId | None,
        wanted: TargetFilter,
        max_age_s: float | None,
    ) -> dict[Target, frozenset[WorkflowId] | None]:
        """Where AWS has to be asked for an execution that the history does not know: for which workflows; None: all."""
        if self._sources.history is None or max_age_s == 0:
            return dict.fromkeys(self.scope.targets_named(wanted))
        unknown = self._sources.history.followers.unknown(max_age_s=max_age_s)
        to_ask = {
            target: workflows
            for target, workflows in unknown.items()
            if (workflow_id is None or workflows is None or workflow_id in workflows)
            and self.scope.accounts.cover(target)
            and wanted.matches_target(target)
        }
        seen = self._sources.finder.seen(execution_id)
        if (
            seen is not None
            and workflow_id in {None, seen.workflow_id}
            and self.scope.covers(seen)
            and wanted.matches_target(seen.target)
        ):
            to_ask.setdefault(seen.target, frozenset([seen.workflow_id]))
        return to_ask

    @not_a_use
    def calls_to_list(self, account_ids: frozenset[str], regions: frozenset[str], *, asks_all: bool) -> int:
        """How many AWS calls `in_progress` may need, apart from details. As `calls_to_find`."""
        if self._sources.known is not None and not asks_all:
            return 0
        return self.scope.count_targets(account_ids, regions) * _CALLS_TO_SEARCH

    @not_a_use
    def calls_to_find(
        self,
        account_ids: frozenset[str],
        regions: frozenset[str],
        *,
        has_workflow: bool,
        asks_all: bool,
    ) -> int:
        """How many AWS calls `find` may need, as far as is known now. The arguments are not checked yet.

        `asks_all`: not only about what the history may lack.
        """
        history = self._sources.history
        if history is None or asks_all:
            targets = self.scope.count_targets(account_ids, regions)
            return targets if has_workflow else targets * _CALLS_TO_SEARCH
        calls = 1  # where it is known, or was last seen
        for target, workflows in history.followers.unknown().items():
            if (
                self.scope.accounts.cover(target)
                and target.account_id in (account_ids or (target.account_id,))
                and target.region in (regions or (target.region,))
            ):
                calls += 1 if has_workflow else _CALLS_TO_SEARCH if workflows is None else len(workflows)
        return calls

    def _shown(self, outcome: Execution | GatewayError) -> Execution | GatewayError:
        return outcome if isinstance(outcome, GatewayError) else self.scope.redact(outcome)
