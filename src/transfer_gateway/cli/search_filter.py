"""What the options of `search` and a pasted text select, as GraphQL's SearchFilter."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.identity import ExecutionKey, Identifier, WorkflowKey
from transfer_gateway.domain.server import ServerKey

if TYPE_CHECKING:
    from collections.abc import Callable

# The option for each field; the positional argument is `text`.
OPTIONS = {
    "text": "the text",
    "fileName": "--file",
    "statuses": "--status",
    "accountIds": "--account",
    "accountAliases": "--account",
    "regions": "--region",
    "userNames": "--user",
    "serverIds": "--server",
    "sessionIds": "--session",
    "workflowIds": "--workflow",
    "errorTypes": "--error-type",
    "startedAfter": "--since",
    "startedBefore": "--until",
    "endedAfter": "--ended-since",
    "endedBefore": "--ended-until",
    "minDurationS": "--min-duration",
    "maxDurationS": "--max-duration",
}
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ON_S3 = re.compile(r"(?:s3://|arn:[a-z-]+:s3:::)([^/]+)/*(.*)", re.DOTALL)
# A bucket, or a file system, and what is in it.
_LOCATION = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/+([^/].*)", re.DOTALL)


WRONG_USE = "BAD_USER_INPUT"


class SearchFailed(Exception):
    """The gateway can't be asked, or refuses. The message is for the user; `code`: the gateway's, or as it would."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_usage(self) -> bool:
        return self.code == WRONG_USE


class Reading(NamedTuple):
    """One way to understand the pasted text. `note`: what the user has to know if it finds something."""

    wanted: dict[str, Any]
    note: str | None = None


def identifier(kind: type[Identifier]) -> Callable[[str], str]:
    """An option's value in lower case, as AWS writes such ids. It is checked here: a wrong one would find nothing."""

    def parse(text: str) -> str:
        try:
            return kind(text.lower())
        except BadUserInput as error:
            raise ArgumentTypeError(error.message) from None

    return parse


def readings(options: dict[str, Any]) -> list[Reading]:
    """What to search for: the first one, and if that finds nothing the next one. Raises: SearchFailed."""
    wanted, text = _filter(options), options["text"]
    if text is None:
        return [Reading(wanted)]
    text = text.strip().removeprefix("…/")  # as the table shortens a folder
    as_it_stands = Reading(wanted | {"text": text})
    if key := _key(text.lower()):
        return [Reading(_narrowed(wanted, _of_key(key)))]
    if on_s3 := _ON_S3.fullmatch(text):
        return [_inside(wanted, on_s3[1], on_s3[2])]
    if location := _LOCATION.fullmatch(text):
        return [as_it_stands, _inside(wanted, location[1], location[2])]
    if _ACCOUNT_ID.fullmatch(text) and not any("account" in name for name in wanted):
        note = f"note: no name or id contains {text}; these are of the account {text}"
        return [as_it_stands, Reading(wanted | {"accountIds": [text]}, note)]
    return [as_it_stands]


def _filter(options: dict[str, Any]) -> dict[str, Any]:
    accounts = options["account"]
    ids = [account for account in accounts if _ACCOUNT_ID.fullmatch(account)]
    if ids and len(ids) < len(accounts):
        raise SearchFailed("--account takes ids or aliases, not both in one search", code=WRONG_USE)
    if options["result_unknown"] and options["status"]:
        raise SearchFailed("--result-unknown goes without --status: what it finds has none", code=WRONG_USE)
    given = {
        "fileName": options["file"],
        "statuses": options["status"],
        "accountIds" if ids else "accountAliases": accounts,
        "regions": options["region"],
        "userNames": options["user"],
        "serverIds": options["server"],
        "sessionIds": options["session"],
        "workflowIds": options["workflow"],
        "errorTypes": options["error_type"],
        "running": options["running"],
        "resultUnknown": options["result_unknown"],
        "startedAfter": options["since"],
        "startedBefore": options["until"],
        "endedAfter": options["ended_since"],
        "endedBefore": options["ended_until"],
        "minDurationS": options["min_duration"],
        "maxDurationS": options["max_duration"],
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def _key(text: str) -> ExecutionKey | WorkflowKey | ServerKey | None:
    """The key, if the text is the `id` of an execution, workflow or server."""
    for kind in (ExecutionKey, WorkflowKey, ServerKey):
        try:
            return kind.parse(text)
        except BadUserInput:
            continue
    return None


def _of_key(key: ExecutionKey | WorkflowKey | ServerKey) -> dict[str, str]:
    named: dict[str, str] = {"accountIds": key.account_id, "regions": key.region}
    match key:
        case ExecutionKey():
            return named | {"workflowIds": key.workflow_id, "executionIds": key.execution_id}
        case WorkflowKey():
            return named | {"workflowIds": key.workflow_id}
        case ServerKey():
            return named | {"serverIds": key.server_id}


def _narrowed(wanted: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    """Both. Raises: SearchFailed if an option names other values."""
    for name, value in named.items():
        if value not in wanted.get(name, [value]):
            raise SearchFailed(
                f"the text is an id with {value}, which {OPTIONS[name]} excludes", code=WRONG_USE
            )
    return wanted | {name: [value] for name, value in named.items()}


def _inside(wanted: dict[str, Any], place: str, path: str) -> Reading:
    """Files with that path, wherever they are: searches know no buckets. Raises: SearchFailed."""
    if not path:
        raise SearchFailed(
            f"no search finds the files of a bucket; give a part of a key in {place}", code=WRONG_USE
        )
    if "fileName" in wanted:
        raise SearchFailed(
            "the text is a file's location: leave out --file, or search for the user or an id", code=WRONG_USE
        )
    note = f"note: buckets and file systems can't be searched: these have {path} in the name or path, in any of them"
    return Reading(wanted | {"fileName": path}, note)
