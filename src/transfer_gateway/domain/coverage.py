"""How much of a target's history is known, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.gateway_error import GatewayError
    from transfer_gateway.domain.identity import Region, Target
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

    `server`: the one that the gap is about, if it is about one and the caller may see it. `problem`: only with
    UNREADABLE.
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
