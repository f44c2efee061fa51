"""A request's headers by name. Starlette's Headers scans all headers on each lookup."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope


class RequestHeaders:
    """Names are lower-case. Repeated headers are combined into one value, as in RFC 9110.

    `values`: the raw headers.
    """

    __slots__ = ("values",)

    def __init__(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.values = dict(headers)
        if len(self.values) != len(headers):
            combined: dict[bytes, bytes] = {}
            for name, value in headers:
                combined[name] = combined[name] + b", " + value if name in combined else value
            self.values = combined

    def get(self, name: str) -> str | None:
        value = self.values.get(name.encode())
        return None if value is None else value.decode("latin-1")
