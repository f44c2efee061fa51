"""docs/failures.md: the table is the code's, and the example is answered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from graphql import build_schema, parse, validate

from pages import DOCS, ROOT, check_table, fenced
from transfer_gateway.domain.step_failures import EXPLANATIONS

if TYPE_CHECKING:
    import pytest

PAGE = DOCS / "failures.md"


def test_table(pytestconfig: pytest.Config) -> None:
    rows = [
        f"| `{error}` | {step or of_others(error)} | {found.meaning} | {'; '.join(found.check)} |"
        for (error, step), found in EXPLANATIONS.items()
    ]
    check_table(pytestconfig, PAGE, re.compile(r"\| `"), rows)


def of_others(error: str) -> str:
    """The steps that have no explanation of their own."""
    return "any other" if sum(other == error for other, _ in EXPLANATIONS) > 1 else "any"


def test_example() -> None:
    (example,) = fenced(PAGE.read_text(encoding="utf-8"), "graphql")
    assert validate(build_schema((ROOT / "schema.graphql").read_text(encoding="utf-8")), parse(example)) == []
