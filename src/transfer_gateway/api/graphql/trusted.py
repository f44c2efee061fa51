"""Trusted documents: those that a company's own frontends were built with, asked for by their hash."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from transfer_gateway.domain.errors import BadUserInput, Forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping

TrustMode = Literal["off", "allow", "only"]


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """`off`: documents come as text. `allow`: as text or by hash. `only`: by hash."""

    mode: TrustMode = "off"
    texts: Mapping[str, str] = field(default_factory=dict)

    def text(
        self, query: str | None, document_id: str | None, extensions: Mapping[str, Any] | None
    ) -> str | None:
        """The document that a request means. Raises: BadUserInput for an unknown hash; Forbidden for mere text."""
        if self.mode == "off":
            return query
        if document_id is None:
            document_id = _apollos(extensions or {})
        if document_id is None:
            if self.mode == "only" and query is not None:
                raise Forbidden(
                    "Only trusted documents are allowed: send `documentId`, the document's hash, without `query`."
                )
            return query
        text = self.texts.get(document_id.removeprefix("sha256:"))
        if text is None:
            raise BadUserInput(f"documentId {document_id[:80]!r} is not among the trusted documents.")
        if query not in {None, text}:
            raise BadUserInput("`query` is not the document that `documentId` names; leave it out.")
        return text


def _apollos(extensions: Mapping[str, Any]) -> str | None:
    """The hash where Apollo Client and urql put it."""
    persisted = extensions.get("persistedQuery")
    found = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
    return found if isinstance(found, str) else None
