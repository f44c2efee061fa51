"""What every resolver of one request is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_gateway.core.reader import Reader


@dataclass(frozen=True, slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` ties answer and log together.

    `reader` has the scope of the request's start: a reload during a request doesn't change it.
    """

    reader: Reader
    deadline: float
    request_id: str
