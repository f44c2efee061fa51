"""The results of all jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comparison.fanout import Cost, Fanout, Sick
    from comparison.load import Rate
    from comparison.polling import Polled
    from comparison.profile import Spent


@dataclass
class Results:
    """By program; empty if the job did not run."""

    hot: dict[str, Rate] = field(default_factory=dict)
    selected: dict[str, Rate] = field(default_factory=dict)
    distinct: dict[str, Rate] = field(default_factory=dict)
    grpc: dict[str, Rate] = field(default_factory=dict)
    fanout: dict[str, Fanout] = field(default_factory=dict)
    sick: dict[str, Sick] = field(default_factory=dict)
    poll: dict[str, Polled] = field(default_factory=dict)
    growth: dict[str, list[Cost]] = field(default_factory=dict)
    profile: dict[str, Spent] = field(default_factory=dict)  # by job
