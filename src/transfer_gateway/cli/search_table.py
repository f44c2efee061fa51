"""Prints found executions as a table for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transfer_gateway.domain.text import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

_STYLES = {"COMPLETED": "green", "EXCEPTION": "red", "HANDLING_EXCEPTION": "yellow", "IN_PROGRESS": "cyan"}
_MINUTE_S, _HOUR_S = 60, 3600


def print_table(executions: Sequence[dict[str, Any]]) -> None:
    """One row an execution; local times. What does not fit a line is folded, never cut."""
    console = Console()
    if not executions:
        console.print("No execution matches.")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, options in (
        ("STATUS", {"no_wrap": True}),
        ("STARTED", {"no_wrap": True}),
        ("TOOK", {"no_wrap": True, "justify": "right"}),
        ("FILE", {"overflow": "fold", "ratio": 3}),
        ("USER", {"overflow": "fold"}),
        ("ACCOUNT", {"overflow": "fold"}),
        ("EXECUTION", {"overflow": "fold", "min_width": 18}),
        ("FAILED", {"overflow": "fold", "ratio": 2}),
    ):
        table.add_column(name, **options)
    for found in executions:
        status = found["status"] or ("ENDING" if found["ending"] else "ENDED")
        user = (found["serviceMetadata"] or {}).get("userDetails") or {}
        table.add_row(
            Text(status, style=_STYLES.get(status, "")),
            _time(found["startedAt"]),
            _duration(found["durationS"]),
            Text(escaped(_file(found["initialFileLocation"]))),
            Text(escaped(user.get("userName") or "-")),
            Text(escaped(f"{found['account']['alias'] or found['accountId']} {found['region']}")),
            found["executionId"],
            Text(escaped(_failure(found["failedStep"]))),
        )
    console.print(table)


def _file(location: dict[str, Any] | None) -> str:
    if location is None:
        return "-"
    on_s3, on_efs = location["s3FileLocation"], location["efsFileLocation"]
    parts = (on_s3["bucket"], on_s3["key"]) if on_s3 else (on_efs["fileSystemId"], on_efs["path"])
    return "/".join(part.strip("/") for part in parts if part)


def _failure(step: dict[str, Any] | None) -> str:
    if step is None or step["error"] is None:
        return ""
    error = step["error"]
    return f"{step['name'] or step['stepType']}: {error['type']}: {error['message']}"


def _time(text: str | None) -> str:
    return "-" if text is None else f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE_S)
    if minutes < _MINUTE_S:
        return f"{minutes} min {rest} s"
    return f"{minutes // _MINUTE_S} h {minutes % _MINUTE_S} min"
