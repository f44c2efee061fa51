"""How hints name this program's own commands: as they can be run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from command import COMMAND
from transfer_gateway.cli import own_command as module
from transfer_gateway.cli.own_command import own_command

MAIN = Path(module.__file__).parents[1] / "__main__.py"


@pytest.mark.parametrize(
    ("started", "path", "expected"),
    [
        pytest.param(COMMAND, str(COMMAND.parent), "transfer-gateway", id="found-by-the-shell"),
        pytest.param(COMMAND, "/nowhere", str(COMMAND), id="by-its-path"),
        pytest.param(MAIN, "/nowhere", f"{sys.executable} -m transfer_gateway", id="as-a-module"),
    ],
)
def test_without_uv(monkeypatch: pytest.MonkeyPatch, started: Path, path: str, expected: str) -> None:
    """What a shell with that PATH can run."""
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(sys, "argv", [str(started), "demo"])
    assert own_command() == expected


def test_with_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """`uv run` finds the command in an environment that the shell does not know."""
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert own_command() == "uv run transfer-gateway"
