"""How much of a target's history is known, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.gateway_error import GatewayError
    from transfer_gateway.domain.identity import Region, Target, WorkflowId
    from transfer_gateway.domain.log_sources import Unlogged
    from transfer_gateway.domain.server import Server


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of a target: everything that its logs got from `since` to `complete_until`, UTC.

    None: nothing yet. `problem`: why it is not followed at present. `unlogged`: how many of its workflows log nothing.
    """

    target: Target
    since: datetime | None
    complete_until: datetime | None
    problem: GatewayError | None
    unlogged: int = 0


class CoverageGap(StrEnum):
    """Why executions of a target may be missing from what is known."""

    UNREADABLE = "UNREADABLE"
    BEING_READ = "BEING_READ"
    NOT_LOGGED = "NOT_LOGGED"


@dataclass(frozen=True, slots=True)
class TargetCoverage:
    """A target's coverage as a caller may see it. `gap` None: everything since `since` is known.

    `server`: the one that the gap is about, if it is about one and the caller may see it. `problem`: with UNREADABLE,
    why; with NOT_LOGGED, why AWS's lists can't be read either.
    """

    account: Account
    region: Region
    server: Server | None
    since: datetime | None
    complete_until: datetime | None
    gap: CoverageGap | None
    unlogged_workflows: int
    problem: GatewayError | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class CoverageSummary:
    """Numbers of targets: those without a gap, those with one, and all."""

    covered: int
    with_gap: int
    total: int


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """The targets that an answer spans, those with a gap first, bounded; and how many there are."""

    targets: tuple[TargetCoverage, ...]
    summary: CoverageSummary


@dataclass(frozen=True, slots=True)
class OfWorkflows:
    """What executions an answer is about: of these workflows, started by these servers; empty: of any."""

    workflow_ids: frozenset[WorkflowId] = frozenset()
    server_ids: frozenset[str] = frozenset()

    def shown(self, *, names: bool) -> OfWorkflows:
        """Without what would tell which server logs nothing, unless the caller may see that."""
        return self if names or not self.server_ids else OfWorkflows(self.workflow_ids)

    def may_have(self, unlogged: Unlogged) -> bool:
        """Whether some of these executions may be unlogged for that reason."""
        return (not self.workflow_ids or unlogged.workflow_id in self.workflow_ids) and (
            not self.server_ids or unlogged.server_id is None or unlogged.server_id in self.server_ids
        )


EVERYTHING = OfWorkflows()
