"""Prints found executions as a table: one line each, two where a terminal has no room for all columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from transfer_gateway.domain.text import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STYLES = {"COMPLETED": "green", "EXCEPTION": "red", "HANDLING_EXCEPTION": "yellow", "IN_PROGRESS": "cyan"}
_RUNNING = {"IN_PROGRESS", "HANDLING_EXCEPTION"}
_MINUTE_S = 60
_GAP, _CUT = "  ", "…"
_ERROR_LEAST, _ERROR = (
    10,
    24,
)  # cells of a failure that tell its type, and that go before whole names of users
_NAME = 32  # cells of a file's name that go before the less important columns
_ONE_LINE_FROM, _FULL_TIMES_FROM = 100, 150  # columns of a terminal


@dataclass(slots=True, eq=False)
class _Column:
    """One column. `least`: the cells that it needs to be of use; `width`: those that it gets."""

    name: str
    texts: list[str]
    least: int
    shorten: Callable[[str, int], str]
    width: int = 0
    full: int = 0

    def __post_init__(self) -> None:
        self.full = max(map(cell_len, (self.name, *self.texts)))
        self.width = self.least = max(cell_len(self.name), min(self.least or self.full, self.full))


def print_table(executions: Sequence[dict[str, Any]]) -> list[str]:
    """Local times. Outside a terminal nothing is cut. Returns: the columns that have no room."""
    console = Console()
    if not executions:
        console.print("No execution matches.")
        return []
    width = console.width if console.is_terminal else None
    is_wide = width is None or width >= _ONE_LINE_FROM
    columns = _columns(executions, is_wide=width is None or width >= _FULL_TIMES_FROM)
    lines = [_fitting(columns, "EXECUTION FILE STATUS STARTED FAILED USER ACCOUNT TOOK", width)]
    if width is not None and (not is_wide or len(lines[0]) < len(columns)):
        lines = [
            _fitting(columns, "FILE STATUS STARTED USER TOOK", width),
            _fitting(columns, "EXECUTION FAILED ACCOUNT", width - len(_GAP)),
        ]
    for line in _rows(lines, len(executions)):
        console.print(line, soft_wrap=True)
    shown = {column.name for line in lines for column in line}
    return [column.name for column in columns.values() if column.name not in shown]


def print_counts(counts: dict[str, Any]) -> None:
    """A line for each status, and the sum."""
    console = Console()
    for each in (*counts["counts"], {"status": "all", "count": counts["total"]}):
        name = each["status"] or "ENDED"
        line = Text.assemble((f"{name:<18}", _STYLES.get(name, "")), f"{_GAP}{each['count']:>7,}")
        console.print(line, soft_wrap=True)
    if not counts["isExact"]:
        console.print("There are at least so many.")


def _columns(executions: Sequence[dict[str, Any]], *, is_wide: bool) -> dict[str, _Column]:
    """By name, in the order in which they are shown."""
    users = [
        ((found["serviceMetadata"] or {}).get("userDetails") or {}).get("userName") for found in executions
    ]
    files = [escaped(_file(found["initialFileLocation"])) for found in executions]
    columns = [
        _Column("STATUS", [_status(found) for found in executions], 0, _cut),
        _Column(
            "STARTED", [_time(found["startedAt"], is_short=not is_wide) for found in executions], 0, _cut
        ),
        _Column("TOOK", [_took(found) for found in executions], 0, _cut),
        _Column("FILE", files, min(_NAME, max(map(_width_of_name, files))), _cut_file),
        _Column("USER", [escaped(user or "-") for user in users], 8, _cut),
        _Column("ACCOUNT", [escaped(_account(found)) for found in executions], 16, _cut),
        _Column("EXECUTION", [found["executionId"] for found in executions], 0, _cut),
    ]
    failures = [escaped(_failure(found["failedStep"])) for found in executions]
    if any(failures):
        columns.append(_Column("FAILED", failures, _ERROR_LEAST, _cut))
    return {column.name: column for column in columns}


def _fitting(columns: dict[str, _Column], names: str, width: int | None) -> list[_Column]:
    """Those of the names, most important first, that fit into a line, with their widths."""
    candidates = [columns[name] for name in names.split() if name in columns]
    if width is None:
        for column in candidates:
            column.width = column.full
        return [column for column in columns.values() if column in candidates]
    chosen: list[_Column] = []
    spare = width + len(_GAP)
    for column in candidates:
        column.width = column.least
        if column.least + len(_GAP) <= spare or not chosen:
            chosen.append(column)
            spare -= column.least + len(_GAP)
    file = columns["FILE"]
    for column, most in (
        (file, max(map(_width_of_name, file.texts))),
        *((column, _ERROR) for column in chosen if column.name == "FAILED"),
        *((column, column.full) for column in chosen if column.name not in {"FILE", "FAILED"}),
        *((column, column.full) for column in chosen),
    ):
        if column in chosen and spare > 0:
            more = min(spare, max(0, min(most, column.full) - column.width))
            column.width += more
            spare -= more
    return [column for column in columns.values() if column in chosen]


def _rows(lines: Sequence[Sequence[_Column]], count: int) -> list[Text]:
    """The headings and the executions; a second line of either is indented."""
    rows = []
    for index in range(-1, count):
        for number, columns in enumerate(lines):
            row = Text(_GAP * number)
            for column in columns:
                text = column.name if index < 0 else column.shorten(column.texts[index], column.width)
                style = "bold" if index < 0 else _STYLES.get(text, "") if column.name == "STATUS" else ""
                padding = " " * (column.width - cell_len(text))
                row.append(f"{padding}{text}" if column.name == "TOOK" else f"{text}{padding}", style)
                row.append(_GAP)
            row.rstrip()
            rows.append(row)
    return rows


def _width_of_name(file: str) -> int:
    return cell_len(file.rpartition("/")[2])


def _cut(text: str, width: int) -> str:
    """Its beginning."""
    if cell_len(text) <= width:
        return text
    while cell_len(text) > width - len(_CUT):
        text = text[:-1]
    return text + _CUT


def _cut_file(text: str, width: int) -> str:
    """The name, and as much of the folder as fits; of a name that is too long its beginning and its end."""
    if cell_len(text) <= width:
        return text
    folder, _, name = text.rpartition("/")
    while folder:
        _, _, folder = folder.partition("/")
        shown = "/".join(part for part in (_CUT, folder, name) if part)
        if cell_len(shown) <= width:
            return shown
    if cell_len(name) <= width:
        return name
    end = name
    while cell_len(end) > width // 2:
        end = end[1:]
    return _cut(name, width - cell_len(end)) + end


def _status(found: dict[str, Any]) -> str:
    return found["status"] or ("ENDING" if found["ending"] else "ENDED")


def _account(found: dict[str, Any]) -> str:
    return f"{found['account']['alias'] or found['accountId']} {found['region']}"


def _file(location: dict[str, Any] | None) -> str:
    if location is None:
        return "-"
    on_s3, on_efs = location["s3FileLocation"], location["efsFileLocation"]
    parts = (on_s3["bucket"], on_s3["key"]) if on_s3 else (on_efs["fileSystemId"], on_efs["path"])
    return "/".join(part.strip("/") for part in parts if part)


def _failure(step: dict[str, Any] | None) -> str:
    """The step first: where there is little room it says most."""
    if step is None or step["error"] is None:
        return ""
    error = step["error"]
    return f"{step['name'] or step['stepType']}: {error['type']}: {error['message']}"


def _time(text: str | None, *, is_short: bool) -> str:
    """`is_short`: without seconds, and without a year that is this one."""
    if text is None:
        return "-"
    time = datetime.fromisoformat(text).astimezone()
    if not is_short:
        return f"{time:%Y-%m-%d %H:%M:%S}"
    is_this_year = time.year == datetime.now().astimezone().year
    return f"{time:%m-%d %H:%M}" if is_this_year else f"{time:%Y-%m-%d %H:%M}"


def _took(found: dict[str, Any]) -> str:
    if found["durationS"] is not None:
        return _duration(found["durationS"])
    if found["startedAt"] is None or found["status"] not in _RUNNING:
        return "-"
    so_far = datetime.now().astimezone() - datetime.fromisoformat(found["startedAt"])
    return f"> {_duration(max(0.0, so_far.total_seconds()))}"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    if minutes < _MINUTE_S:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE_S} h {minutes % _MINUTE_S} min"
