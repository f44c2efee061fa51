"""Asks a running gateway for executions: GraphQL over HTTP."""

from __future__ import annotations

import os
import re
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson

from transfer_gateway.cli.search_filter import OPTIONS, WRONG_USE, SearchFailed
from transfer_gateway.telemetry import hide

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

URL = "http://127.0.0.1:8080"
URL_VARIABLE, TOKEN_VARIABLE = "TRANSFER_GATEWAY_URL", "TRANSFER_GATEWAY_TOKEN"
PAGE = 500
_ENDPOINT = "/graphql"
_TIMEOUT_S, _MAX_BYTES = 60, 64 * 2**20
_FIELD = re.compile(r"\bfilter\.(\w+)(?:\[\d+\])?|\b([a-z]+[A-Z]\w*)\b")

_SEARCH = """
query Search(
  $filter: SearchFilter!, $orderBy: SearchOrder!, $first: Int!, $after: String, $counts: Boolean!
) {
  searchExecutions(filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    edges {
      node {
        id accountId account { alias } region workflowId executionId status ending startedAt endedAt durationS stepsDone
        failedStep { name stepType error { type message } }
        initialFileLocation { s3FileLocation { bucket key } efsFileLocation { fileSystemId path } }
        serviceMetadata { userDetails { userName serverId sessionId } }
      }
    }
    pageInfo { hasNextPage endCursor }
    countsByStatus @include(if: $counts) { counts { status count } total isExact }
    coverageSummary { withGap total }
    coverage { gap problem { code } }
    hiddenFilters { filterField hiddenField targets }
  }
}
"""
_COVERAGE = """
query Coverage($filter: CoverageFilter!, $after: String) {
  coverage(filter: $filter, first: 500, after: $after) {
    edges { node { account { id alias } region gap problem { message } remedy } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


class Client:
    """A gateway to ask. Raises: SearchFailed, from all methods."""

    def __init__(self, url: str | None, token_file: Path | None) -> None:
        """`url`: with or without `/graphql`."""
        url = url or os.environ.get(URL_VARIABLE) or URL
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SearchFailed(f"{url!r} is not a URL such as {URL}", code=WRONG_USE)
        self._url = url.rstrip("/").removesuffix(_ENDPOINT) + _ENDPOINT
        self._headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
        if token := _token(token_file):
            self._headers["authorization"] = f"Bearer {token}"

    def search(self, **variables: Any) -> dict[str, Any]:  # noqa: ANN401  of GraphQL
        """One page."""
        return self._ask(_SEARCH, variables, "searchExecutions")

    def gaps(self, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The accounts and regions of a search that may lack executions, with the reasons."""
        named = {name: wanted[name] for name in ("accountIds", "regions") if name in wanted}
        aliases = {alias.casefold() for alias in wanted.get("accountAliases", ())}
        after, has_more = None, True
        while has_more:
            asked = {"filter": named | {"gapsOnly": True}, "after": after}
            page = self._ask(_COVERAGE, asked, "coverage")
            for edge in page["edges"]:
                if not aliases or (edge["node"]["account"]["alias"] or "").casefold() in aliases:
                    yield edge["node"]
            after, has_more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]

    def _ask(self, query: str, variables: dict[str, Any], field: str) -> dict[str, Any]:
        """The field's value."""
        body = orjson.dumps({"query": query, "variables": variables})
        try:
            request = Request(self._url, body, self._headers)  # noqa: S310  http or https
            with urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310  the same
                content = answer.read(_MAX_BYTES)
        except HTTPError as error:
            with error:
                content = error.read(_MAX_BYTES)
            if not content.startswith(b"{"):
                raise SearchFailed(f"{self._url} answered with HTTP status {error.code}") from None
        except HTTPException:  # as of the gRPC port
            raise SearchFailed(
                f"{self._url} did not answer as a gateway's HTTP port does; the gRPC port can't be searched"
            ) from None
        except (URLError, OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            why = reason.strerror if isinstance(reason, OSError) and reason.strerror else reason
            raise SearchFailed(
                f"{self._url} can't be reached: {why}. Is a gateway running there? --url sets another URL"
            ) from None
        try:
            told: dict[str, Any] = orjson.loads(content)
            if errors := told.get("errors"):
                codes = [(error.get("extensions") or {}).get("code") for error in errors]
                raise SearchFailed("; ".join(map(_message, errors, codes)), code=codes[0])
            value: dict[str, Any] = told["data"][field]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise SearchFailed(f"{self._url} did not answer as a gateway does") from None
        return value


def _token(file: Path | None) -> str:
    try:
        token = (file.read_text() if file else os.environ.get(TOKEN_VARIABLE, "")).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = f"{error.strerror}: {file}" if isinstance(error, OSError) else "it is not UTF-8"
        raise SearchFailed(f"the token can't be read: {why}") from None
    if token:
        hide([token])
        if not (token.isascii() and token.isprintable()):
            raise SearchFailed("the token has characters that no token has")
    return token


def _message(error: dict[str, Any], code: str | None) -> str:
    """The message, of a filter's field with the option's name instead."""
    message = str(error["message"])
    if code == WRONG_USE:
        message = _FIELD.sub(lambda found: OPTIONS.get(found[1] or found[2], found[0]), message)
    hint = "; --token-file names a file with the bearer token" if code == "UNAUTHENTICATED" else ""
    return f"{message} ({code}){hint}" if code else message
