"""The context of one request, passed to every resolver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.core.use_cases import Reader


@dataclass(frozen=True, slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` is in the response and in the log.

    `reader` keeps the scope from the start of the request: a reload doesn't change it.
    """

    reader: Reader
    deadline: float
    request_id: str


@dataclass(frozen=True, slots=True)
class StreamContext(Context):
    """Of an operation that may be a subscription.

    `recheck` verifies the token again and updates the reader's scope; `last_event_id`: the cursor from the header of
    that name.
    """

    recheck: Callable[[], Awaitable[None]]
    last_event_id: str | None
