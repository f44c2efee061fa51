"""What every resolver of one request is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_gateway.core.gateway import Gateway


@dataclass(slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` ties answer and log together."""

    gateway: Gateway
    deadline: float
    request_id: str
