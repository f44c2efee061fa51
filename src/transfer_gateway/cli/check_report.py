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

_COLUMNS = ("account", "alias", "region", "outcome", "history")
_ALIGNED = 3  # the columns whose values are short
_MAX_LINE = 2000  # characters


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """A progress bar that advances at each call of the yielded function. Only on a terminal."""
    columns = (TextColumn("checking targets"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(), transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def print_checked(checks: Sequence[Checked]) -> None:
    """One row per target: account, alias, region, and `ok` or the code, the denied operations and AWS's message.

    Where history was checked, then what of it is covered, and what is missing.
    """
    has_history = any(checked.history is not None for checked in checks)
    rows = [
        (
            checked.account.id,
            escaped(checked.account.alias or "-"),
            checked.region,
            _outcome(checked),
            *([_line(str(checked.history or "-"))] if has_history else []),
        )
        for checked in checks
    ]
    if sys.stdout.isatty():
        _print_table(rows, _COLUMNS if has_history else _COLUMNS[:-1])
        return
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(_ALIGNED)]
    for row in rows:
        aligned = [cell.ljust(width) for cell, width in zip(row[:_ALIGNED], widths, strict=True)]
        sys.stdout.write("  ".join([*aligned, *row[_ALIGNED:]]) + "\n")


def _print_table(rows: Sequence[tuple[str, ...]], columns: Sequence[str]) -> None:
    table = Table()
    for column in columns:
        table.add_column(column, no_wrap=column in {"account", "region"}, overflow="fold")
    for account, alias, region, outcome, *history in rows:
        # Text, not str: brackets in AWS's messages are not markup.
        told = Text(outcome, style="green" if outcome == "ok" else "red")
        table.add_row(Text(account), Text(alias), Text(region), told, *map(Text, history))
    Console().print(table)


def _outcome(checked: Checked) -> str:
    if checked.failure is None:
        return "ok"
    denied = "".join(f" transfer:{operation}" for operation in checked.denied)
    return f"{checked.failure.code}{denied}: {_line(checked.failure.detail or checked.failure.message)}"


def _line(text: str) -> str:
    """One line of printable characters, whatever AWS's message contains."""
    printable = "".join(filter(str.isprintable, redacted(" ".join(text.split()))))
    return printable if len(printable) <= _MAX_LINE else f"{printable[:_MAX_LINE]}…"
