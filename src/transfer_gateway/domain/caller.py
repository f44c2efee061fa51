"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever proved to be `subject` to one of our doors; `issuer` is who vouches for it, where one does.

    `claims` is all that the issuer says of the caller, for the policy to match: not to be logged.
    `expires_at` is in seconds since the epoch; None: no end is known.
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
        """For logs and rate limits. Two issuers may each have a subject of one name; no issuer has a space."""
        return self.subject if self.issuer is None else f"{self.issuer} {self.subject}"


ANONYMOUS = Caller("anonymous")
