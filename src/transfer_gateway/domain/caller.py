"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `issuer` None: a certificate's, or nobody was asked.

    `claims` are all that its token says; `expires_at`, in seconds since the epoch, is when it ends.
    """

    subject: str
    issuer: str | None = None
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    expires_at: float | None = None

    @property
    def name(self) -> str:
        """For logs and limits: no two issuers' subjects are one."""
        return self.subject if self.issuer is None else f"{self.subject} ({self.issuer})"


ANONYMOUS = Caller("anonymous")
