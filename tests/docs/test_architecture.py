"""docs/architecture.md matches the code."""

from __future__ import annotations

import re

from pages import DOCS, ROOT

GATEWAY = ROOT / "src" / "transfer_gateway"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def test_names_only_what_exists() -> None:
    """Every module and package named on the page exists."""
    named = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)
    assert len(named) > 30
    assert [name for name in named if not ((GATEWAY / name).exists() or (ROOT / name).exists())] == []


def test_places_every_package() -> None:
    """The page names every package, including new ones."""
    packages = {f"{package.parent.name}/" for package in GATEWAY.glob("*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+/)`", PAGE))


def test_is_one_page() -> None:
    assert len(PAGE.splitlines()) <= 90
