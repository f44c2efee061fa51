"""What every resolver of one request is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.domain.account import Accounts


@dataclass(slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` ties answer and log together.

    `accounts` are those of the request's start: a reload during a request does not pull them from under it.
    """

    gateway: Gateway
    deadline: float
    request_id: str
    accounts: Accounts = field(init=False)

    def __post_init__(self) -> None:
        self.accounts = self.gateway.accounts
