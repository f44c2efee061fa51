"""What every resolver of one request is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer_gateway.core.reader import Reader
    from transfer_gateway.domain.account import Accounts


@dataclass(frozen=True, slots=True)
class Context:
    """`deadline` is in the loop's time; `request_id` ties answer and log together.

    `reader` has the accounts of the request's start: a reload during a request does not pull them from under it.
    """

    reader: Reader
    deadline: float
    request_id: str

    @property
    def accounts(self) -> Accounts:
        return self.reader.scope.accounts
