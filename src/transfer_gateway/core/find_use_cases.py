"""The use cases that look for executions: by AWS's id, and those in progress, limited to the caller's scope."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from heapq import nsmallest
from typing import TYPE_CHECKING

from transfer_gateway.core.access import bad_max_age
from transfer_gateway.core.history_use_cases import HistoryUseCases
from transfer_gateway.core.response_replay import counts_uses, not_a_use
from transfer_gateway.core.search_input import hidden_filters
from transfer_gateway.core.verdicts import doubt
from transfer_gateway.domain.errors import GatewayError, UpstreamUnavailable
from transfer_gateway.domain.page import (
    MAX_FAILURES_LISTED,
    FindResult,
    TargetFailure,
    TargetFilter,
    limited,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import (
        AccountId,
        ExecutionId,
        Region,
        Target,
        WorkflowId,
    )
    from transfer_gateway.domain.page import ExecutionFilter, Page

_CALLS_TO_SEARCH = 2  # a target: its workflows, and an execution of one of them
DEFAULT_MAX_AGE_S = 1.0
DEFAULT_PAGE = 50


@counts_uses
class FindUseCases(HistoryUseCases):
    """See `Reader`."""

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
        targets whose logs have not been read for so long; 0: about all. Nothing found: `failures` also names the
        targets that may have had it, unless only what is in progress is asked for.

        Raises: UpstreamUnavailable, if the history can't be read and AWS does not have it; AccountNotAvailable for a
        named account that is not configured, or not in any of these regions;
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
                found, unread = None, None
                if in_progress_only:
                    max_age_s = 0
                else:
                    try:
                        found = await self._find_known(execution_id, workflow_id, wanted, deadline=deadline)
                    except UpstreamUnavailable as error:  # the history can't be read
                        unread, max_age_s = error, 0
                if found is None:
                    to_ask = self._to_ask(execution_id, workflow_id, wanted, max_age_s)
                    found = await self._sources.finder.find(
                        execution_id, workflow_id, to_ask, deadline=deadline
                    )
                if found.execution is None and unread is not None:
                    raise unread.copy()  # it may have ended
                if found.execution is None and not in_progress_only:
                    found = replace(found, failures=self._with_doubts(found.failures, workflow_id, wanted))
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
                with suppress(UpstreamUnavailable):  # the history can't be read, or can't be kept current
                    page = await known.page(
                        self.scope,
                        wanted,
                        with_details=with_details,
                        with_results=with_results,
                        max_age_s=max_age_s,
                        first=first,
                        after=after,
                        deadline=deadline,
                        caller=self.caller.name,
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
        hidden = hidden_filters(wanted, self.scope, wanted.matches_target)
        page = replace(page, hidden_filters=hidden) if hidden else page
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
        if (ended := history.ended(key) or await history.recorded(key)) is not None:
            return FindResult(ended, targets_asked=0, failures=())
        try:
            execution = await self._known(key, max_age_s=DEFAULT_MAX_AGE_S, deadline=deadline)
        except GatewayError:  # the search, which asks there again, reports it
            self._sources.finder.remember(key)
            return None
        return FindResult(execution, targets_asked=1, failures=())

    def _with_doubts(
        self, failures: tuple[TargetFailure, ...], workflow_id: WorkflowId | None, wanted: TargetFilter
    ) -> tuple[TargetFailure, ...]:
        """These, and the targets that may have had it. What is unknown is never said not to exist."""
        history = self._sources.history
        if history is None or any(failure.omitted for failure in failures):
            return failures
        failed = {failure.target for failure in failures}
        is_anywhere = not wanted.account_ids and not wanted.regions
        doubtful = [
            target
            for target in history.followers.doubtful(workflow_id)
            if (is_anywhere or wanted.matches_target(target))
            and self.scope.accounts.cover(target)
            and target not in failed
        ]
        named = [
            TargetFailure(target, self.scope.redact_error(doubt(follower, workflow_id)))
            for target in nsmallest(MAX_FAILURES_LISTED, doubtful)
            if (follower := history.followers.of(target)) is not None
        ]
        return limited([*failures, *named], omitted=len(doubtful) - len(named))

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
