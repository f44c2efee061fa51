"""docs/security.md names existing tests."""

from __future__ import annotations

import re

from pages import DOCS, ROOT

PAGE = DOCS / "security.md"


def test_protections_have_their_tests() -> None:
    """Each test named on the page exists in the named file, and so does each of its cases."""
    named = re.findall(r"`tests/([\w/]+)\.py(?:::(\w+))?(?:\[([\w-]+)\])?`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 60
    for file, test, case in named:
        source = (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, (file, test)
        assert not case or f'id="{case}"' in source, (file, case)


def test_no_test_is_named_without_its_file() -> None:
    assert re.findall(r"`(?:\w*::|test_|\[)[^`]*`", PAGE.read_text(encoding="utf-8")) == []
