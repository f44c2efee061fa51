"""The documentation, as read by tests, and its generated tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITE_TABLES = "--write-tables"


def section(page: Path, title: str) -> str:
    """The text under a heading, down to the next heading of any level."""
    _, heading, text = page.read_text(encoding="utf-8").partition(f"# {title}\n")
    assert heading, f"{page.name} has no heading {title!r}"
    return re.split(r"\n#+ ", text)[0]


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def check_table(config: pytest.Config, page: Path, row: re.Pattern[str], rows: list[str]) -> None:
    """Compare the page's lines that match `row`, which are consecutive; with the option, write them first."""
    text = page.read_text(encoding="utf-8")
    shown = [line for line in text.splitlines() if row.match(line)]
    if shown != rows and config.getoption(WRITE_TABLES):
        text = text.replace("\n".join(shown), "\n".join(rows))
        page.write_text(text, encoding="utf-8")
        shown = [line for line in text.splitlines() if row.match(line)]
    assert shown == rows, (
        f"{page.name} is out of date; write its table with: "
        f"uv run pytest -n 0 {WRITE_TABLES} -k table tests/docs tests/telemetry/test_metrics.py"
    )
