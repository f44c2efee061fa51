"""How much of a target's history is known, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.gateway_error import GatewayError
    from transfer_gateway.domain.identity import Target


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
