"""`transfer-gateway search`: a client of a running gateway, for people and scripts."""

from __future__ import annotations

import sys
from argparse import Action, ArgumentTypeError
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from transfer_gateway.cli.output import printing, tell
from transfer_gateway.cli.search_client import PAGE, TOKEN_VARIABLE, URL, URL_VARIABLE, Client
from transfer_gateway.cli.search_filter import OPTIONS, Reading, SearchFailed, identifier, readings
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType
from transfer_gateway.domain.identity import Region, WorkflowId
from transfer_gateway.domain.server import ServerId

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator, Sequence

    from transfer_gateway.domain.execution import AwsEnum

_MAX_LIMIT = 100_000
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_GAPS = {"UNREADABLE": "unreadable", "BEING_READ": "being read", "NOT_LOGGED": "not all logged"}
_EPILOG = f"""\
TEXT is any part, in any case, of a file's name or path on S3 or EFS, of a user's
name, or of the id of a server, session, workflow or execution. It may also be:
  the `id` of an execution, workflow or server in the API: 111111111111/eu-west-1/...
  a location: s3://bucket/key, bucket/key or fs-.../path. It finds files with that
    key or path in any bucket or file system, as their names can't be searched
  the id of an account, unless a name or another id contains it
Several words are one text, with a space between each two. There are no wildcards.
A text that begins with a dash comes last, after --.

Other names match whole, --user and --session in their case.

WHEN is a time such as 2026-11-29T08:00Z, or how long ago: 90s, 30m, 2h, 7d. A time
without a zone is in this machine's zone, as are those of tables; JSON lines have UTC.
DURATION is 90s, 30m, 2h, 7d, or a number of seconds: 0.5.

EXCEPTION is a failure. ENDED in counts and tables: it has ended, and how is not known.
What is in progress lasts until now.

Unless --url and --token-file are given, {URL_VARIABLE} and
{TOKEN_VARIABLE} are used."""


def add_options(parser: ArgumentParser) -> None:
    parser.epilog = _EPILOG
    parser.add_argument(
        "text", nargs="*", action=_Words, metavar="TEXT", help="part of a file, user or id: see below"
    )
    which = parser.add_argument_group("which executions")
    which.add_argument("--file", metavar="NAME", help="any part of the file's name or path, in any case")
    for option, kind, help_text in (
        ("--status", _one_of(ExecutionStatus), "COMPLETED, EXCEPTION, IN_PROGRESS or HANDLING_EXCEPTION"),
        ("--account", str, "account id, or alias in any case"),
        ("--region", identifier(Region), "region"),
        ("--user", str, "whole user name, case-sensitive"),
        ("--server", identifier(ServerId), "server id"),
        ("--session", str, "session id, case-sensitive"),
        ("--workflow", identifier(WorkflowId), "workflow id"),
        ("--error-type", _one_of(StepErrorType), "type of a failed step's error, such as PERMISSION_DENIED"),
    ):
        which.add_argument(
            option,
            type=kind,
            action="append",
            default=[],
            metavar="VALUE",
            help=f"{help_text}; may be repeated",
        )
    _add_running(which)
    which.add_argument("--since", type=_when, metavar="WHEN", help="started then or later")
    which.add_argument("--until", type=_when, metavar="WHEN", help="started then or earlier")
    which.add_argument("--ended-since", type=_when, metavar="WHEN", help="ended then or later")
    which.add_argument("--ended-until", type=_when, metavar="WHEN", help="ended then or earlier")
    which.add_argument("--min-duration", type=_duration, metavar="DURATION", help="lasted so long or longer")
    which.add_argument("--max-duration", type=_duration, metavar="DURATION", help="lasted so long or shorter")
    parser.add_argument(
        "--order", choices=["newest", "oldest", "longest"], default="newest", help="default newest"
    )
    parser.add_argument(
        "--limit", type=_limit, default=50, metavar="N", help=f"1 to {_MAX_LIMIT:,}; default 50"
    )
    parser.add_argument(
        "--counts", action="store_true", help="print how many match, by status, instead of the executions"
    )
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="then list, on stderr, the accounts and regions that may lack executions",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--json", action="store_true", help="JSON lines; the default unless stdout is a terminal"
    )
    shape.add_argument(
        "--table", action="store_true", help="a table; outside a terminal as wide as its content"
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
    running.add_argument(
        "--result-unknown",
        action="store_const",
        const=True,
        help="only those that have ended with no record of how",
    )


def search(**options: Any) -> None:  # noqa: ANN401  argparse's values
    """Search the executions that a running gateway knows: a table on a terminal, JSON lines in a pipe."""
    try:
        tried = readings(options)
        client = Client(options["url"], options["token_file"])
        found = _first_that_finds(client, options, tried)
        with printing():
            _print(found, options)
        for note in found.notes(options):
            tell(note)
        if options["coverage"] and found.page["coverageSummary"]["withGap"]:
            for covered in client.gaps(found.reading.wanted):
                tell(_gap(covered))
    except SearchFailed as failed:
        tell(f"error: {failed}")
        sys.exit(2 if failed.is_usage else 1)


class _Found:
    """The executions of one reading, page by page as they are iterated. Raises: SearchFailed."""

    def __init__(self, client: Client, options: dict[str, Any], reading: Reading) -> None:
        """Reads the first page."""
        self.reading = reading
        self._client = client
        self._remaining: int = options["limit"]
        self._variables = {
            "filter": reading.wanted,
            "orderBy": f"{options['order'].upper()}_FIRST",
            "counts": options["counts"],
        }
        self.page = self._read(None)
        self.is_empty = not self.page["edges"]

    def _read(self, after: str | None) -> dict[str, Any]:
        size = 1 if self._variables["counts"] else min(self._remaining, PAGE)
        return self._client.search(**self._variables, first=size, after=after)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            for edge in self.page["edges"]:
                yield edge["node"]
            self._remaining -= len(self.page["edges"])
            if self._remaining <= 0 or not self.page["pageInfo"]["hasNextPage"]:
                return
            self.page = self._read(self.page["pageInfo"]["endCursor"])

    def notes(self, options: dict[str, Any]) -> Iterator[str]:
        """What the user has to know of what was printed, and of what it may lack."""
        if self.is_empty and options["text"]:
            yield from _hints(options["text"])
        elif self.reading.note:
            yield self.reading.note
        if self.is_empty and (options["user"] or options["session"]):
            yield "note: --user and --session match whole names in their case; TEXT finds any part in any case"
        if self.page["pageInfo"]["hasNextPage"] and not options["counts"]:
            yield f"note: showing the first {options['limit']:,}; more match: raise --limit, or narrow the search"
        for hidden in self.page["hiddenFilters"]:
            name, where = hidden["filterField"], f"{hidden['targets']} accounts and regions"
            missed = f"could not look at {hidden['hiddenField']}" if name == "text" else "matched nothing"
            yield (
                f"note: {OPTIONS.get(name, name)} {missed} in {where}: "
                f"{hidden['hiddenField']} is hidden from you there"
            )
        summary = self.page["coverageSummary"]
        if summary["withGap"]:
            gaps = Counter(covered["gap"] for covered in self.page["coverage"] if covered["gap"])
            kinds = ", ".join(f"{number} {_GAPS.get(gap, gap)}" for gap, number in sorted(gaps.items()))
            # An answer has the first 100 alone.
            shown = f" ({kinds})" if gaps.total() == summary["withGap"] else ""
            where = f"{summary['withGap']} of {summary['total']} accounts and regions"
            hint = "" if options["coverage"] else "; --coverage lists them"
            yield f"note: {where} may lack executions{shown}{hint}"
        codes = Counter(
            covered["problem"]["code"]
            for covered in self.page["coverage"]
            if covered["problem"] and covered["gap"] == "NOT_LOGGED"
        )
        if codes:
            yield (
                f"note: what is not logged can't be listed at present in {codes.total()} accounts and regions "
                f"({', '.join(sorted(codes))}): it is shown as it was last, and what is new is missing"
            )


def _hints(text: str) -> Iterator[str]:
    """Why a text may find nothing."""
    yield (
        "note: names of buckets, file systems and accounts (see --account) are not searched, nor the files of what "
        "failed before its first step, which no log has: search these by user and time"
    )
    if "*" in text or "?" in text:
        yield "note: * and ? are no wildcards: any part of a name finds it"
    if " " in text:
        yield f'note: "{text}" was searched as one text; --user and --file, for example, look for two'


def _first_that_finds(client: Client, options: dict[str, Any], tried: list[Reading]) -> _Found:
    """The first reading of the text that finds something, else its first. Raises: SearchFailed."""
    first, *others = tried
    found = _Found(client, options, first)
    for reading in others if found.is_empty else ():
        try:
            other = _Found(client, options, reading)
        except SearchFailed as failed:
            if failed.code != "ACCOUNT_NOT_AVAILABLE":  # then the text was no account's id
                raise
        else:
            found = found if other.is_empty else other
    return found


def _print(found: _Found, options: dict[str, Any]) -> None:
    if options["json"] or not (options["table"] or sys.stdout.isatty()):
        for line in [found.page["countsByStatus"]] if options["counts"] else found:
            sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()
        return
    from transfer_gateway.cli.search_table import print_counts, print_table  # noqa: PLC0415  has rich

    if options["counts"]:
        print_counts(found.page["countsByStatus"])
    elif dropped := print_table(list(found)):
        tell(f"note: no room for {', '.join(dropped)}: use a wider terminal, --json, or --table in a pipe")


def _gap(covered: dict[str, Any]) -> str:
    account = covered["account"]
    name = f"{account['id']} ({account['alias']})" if account["alias"] else account["id"]
    reason = _GAPS.get(covered["gap"], covered["gap"])
    problem = f"{reason}: {covered['problem']['message']}" if covered["problem"] else f"{reason}."
    return f"{name}, {covered['region']}: {problem} {covered['remedy'] or ''}".rstrip()


class _Words(Action):
    """One text of all of them; None if there are none."""

    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, " ".join(values) if values else None)


def _with_unit(text: str) -> int | None:
    """Seconds; None: it has no unit."""
    amount, unit = text[:-1], text[-1:]
    is_one = unit in _UNITS_S and amount.isascii() and amount.isdigit()
    return int(amount) * _UNITS_S[unit] if is_one else None


def _duration(text: str) -> float:
    try:
        seconds = _with_unit(text)
        return float(text if seconds is None else seconds)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"must be seconds, or as in 90s, 30m, 2h; got {text[:40]!r}") from None


def _when(text: str) -> str:
    """A time, or how long ago, as GraphQL's DateTime."""
    try:
        if (seconds := _with_unit(text)) is not None:
            return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"must be a time or an age such as 2h; got {text[:40]!r}") from None
    return (time if time.tzinfo else time.astimezone()).isoformat()


def _one_of(kind: type[AwsEnum]) -> Callable[[str], str]:
    """A parser for one of AWS's values, in any case."""
    names = [each.name for each in kind if each.name != "UNRECOGNIZED"]

    def parse(text: str) -> str:
        if text.upper() not in names:
            raise ArgumentTypeError(f"must be one of {', '.join(names)}; got {text[:40]!r}")
        return text.upper()

    return parse


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_LIMIT):
        raise ArgumentTypeError(f"must be 1 to {_MAX_LIMIT:,}; got {text[:20]!r}")
    return int(text)
