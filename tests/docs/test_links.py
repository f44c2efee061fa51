"""Links in the documentation are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages import DOCS, ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(page for name in ("k8s", "iam", "bench") for page in (ROOT / name).rglob("*.md")),
]
PACKAGE = ROOT / "src" / "transfer_gateway"
FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)")


def prose(page: Path) -> str:
    """Without code blocks, whose brackets are no links and whose comments are no headings."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The headings' anchors, as on GitHub."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to an existing file or directory, and every anchor to a heading."""
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_exist(page: Path) -> None:
    """Every Python path in backticks is a file of the project or the package."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)(?:::\w+(?:\[[\w-]+\])?)?`", prose(page)))
    assert {name for name in named if not any((root / name).exists() for root in (ROOT, PACKAGE))} == set()


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_a_page_begins_with_what_it_covers(page: Path) -> None:
    """A title, then a sentence."""
    title, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert re.match(r"# \w", title)
    assert blank == ""
    assert re.match(r"[A-Z]", first)
