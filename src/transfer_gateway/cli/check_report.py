"""Prints the results of a check: a table with a progress bar on a terminal, aligned lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from transfer_gateway.domain.text import escaped
from transfer_gateway.telemetry import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transfer_gateway.core.target_check import Checked

_COLUMNS = ("account", "alias", "region", "outcome")


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar that advances at each call of the yielded function. Only on a terminal."""
    columns = (TextColumn("checking targets"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(), transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def print_checked(checks: Sequence[Checked]) -> None:
    """One row per target: account, alias, region, and `ok` or the code, the denied operations and AWS's message."""
    rows = [
        (checked.account.id, escaped(checked.account.alias or "-"), checked.region, _outcome(checked))
        for checked in checks
    ]
    if sys.stdout.isatty():
        _print_table(rows)
        return
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(_COLUMNS) - 1)]
    for *cells, outcome in rows:
        aligned = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        sys.stdout.write("  ".join([*aligned, outcome]) + "\n")


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    table = Table()
    for column in _COLUMNS:
        table.add_column(column, no_wrap=column in {"account", "region"}, overflow="fold")
    for *cells, outcome in rows:
        # Text, not str: brackets in AWS's messages are not markup.
        table.add_row(*map(Text, cells), Text(outcome, style="green" if outcome == "ok" else "red"))
    Console().print(table)


def _outcome(checked: Checked) -> str:
    """One line of printable characters, whatever AWS's message contains."""
    if checked.failure is None:
        return "ok"
    message = redacted(" ".join((checked.failure.detail or checked.failure.message).split()))
    denied = "".join(f" transfer:{operation}" for operation in checked.denied)
    return f"{checked.failure.code}{denied}: {''.join(filter(str.isprintable, message))}"
