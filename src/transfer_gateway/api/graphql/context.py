"""The context of one request, passed to every resolver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.core.use_cases import Reader


async def _no_check() -> None:
    """For operations that end before anything changes."""


@dataclass(frozen=True, slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` is in the response and in the log.

    `reader` keeps the scope from the start of the request: a reload doesn't change it. For a subscription, `recheck`
    updates it; `last_event_id` is the cursor from the header of that name.
    """

    reader: Reader
    deadline: float
    request_id: str
    recheck: Callable[[], Awaitable[None]] = _no_check
    last_event_id: str | None = None
