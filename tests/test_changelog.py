"""pyproject.toml has the version; everything else that names it agrees."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENTRY = re.compile(r"^## \[([^\]]+)\](?: - (\S+))?$", re.MULTILINE)


def test_version_has_its_entry() -> None:
    """First unreleased changes, then the current version and older ones, each with its date."""
    entries = ENTRY.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert [name for name, _ in entries[:2]] == ["Unreleased", version("transfer-gateway")]
    days = [date.fromisoformat(day) for _, day in entries[1:]]
    assert days == sorted(days, reverse=True)


def test_one_source_of_the_version() -> None:
    """The package has pyproject.toml's version, and no module repeats it."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert version("transfer-gateway") == told
    for file in (ROOT / "src").rglob("*.py"):
        assert f'"{told}"' not in file.read_text(encoding="utf-8"), file
