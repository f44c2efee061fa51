"""Searches over all executions that are known, in progress and ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.execution import ExecutionStatus
from transfer_gateway.domain.identity import ExecutionKey
from transfer_gateway.domain.page import TargetFilter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from transfer_gateway.domain.coverage import CoverageReport
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionId, WorkflowId
    from transfer_gateway.domain.page import Entry, HiddenFilter


_RUNNING = frozenset({ExecutionStatus.IN_PROGRESS, ExecutionStatus.HANDLING_EXCEPTION})


class SearchOrder(StrEnum):
    """By the start, or by the duration, which counts until now for what is in progress."""

    NEWEST_FIRST = "NEWEST_FIRST"
    OLDEST_FIRST = "OLDEST_FIRST"
    LONGEST_FIRST = "LONGEST_FIRST"


@dataclass(frozen=True, slots=True)
class SearchFilter(TargetFilter):
    """Selects executions that match every field that is set. Empty tuples match all.

    `text`: any part of a file's name or path, a user's name or an id, in any case; `file_name`: of the file's name or
    path alone. Other names match whole. Times are UTC, durations seconds, bounds included. An execution in progress has
    no end and lasts until now. `result_unknown`: it has ended, and how is not recorded; no status matches it.
    """

    workflow_ids: tuple[WorkflowId, ...] = ()
    execution_ids: tuple[ExecutionId, ...] = ()
    server_ids: tuple[str, ...] = ()
    user_names: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    statuses: tuple[ExecutionStatus, ...] = ()
    error_types: tuple[str, ...] = ()
    text: str | None = None
    file_name: str | None = None
    started_after: datetime | None = None
    started_before: datetime | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None
    min_duration_s: float | None = None
    max_duration_s: float | None = None
    running: bool | None = None
    result_unknown: bool | None = None

    @property
    def may_run(self) -> bool:
        """Whether executions in progress may match."""
        return (
            self.running is not False
            and not self.result_unknown
            and self.ended_after is self.ended_before is None
            and (not self.statuses or not _RUNNING.isdisjoint(self.statuses))
        )


class SearchPosition(NamedTuple):
    """A place in a list of executions: right after this one, or where it was.

    `value`: what the list is ordered by, in milliseconds. `as_of`: when the first page was read, in milliseconds since
    1970: durations of a list count until then.
    """

    order: SearchOrder
    as_of: int
    value: int
    key: ExecutionKey

    def __str__(self) -> str:
        return f"{self.order}@{self.as_of}/{self.value}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> SearchPosition:
        """Parse the string form. Raises: BadUserInput."""
        try:
            order, _, rest = text.partition("@")
            as_of, value, key = rest.split("/", 2)
            return cls(SearchOrder(order), int(as_of), int(value), ExecutionKey.parse(key))
        except ValueError as error:
            raise BadUserInput("A position has the form order@asOf/value/execution.") from error


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """How many executions match, by status; None: those whose end is not recorded.

    `is_exact`: otherwise there are at least so many.
    """

    counts: Mapping[ExecutionStatus | None, int]
    is_exact: bool

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def by_status(self) -> list[tuple[ExecutionStatus | None, int]]:
        """The statuses that any have, in alphabetical order; None first."""
        return sorted(
            ((status, count) for status, count in self.counts.items() if count),
            key=lambda each: each[0] or "",
        )


@dataclass(frozen=True, slots=True)
class AccountTag:
    """A tag of an account, both parts of which match whole."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class SearchInput(SearchFilter):
    """A search as a caller writes it. The core replaces aliases and tags by account ids.

    An account matches if it is among the ids, has one of the aliases (in any case), and has every tag key with one of
    the values given for it; whichever of these are set.
    """

    account_aliases: tuple[str, ...] = ()
    account_tags: tuple[AccountTag, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for: the `first` after a cursor, or the `last` before one, as Relay defines it."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """A page of a search, in its order. `counts`, `coverage`, `changes_cursor`: None unless asked for."""

    entries: tuple[Entry[Execution], ...]
    has_next: bool
    has_previous: bool
    hidden_filters: tuple[HiddenFilter, ...]
    counts: StatusCounts | None = None
    coverage: CoverageReport | None = None
    changes_cursor: str | None = None
