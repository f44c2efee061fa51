"""Trusted documents: the documents of a company's own frontends and of our page, requested by their hash.

Clients send hashes as `documentId`, or in `extensions.persistedQuery`, as Apollo Client and urql do. These send the
hash alone, and the text only if the server doesn't know the hash.
Source: https://www.apollographql.com/docs/apollo-server/performance/apq#http-details.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from transfer_gateway.domain.errors import BadUserInput, Forbidden, quote
from transfer_gateway.settings import document_key

if TYPE_CHECKING:
    from collections.abc import Mapping

TrustMode = Literal["off", "allow", "only"]
_SHA256 = re.compile("[0-9a-f]{64}")


class PersistedQueryCode(StrEnum):
    """Why the client must send the text, as Apollo's protocol defines it. Each value is the message."""

    NOT_SUPPORTED = "PersistedQueryNotSupported"
    NOT_FOUND = "PersistedQueryNotFound"


class TextRequired(Exception):
    """Unknown hash: the client must send the text. Clients do so without showing an error."""

    def __init__(self, code: PersistedQueryCode) -> None:
        super().__init__(code.value)
        self.message = code.value
        self.code = f"PERSISTED_QUERY_{code.name}"


@dataclass(frozen=True, slots=True)
class TrustedDocuments:
    """`off`: documents as text only. `allow`: as text or by hash. `only`: by hash only.

    `page`: the documents of the gateway's own page, which sends their hash alone, in every mode. They are checked when
    they are first asked for: all of them take 0.1 s, and stricter limits must keep no gateway from starting.
    """

    mode: TrustMode = "off"
    texts: Mapping[str, str] = field(default_factory=dict)
    page: Mapping[str, str] = field(default_factory=dict)

    def text(
        self, query: str | None, document_id: str | None, extensions: Mapping[str, Any] | None
    ) -> str | None:
        """The request's document.

        Raises: TextRequired; BadUserInput for an unknown or wrong hash; Forbidden for text without a hash.
        """
        if document_id and (self.mode != "off" or (query is None and document_key(document_id) in self.page)):
            return self._named(document_id, query)
        if extensions and (persisted_query := extensions.get("persistedQuery")) is not None:
            return self._persisted(persisted_query, query)
        if document_id and query is None:
            raise BadUserInput("`documentId` is not supported, as trusted documents are off: send `query`.")
        return query if self.mode == "off" else self._as_text(query)

    def _persisted(self, persisted_query: object, query: str | None) -> str | None:
        """The document of `extensions.persistedQuery`, or the text sent with it."""
        found = persisted_query.get("sha256Hash") if isinstance(persisted_query, dict) else None
        if not isinstance(found, str):
            raise BadUserInput("`extensions.persistedQuery.sha256Hash` must be a string.")
        if self.mode != "off" and document_key(found) in self.texts:
            return self._named(found, query)
        if query is not None:
            # Clients may use another hash algorithm, whose hashes can't be checked.
            given = document_key(found)
            if _SHA256.fullmatch(given) and given != sha256(query.encode()).hexdigest():
                raise BadUserInput("`extensions.persistedQuery.sha256Hash` is not the SHA-256 of `query`.")
            return self._as_text(query)
        match self.mode:
            case "off":
                raise TextRequired(PersistedQueryCode.NOT_SUPPORTED)
            case "allow":
                raise TextRequired(PersistedQueryCode.NOT_FOUND)
            case _:  # the text would be rejected, so don't request it
                return self._named(found, query)

    def _named(self, document_id: str, query: str | None) -> str:
        key = document_key(document_id)
        text = self.texts.get(key, self.page.get(key))
        if text is None:
            raise BadUserInput(f"documentId {quote(document_id)} is not among the trusted documents.")
        if query not in {None, text}:
            raise BadUserInput("`query` is not the document with that `documentId`; omit it.")
        return text

    def _as_text(self, query: str | None) -> str | None:
        if self.mode == "only" and query is not None:
            raise Forbidden(
                "Only trusted documents are allowed: send `documentId`, the document's hash, without `query`."
            )
        return query
