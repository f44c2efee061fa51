"""The caller of a request, as authenticated."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.scope import Hideable


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `issuer`: the token's; None for client certificates.

    `claims`: all claims of the token, for policies to match. Never log them.
    `expires_at`: seconds since the epoch; None: unknown.
    """

    subject: str
    issuer: str | None = None
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )
    expires_at: float | None = None

    @property
    def name(self) -> str:
        """Unique name for logs and rate limits: two issuers may use the same subject. Issuers contain no spaces."""
        return self.subject if self.issuer is None else f"{self.issuer} {self.subject}"


ANONYMOUS = Caller("anonymous")


@dataclass(frozen=True, slots=True)
class Viewer:
    """A caller, as it sees itself. `expires_at`: of its token, UTC; None: it has none, or an unknown one.

    `hidden_fields`: in some target or in all.
    """

    name: str
    expires_at: datetime | None
    hidden_fields: tuple[Hideable, ...]
    visible_accounts: tuple[Account, ...]
