"""Cursors: a place in a list, signed so that nobody can make one up."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Generic, TypeVar

from itsdangerous import BadData, URLSafeSerializer

from transfer_gateway.domain.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")


class Cursors(Generic[K]):
    """Writes and reads one list's cursors; other lists refuse them, since what they are `of` is signed too.

    They outlive a restart, and hold for other replicas, where `secret` is given. `parse` reads a key's
    string form back, or raises BadUserInput.
    """

    def __init__(self, secret: str | None, *, of: str, parse: Callable[[str], K]) -> None:
        self._signer = URLSafeSerializer(secret or secrets.token_hex(32), salt=of)
        self._parse = parse

    def write(self, key: K) -> str:
        """The place right after this key."""
        return self._signer.dumps(str(key))

    def read(self, cursor: str) -> K:
        """Raises: BadUserInput for one that this service did not write, or wrote for another list."""
        try:
            return self._parse(self._signer.loads(cursor))
        except (BadData, BadUserInput) as error:
            raise BadUserInput.of("after", "must be a cursor issued by this service.") from error
