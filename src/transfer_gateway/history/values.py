"""What goes into the store and comes out of it, beside the domain's own values. Times are UTC, in milliseconds."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.scope import Hideable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from transfer_gateway.domain.change import ChangePosition
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.execution import Execution, ExecutionStatus
    from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, Target, WorkflowKey
    from transfer_gateway.domain.search import SearchFilter, SearchPosition


OF_ANOTHER_HISTORY = (
    "is not a cursor of this history (a temporary database has a new one after each start): "
    "subscribe without it."
)


@dataclass(frozen=True, slots=True)
class GroupProgress:
    """What has been read of a log group: everything between `complete_since` and `read_until`.

    `backfill_until`: how far back the back-fill is to go; None: nowhere. Saved progress only ever grows: two intervals
    that touch are united; of two with a gap between them, the later one is kept.
    """

    account_id: AccountId
    region: Region
    group: str
    read_until: datetime
    complete_since: datetime
    backfill_until: datetime | None = None

    @property
    def backfilled(self) -> bool:
        return self.backfill_until is None or self.complete_since <= self.backfill_until

    def extended(self, complete_since: datetime, read_until: datetime) -> GroupProgress:
        """With what was read between these times, which touches it."""
        return GroupProgress(
            self.account_id,
            self.region,
            self.group,
            max(self.read_until, read_until),
            min(self.complete_since, complete_since),
            self.backfill_until,
        )

    def united(self, other: GroupProgress) -> GroupProgress:
        """The progress of both, as the store merges them."""
        earlier, later = sorted((self, other), key=lambda progress: progress.read_until)
        if earlier.read_until < later.complete_since:
            return later
        goals = [goal for goal in (self.backfill_until, other.backfill_until) if goal is not None]
        return replace(
            later,
            complete_since=min(self.complete_since, other.complete_since),
            backfill_until=min(goals, default=None),
        )


@dataclass(frozen=True, slots=True)
class StoredExecution:
    """What is stored of an execution: its events, at most 1,100, by time; and AWS's last answer about it, if any."""

    events: tuple[ExecutionEvent, ...]
    observed: Execution | None


class ProgressLost(Exception):
    """The store has less than what was saved: it is another one, or an older copy."""


class LogMechanism(StrEnum):
    """Why a workflow's executions are logged: by its own destinations, or by the logging role of its server."""

    WORKFLOW = "WORKFLOW"
    SERVER = "SERVER"


@dataclass(frozen=True, slots=True)
class WorkflowLog:
    """One log group of one workflow's executions on one server.

    `server_id` None: no server runs the workflow. `group` and `mechanism` None: nothing is logged there.
    """

    workflow: WorkflowKey
    server_id: str | None
    group: str | None
    mechanism: LogMechanism | None
    last_seen_at: datetime


class Targets:
    """The accounts and regions that a query may tell of. Make it once for each scope: it takes 23 bytes a target."""

    __slots__ = ("listed",)

    def __init__(self, targets: Iterable[Target] | None) -> None:
        """None: all."""
        self.listed = (
            None if targets is None else f" {' '.join(f'{account}/{region}' for account, region in targets)} "
        )


ALL_TARGETS = Targets(None)


class TargetBlock(NamedTuple):
    """Accounts with the same regions, each separated by spaces: an account's name takes 13 bytes."""

    accounts: str
    regions: str


@dataclass(frozen=True, slots=True)
class SearchGroup:
    """Targets of which a caller may see the same fields."""

    hides_file: bool
    hides_service: bool
    blocks: tuple[TargetBlock, ...]
    regions_of: Mapping[AccountId, tuple[Region, ...]]


class SearchScope:
    """What a search may tell of. Make it once for each scope: of 40,000 targets it takes 1 MB and 30 ms."""

    __slots__ = ("groups",)

    def __init__(self, groups: Iterable[SearchGroup]) -> None:
        self.groups = tuple(groups)

    @classmethod
    def of(cls, targets_by_hidden: Mapping[frozenset[Hideable], Iterable[Target]]) -> SearchScope:
        """By what is hidden of the targets. Each target once."""
        regions: defaultdict[frozenset[Hideable], defaultdict[AccountId, list[Region]]]
        regions = defaultdict(lambda: defaultdict(list))
        for hidden, targets in targets_by_hidden.items():
            for account_id, region in targets:
                regions[hidden][account_id].append(region)
        return cls.of_regions(regions)

    @classmethod
    def of_regions(
        cls, regions_by_hidden: Mapping[frozenset[Hideable], Mapping[AccountId, Sequence[Region]]]
    ) -> SearchScope:
        """By what is hidden in these regions of each account. Each of them once."""
        merged: dict[tuple[bool, bool], dict[AccountId, Sequence[Region]]] = {}
        for hidden, regions_of in regions_by_hidden.items():
            of = Hideable.INITIAL_FILE_LOCATION in hidden, Hideable.SERVICE_METADATA in hidden
            known = merged.setdefault(of, {})
            for account_id, regions in regions_of.items():
                before = known.get(account_id)
                known[account_id] = regions if before is None else (*before, *regions)
        return cls(_group(*of, regions_of) for of, regions_of in sorted(merged.items()))


def _group(
    hides_file: bool,  # noqa: FBT001  as in the keys above
    hides_service: bool,  # noqa: FBT001
    listed: Mapping[AccountId, Iterable[Region]],
) -> SearchGroup:
    regions_of = {account_id: tuple(sorted(regions)) for account_id, regions in sorted(listed.items())}
    accounts_of: defaultdict[tuple[Region, ...], list[AccountId]] = defaultdict(list)
    for account_id, regions in regions_of.items():
        accounts_of[regions].append(account_id)
    blocks = (TargetBlock(" ".join(accounts), " ".join(regions)) for regions, accounts in accounts_of.items())
    return SearchGroup(hides_file, hides_service, tuple(blocks), regions_of)


@dataclass(frozen=True, slots=True)
class SearchRow:
    """`status`: IN_PROGRESS or HANDLING_EXCEPTION while it runs; None: it has ended, and how is not recorded."""

    position: SearchPosition
    key: ExecutionKey
    stored: StoredExecution
    status: ExecutionStatus | None


@dataclass(frozen=True, slots=True)
class SearchRows:
    """A page, in the list's order. `has_more`: beyond it, in the direction in which it was read."""

    rows: tuple[SearchRow, ...]
    has_more: bool


class SearchIn(NamedTuple):
    """What matches a filter, within a scope."""

    scope: SearchScope
    wanted: SearchFilter


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """`status`: as in `SearchRow`. `events`: those that are new, with these numbers; none: AWS's answer is.

    `has_later`: others have later numbers, although `status` and `stored` already tell of them.
    """

    position: ChangePosition
    key: ExecutionKey
    stored: StoredExecution
    status: ExecutionStatus | None
    events: tuple[ExecutionEvent, ...]
    seqs: tuple[int, ...]
    has_later: bool

    def after(self, position: ChangePosition) -> ChangeRow | None:
        """What of it comes after a position; None: nothing."""
        if not self.events:
            return self if self.position.answer > position.answer else None
        if self.seqs[0] > position.event:
            return self
        told = bisect_right(self.seqs, position.event)
        if told == len(self.seqs):
            return None
        return replace(self, events=self.events[told:], seqs=self.seqs[told:])


@dataclass(frozen=True, slots=True)
class ChangeRows:
    """A page. `until`: all up to there was looked at. `has_more`: not all that is committed was."""

    rows: tuple[ChangeRow, ...]
    until: ChangePosition
    has_more: bool


@dataclass(frozen=True, slots=True)
class FeedState:
    """`newest`: after everything that is committed. Up to `missed`, something may have been deleted.

    `secret` signs cursors.
    """

    newest: ChangePosition
    missed: ChangePosition
    secret: str

    def check(self, position: ChangePosition, field: str = "after") -> None:
        """Raises: BadUserInput for a position of another history, or a restored one, or of what was deleted since."""
        if (
            position.history != self.newest.history
            or position.event > self.newest.event
            or position.answer > self.newest.answer
        ):
            raise BadUserInput.of(field, OF_ANOTHER_HISTORY)
        if position.event < self.missed.event or position.answer < self.missed.answer:
            raise BadUserInput.of(field, "is older than what the history keeps: subscribe without it.")
