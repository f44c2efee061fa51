"""The use cases that answer from what is known, without a call to AWS: searches, their coverage, and the caller."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transfer_gateway.core.access import Access
from transfer_gateway.core.response_replay import counts_uses
from transfer_gateway.core.search_input import checked, hidden_filters, part_of, span_of
from transfer_gateway.domain.caller import Viewer
from transfer_gateway.domain.coverage import OfWorkflows
from transfer_gateway.domain.errors import HistoryOff

if TYPE_CHECKING:
    from transfer_gateway.domain.coverage import CoverageSummary, TargetCoverage
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.search import FoundPage, SearchInput, SearchOrder, Window

DEFAULT_SEARCH_PAGE = 50
# What the audit log has of a search; of the other filters only which were used. Names and files are the callers'.
_AUDITED = (
    "account_ids",
    "regions",
    "workflow_ids",
    "execution_ids",
    "server_ids",
    "statuses",
    "error_types",
)
_NAMED_ONLY = (
    "account_aliases",
    "account_tags",
    "user_names",
    "session_ids",
    "text",
    "file_name",
    "started_after",
    "started_before",
    "ended_after",
    "ended_before",
    "min_duration_s",
    "max_duration_s",
    "running",
    "result_unknown",
)


@counts_uses
class SearchUseCases(Access):
    """See `Reader`."""

    async def search(
        self,
        wanted: SearchInput,
        order: SearchOrder,
        window: Window,
        *,
        with_counts: bool,
        with_coverage: bool,
        with_changes_cursor: bool,
        deadline: float,
    ) -> FoundPage:
        """A page of all executions that match, in progress and ended, in that order.

        `with_changes_cursor`: with where a subscription goes on that tells of what happens after this read.

        Raises: BadUserInput; AccountNotAvailable; HistoryOff; UpstreamUnavailable, by the store; DeadlineExceeded;
        Throttled.
        """
        self._take_rows(0)
        part, wanted = part_of(window, DEFAULT_SEARCH_PAGE), checked(wanted)
        criteria = criteria_of(wanted)
        with self._audited_unless_listed("search_executions", **criteria):
            search, coverages = self._sources.search, self._sources.coverages
            if search is None or coverages is None:
                raise HistoryOff.now()
            span = span_of(self.scope, wanted, wanted)
            if self._sources.known is not None:
                self._sources.known.watch(span, wanted)
            changes_cursor = None
            if with_changes_cursor and self._sources.live is not None:
                changes_cursor = await self._sources.live.now(deadline)
            page = await search.page(
                span,
                wanted,
                order,
                part,
                with_counts=with_counts,
                deadline=deadline,
                caller=self.caller.name,
            )
            coverage = coverages.report(span, _of_workflows(wanted)) if with_coverage else None
        for entry in page.entries:
            self._sources.finder.remember(entry.node.key)
        self._charge(len(page.entries) + (len(coverage.targets) if coverage else 0))
        self._audit.listed(
            "search_executions",
            [entry.node.id for entry in page.entries],
            targets=span.count,
            failures=(),
            **criteria,
        )
        return replace(
            page,
            entries=tuple(replace(entry, node=self.scope.redact(entry.node)) for entry in page.entries),
            hidden_filters=hidden_filters(wanted, span.scope, span.has),
            coverage=coverage,
            changes_cursor=changes_cursor,
        )

    def list_coverage(
        self, wanted: TargetFilter, *, gaps_only: bool, first: int, after: str | None
    ) -> tuple[Page[TargetCoverage], CoverageSummary]:
        """A page of what is known of each target, and the numbers of all that match.

        Raises: BadUserInput; AccountNotAvailable; HistoryOff; Throttled.
        """
        self._take_rows(0)
        criteria = {"account_ids": list(wanted.account_ids), "regions": list(wanted.regions)}
        with self._audited_unless_listed("list_coverage", **criteria):
            if self._sources.coverages is None:
                raise HistoryOff.now()
            span = span_of(self.scope, wanted)
            page, summary = self._sources.coverages.page(span, gaps_only=gaps_only, first=first, after=after)
        self._charge(len(page.entries))
        self._audit.listed(
            "list_coverage",
            [f"{entry.node.account.id}/{entry.node.region}" for entry in page.entries],
            targets=span.count,
            failures=(),
            **criteria,
        )
        return page, summary

    def get_viewer(self) -> Viewer:
        """The caller, as authenticated, and what it may see. Raises: Throttled."""
        accounts = tuple(self.scope.accounts)
        self._take_rows(1 + len(accounts))
        self._audit.listed("get_viewer", [account.id for account in accounts], targets=0, failures=())
        expires_at = self.caller.expires_at
        return Viewer(
            self.caller.subject,
            None if expires_at is None else datetime.fromtimestamp(expires_at, UTC),
            tuple(sorted({field for fields in self.scope.hidden.values() for field in fields})),
            accounts,
        )

    def _charge(self, rows: int) -> None:
        if self._quota is not None:
            self._quota.charge_rows(rows)


def _of_workflows(wanted: SearchInput) -> OfWorkflows:
    return OfWorkflows(frozenset(wanted.workflow_ids), frozenset(wanted.server_ids))


def criteria_of(wanted: SearchInput) -> dict[str, Any]:
    """What the audit log has of a search."""
    criteria: dict[str, Any] = {name: list(map(str, getattr(wanted, name))) for name in _AUDITED}
    criteria["filters"] = [
        name for name in _NAMED_ONLY if (value := getattr(wanted, name)) is not None and value != ()
    ]
    return criteria
