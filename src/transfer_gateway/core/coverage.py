"""How much of the history is known where: for answers that rest on it, and as a list of its own.

No call to AWS: the followers know it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.core.paging import MAX_PAGE
from transfer_gateway.core.verdicts import remedy_of, sentence
from transfer_gateway.domain.coverage import (
    EVERYTHING,
    CoverageGap,
    CoverageReport,
    CoverageSummary,
    OfWorkflows,
    TargetCoverage,
)
from transfer_gateway.domain.errors import BadUserInput, StoreUnavailable
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.page import Entry, Page
from transfer_gateway.domain.server import ServerKey

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from collections.abc import Set as AbstractSet

    from transfer_gateway.core.cursors import Cursors
    from transfer_gateway.core.follower import Follower
    from transfer_gateway.core.followers import Followers
    from transfer_gateway.core.running_lists import RunningLists
    from transfer_gateway.core.search_input import Span
    from transfer_gateway.core.snapshot_cache import Snapshots
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.gateway_error import GatewayError
    from transfer_gateway.domain.log_sources import Unlogged
    from transfer_gateway.domain.server import Server

MAX_LISTED = 100  # targets beside the rows of an answer; `coverage` lists the others
_SCANS_CACHED = 64  # each takes 15 ms for 40,000 targets
_SERVERS_MAX_AGE_S = 900.0  # followers look them up every five minutes


class Coverages:
    """The coverage of any targets."""

    def __init__(
        self,
        followers: Followers,
        lists: RunningLists,
        servers: Snapshots[Target, tuple[Server, ...]],
        cursors: Cursors[str],
    ) -> None:
        self._followers, self._lists, self._servers, self._cursors = followers, lists, servers, cursors
        self._scans: LRUCache[Hashable, _Scan] = LRUCache(_SCANS_CACHED)

    def report(self, span: Span, of: OfWorkflows) -> CoverageReport:
        """The coverage of these targets: at most 100, those with a gap first, and the numbers of all.

        Where all is logged that is asked for, the gap is none.
        """
        scan = self._scan(span, of)
        listed = (*scan.with_gap, *scan.covered)[:MAX_LISTED]
        return CoverageReport(tuple(self._of(target, span, of) for target in listed), scan.summary)

    def page(
        self, span: Span, *, gaps_only: bool, first: int, after: str | None
    ) -> tuple[Page[TargetCoverage], CoverageSummary]:
        """A page of the targets, in order: account, region. Raises: BadUserInput for a bad `first` or `after`."""
        if not 1 <= first <= MAX_PAGE:
            raise BadUserInput.of("first", f"must be 1 to {MAX_PAGE}; got {first}.")
        last = "" if after is None else self._cursors.read(after)
        among = self._followers.gaps.keys() if gaps_only else None
        page = list(islice(_targets(span, last, among), first + 1))
        entries = tuple(
            Entry(self._of(target, span), partial(self._cursors.write, _text(target)))
            for target in page[:first]
        )
        return Page(entries, (), has_next=len(page) > first), self._scan(span).summary

    def _scan(self, span: Span, of: OfWorkflows = EVERYTHING) -> _Scan:
        """Which targets have a gap; kept until that changes."""
        followers = self._followers
        reasons = None if of == EVERYTHING else followers.reasons_version
        key = followers.gaps_version, reasons, span.scope.version, span.account_ids, span.regions, of
        scan = self._scans.get(key)
        if scan is None:
            gaps: AbstractSet[Target] = self._followers.gaps.keys()
            if of != EVERYTHING:
                gaps = {target for target in gaps if self._concerns(target, span, of)}
            scan = self._scans[key] = _scanned(span, gaps)
        return scan

    def _concerns(self, target: Target, span: Span, of: OfWorkflows) -> bool:
        """Whether the target's gap may be one of what is asked for."""
        follower = self._followers.of(target)
        if follower is None or follower.gap is not CoverageGap.NOT_LOGGED:
            return True
        return _first_unlogged(follower, of.shown(names=span.scope.shows_log_names(target))) is not None

    def _of(self, target: Target, span: Span, of: OfWorkflows = EVERYTHING) -> TargetCoverage:
        """One target's, without what the scope hides."""
        follower = self._followers.of(target)
        account = span.scope.accounts.get(target)
        if follower is None:  # the accounts were replaced a moment ago
            return TargetCoverage(
                account, target.region, None, None, None, CoverageGap.BEING_READ, 0, None, None
            )
        coverage, gap = follower.coverage, follower.gap if self._concerns(target, span, of) else None
        names = span.scope.shows_log_names(target)
        problem = None
        if gap is CoverageGap.UNREADABLE and coverage.problem is not None:
            problem = _told(coverage.problem, target, names=names)
        elif gap is CoverageGap.NOT_LOGGED and (failure := self._lists.problem_of(target)) is not None:
            problem = failure.copy(region=target.region)
        unlogged = _first_unlogged(follower, of.shown(names=names)) if gap is CoverageGap.NOT_LOGGED else None
        server = self._server(target, unlogged) if names else None
        return TargetCoverage(
            account,
            target.region,
            None if server is None else span.scope.redact_server(server),
            coverage.since,
            coverage.complete_until,
            gap,
            coverage.unlogged,
            problem,
            _remedy(problem, unlogged, names=names),
        )

    def _server(self, target: Target, unlogged: Unlogged | None) -> Server | None:
        if unlogged is None or unlogged.server_id is None:
            return None
        key = ServerKey(*target, unlogged.server_id)
        servers = self._servers.peek(target, max_age_s=_SERVERS_MAX_AGE_S) or ()
        return next((server for server in servers if server.key == key), None)


@dataclass(frozen=True, slots=True)
class _Scan:
    """The first targets with a gap and without one, at most 100 of each, and the numbers of all."""

    with_gap: tuple[Target, ...]
    covered: tuple[Target, ...]
    summary: CoverageSummary


def _scanned(span: Span, gaps: AbstractSet[Target]) -> _Scan:
    with_gap: list[Target] = []
    covered: list[Target] = []
    number = 0
    for account in _by_id(span):
        for region in sorted(account.regions):
            if span.regions and region not in span.regions:
                continue
            if (account.id, region) in gaps:  # equal to the target, and quicker to make
                number += 1
                if len(with_gap) < MAX_LISTED:
                    with_gap.append(Target(account.id, region))
            elif len(covered) < MAX_LISTED:
                covered.append(Target(account.id, region))
    summary = CoverageSummary(span.count - number, number, span.count)
    return _Scan(tuple(with_gap), tuple(covered), summary)


def _by_id(span: Span) -> list[Account]:
    return sorted(span.accounts(), key=attrgetter("id"))


def _targets(span: Span, last: str, among: AbstractSet[Target] | None) -> Iterator[Target]:
    """Those after the last one, in order: account, region. `among` None: all."""
    last_account = last.partition("/")[0]
    for account in _by_id(span):
        if account.id < last_account:
            continue
        for region in sorted(account.regions):
            if (span.regions and region not in span.regions) or (
                among is not None and (account.id, region) not in among
            ):
                continue
            if _text(target := Target(account.id, region)) > last:
                yield target


def _text(target: Target) -> str:
    """In the targets' order: account ids have twelve digits."""
    return f"{target.account_id}/{target.region}"


def _first_unlogged(follower: Follower, of: OfWorkflows) -> Unlogged | None:
    sources = follower.sources
    return None if sources is None else next(filter(of.may_have, sources.unlogged), None)


def _told(problem: GatewayError, target: Target, *, names: bool) -> GatewayError:
    """The problem with its place; without names of log groups, unless these may be shown."""
    told = problem.copy(region=target.region)
    told.account_id, told.detail = target.account_id, problem.detail or problem.message
    if not names and not isinstance(problem, StoreUnavailable):
        told.message, told.resource = f"The log of {target.label} can't be read at present.", None
    return told


def _remedy(problem: GatewayError | None, unlogged: Unlogged | None, *, names: bool) -> str | None:
    if problem is not None:
        return remedy_of(problem)
    if unlogged is None:
        return None
    if not names:
        return f"Workflow {unlogged.workflow_id} is not logged: {unlogged.unnamed_remedy}."
    return sentence(str(unlogged))
