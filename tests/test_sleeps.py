"""No test sleeps for luck: it waits for a condition, on a driven clock, or says why it sleeps."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVEN = {"driven_time", "fast_time", "made_up_time"}


def sleeps(node: ast.AST) -> Iterator[ast.Call]:
    """Calls of `sleep`, but for `sleep(0)`, and those of functions and modules on a driven clock."""
    if isinstance(node, ast.Module):
        marks = [each.value for each in node.body if isinstance(each, ast.Assign)]
    else:
        marks = getattr(node, "decorator_list", [])
    if DRIVEN & {each.attr for mark in marks for each in ast.walk(mark) if isinstance(each, ast.Attribute)}:
        return
    match node:
        case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=[argument]) if (
            ast.unparse(argument) != "0"
        ):
            yield node
    for child in ast.iter_child_nodes(node):
        yield from sleeps(child)


def test_every_sleep_has_its_reason() -> None:
    """In a comment on its line. To wait for something, there are `until` and `becomes` (tests/wire.py)."""
    without = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        without += [
            f"{path}:{each.lineno}"
            for each in (sleeps(ast.parse(source)) if "sleep" in source else ())
            if "  # " not in lines[each.lineno - 1]
        ]
    assert without == []
