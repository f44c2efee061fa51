"""`transfer-gateway search`: a client of a running gateway, for people and scripts. Speaks GraphQL over HTTP."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import orjson

from transfer_gateway.cli.output import printing, tell
from transfer_gateway.telemetry import hide

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

URL = "http://127.0.0.1:8080"
URL_VARIABLE, TOKEN_VARIABLE = "TRANSFER_GATEWAY_URL", "TRANSFER_GATEWAY_TOKEN"
_PAGE, _MAX_LIMIT = 500, 100_000
_TIMEOUT_S, _MAX_BYTES = 60, 64 * 2**20
_GAPS_SHOWN = 5
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_ACCOUNT_ID = re.compile(r"[0-9]{12}")

_QUERY = """
query Search($filter: SearchFilter!, $orderBy: SearchOrder!, $first: Int!, $after: String) {
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
    coverageSummary { withGap total }
    coverage { account { id alias } region gap problem { code message } remedy }
    hiddenFilters { filterField hiddenField targets }
  }
}
"""


class _Failed(Exception):
    """The gateway can't be asked, or refuses. The message is for the user."""


def add_options(parser: ArgumentParser) -> None:
    parser.epilog = (
        f"{URL_VARIABLE} and {TOKEN_VARIABLE} are used if --url and --token-file are not given. "
        "WHEN is a time such as 2026-11-29T08:00Z, or how long ago: 90s, 30m, 2h, 7d."
    )
    parser.add_argument(
        "text", nargs="?", help="any part of the file's name or path, the user's name or an id"
    )
    which = parser.add_argument_group("which executions")
    which.add_argument("--file", metavar="NAME", help="any part of the file's name or path")
    for option, help_text in (
        ("--status", "COMPLETED, EXCEPTION, IN_PROGRESS or HANDLING_EXCEPTION"),
        ("--account", "account id or alias"),
        ("--region", "region"),
        ("--user", "user name"),
        ("--server", "server id"),
        ("--session", "session id"),
        ("--workflow", "workflow id"),
        ("--error-type", "type of a failed step's error, such as PERMISSION_DENIED"),
    ):
        which.add_argument(
            option, action="append", default=[], metavar="VALUE", help=f"{help_text}; may be repeated"
        )
    _add_running(which)
    which.add_argument("--since", type=_when, metavar="WHEN", help="started then or later")
    which.add_argument("--until", type=_when, metavar="WHEN", help="started then or earlier")
    which.add_argument("--min-duration", type=float, metavar="SECONDS", help="lasted so long or longer")
    parser.add_argument("--order", choices=["newest", "oldest", "longest"], default="newest")
    parser.add_argument(
        "--limit", type=_limit, default=50, metavar="N", help=f"1 to {_MAX_LIMIT:,}; default 50"
    )
    parser.add_argument(
        "--json", action="store_true", help="JSON lines; the default unless stdout is a terminal"
    )
    parser.add_argument("--url", metavar="URL", help=f"the gateway's URL; default {URL}")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the bearer token")


def _add_running(which: Any) -> None:  # noqa: ANN401  a group of options, whose type is private
    running = which.add_mutually_exclusive_group()
    running.add_argument(
        "--running", action="store_const", const=True, dest="running", help="only those in progress"
    )
    running.add_argument(
        "--ended", action="store_const", const=False, dest="running", help="only those that have ended"
    )


def search(**options: Any) -> None:  # noqa: ANN401  argparse's values
    """Search the executions that a running gateway knows: a table on a terminal, JSON lines in a pipe."""
    as_json = options["json"] or not sys.stdout.isatty()
    notes: dict[str, None] = {}
    try:
        found = _executions(options, notes)
        with printing():
            if as_json:
                for execution in found:
                    sys.stdout.buffer.write(orjson.dumps(execution, option=orjson.OPT_APPEND_NEWLINE))
                sys.stdout.buffer.flush()
            else:
                from transfer_gateway.cli.search_table import print_table  # noqa: PLC0415  has rich

                print_table(list(found))
    except _Failed as failed:
        tell(f"error: {failed}")
        sys.exit(1)
    for note in notes:
        tell(note)


def _executions(options: dict[str, Any], notes: dict[str, None]) -> Iterator[dict[str, Any]]:
    """Page by page. Adds notes on what may be missing. Raises: _Failed."""
    url, headers = _gateway(options["url"], options["token_file"])
    remaining: int = options["limit"]
    variables = {"filter": _filter(options), "orderBy": f"{options['order'].upper()}_FIRST"}
    after = None
    while remaining > 0:
        asked = variables | {"first": min(remaining, _PAGE), "after": after}
        page = _ask(url, headers, asked)
        for note in _notes(page):
            notes[note] = None
        for edge in page["edges"]:
            yield edge["node"]
        remaining -= len(page["edges"])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return


def _filter(options: dict[str, Any]) -> dict[str, Any]:
    accounts = options["account"]
    ids = [account for account in accounts if _ACCOUNT_ID.fullmatch(account)]
    if ids and len(ids) < len(accounts):
        raise _Failed("--account takes ids or aliases, not both in one search")
    given = {
        "text": options["text"],
        "fileName": options["file"],
        "statuses": [status.upper() for status in options["status"]],
        "accountIds" if ids else "accountAliases": accounts,
        "regions": options["region"],
        "userNames": options["user"],
        "serverIds": options["server"],
        "sessionIds": options["session"],
        "workflowIds": options["workflow"],
        "errorTypes": [kind.upper() for kind in options["error_type"]],
        "running": options["running"],
        "startedAfter": options["since"],
        "startedBefore": options["until"],
        "minDurationS": options["min_duration"],
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def _gateway(url: str | None, token_file: Path | None) -> tuple[str, dict[str, str]]:
    """The endpoint, and the headers of a request. Raises: _Failed."""
    url = url or os.environ.get(URL_VARIABLE) or URL
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _Failed(f"{url!r} is no URL such as {URL}")
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    try:
        token = token_file.read_text() if token_file else os.environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise _Failed(f"the token can't be read: {error}") from None
    if token := token.strip():
        hide([token])
        if not (token.isascii() and token.isprintable()):
            raise _Failed("the token has characters that no token has")
        headers["authorization"] = f"Bearer {token}"
    return f"{url.rstrip('/')}/graphql", headers


def _ask(url: str, headers: dict[str, str], variables: dict[str, Any]) -> dict[str, Any]:
    """One page. Raises: _Failed."""
    body = orjson.dumps({"query": _QUERY, "variables": variables})
    try:
        with urlopen(Request(url, body, headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310  http or https
            content = answer.read(_MAX_BYTES)
    except HTTPError as error:
        with error:
            content = error.read(_MAX_BYTES)
        if not content.startswith(b"{"):
            raise _Failed(f"{url} answered with HTTP status {error.code}") from None
    except (URLError, OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise _Failed(f"{url} can't be reached: {reason}") from None
    try:
        told: dict[str, Any] = orjson.loads(content)
        if errors := told.get("errors"):
            raise _Failed("; ".join(map(_message, errors)))
        page: dict[str, Any] = told["data"]["searchExecutions"]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise _Failed(f"{url} did not answer as a gateway does") from None
    return page


def _message(error: dict[str, Any]) -> str:
    code = (error.get("extensions") or {}).get("code")
    return f"{error['message']} ({code})" if code else str(error["message"])


def _notes(page: dict[str, Any]) -> Iterator[str]:
    """What the answer may lack."""
    for hidden in page["hiddenFilters"]:
        yield (
            f"note: {hidden['filterField']} matched nothing in {hidden['targets']} accounts and regions: "
            f"{hidden['hiddenField']} is hidden from you there"
        )
    gaps = [covered for covered in page["coverage"] if covered["gap"]]
    for covered in gaps[:_GAPS_SHOWN]:
        account = covered["account"]
        name = f"{account['id']} ({account['alias']})" if account["alias"] else account["id"]
        problem = f": {covered['problem']['message']}" if covered["problem"] else ""
        remedy = f" {covered['remedy']}" if covered["remedy"] else ""
        yield f"note: may lack executions of {name}, {covered['region']}: {covered['gap']}{problem}{remedy}"
    if (more := page["coverageSummary"]["withGap"] - min(len(gaps), _GAPS_SHOWN)) > 0:
        yield f"note: and of {more} more accounts and regions; the field coverage lists them"


def _when(text: str) -> str:
    """A time, or how long ago, as GraphQL's DateTime."""
    amount, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS_S and amount.isascii() and amount.isdigit():
            return (datetime.now(UTC) - timedelta(seconds=int(amount) * _UNITS_S[unit])).isoformat()
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"must be a time or an age such as 2h; got {text[:40]!r}") from None
    return (time if time.tzinfo else time.astimezone()).isoformat()


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_LIMIT):
        raise ArgumentTypeError(f"must be 1 to {_MAX_LIMIT:,}; got {text[:20]!r}")
    return int(text)
