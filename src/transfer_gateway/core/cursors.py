"""Cursors: a position in a list, signed so that clients cannot forge one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

from itsdangerous import BadData, URLSafeSerializer

from transfer_gateway.domain.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")

_NOT_OURS = (
    "must be a cursor of this list. "
    "Cursors may end with the gateway that issued them: begin with the first page."
)


class Cursors(Generic[K]):
    """Writes and reads the cursors of one list. The list's name, `of`, is signed too, so other lists reject them.

    With `secret`, cursors stay valid after a restart and in other replicas. `parse` reads a key's string form, or
    raises BadUserInput.
    """

    def __init__(self, secret: str | None, *, of: str, parse: Callable[[str], K]) -> None:
        self._signer = URLSafeSerializer(secret or secrets.token_hex(32), salt=of)
        self._parse = parse

    def write(self, key: K) -> str:
        """The position right after this key."""
        return self._signer.dumps(str(key))

    def read(self, cursor: str, *, field: str = "after") -> K:
        """Raises: BadUserInput for a cursor that this service did not issue, or issued for another list."""
        try:
            return self._parse(self._signer.loads(cursor))
        except (BadData, BadUserInput) as error:
            raise BadUserInput.of(field, _NOT_OURS) from error
