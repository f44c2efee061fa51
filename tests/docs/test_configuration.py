"""docs/configuration.md lists every setting and command."""

from __future__ import annotations

import re

import pytest

from command import run
from pages import DOCS, check_table, section
from transfer_gateway.settings import ENV_PREFIX, Settings, shown_default

PAGE = DOCS / "configuration.md"


def test_settings_table(pytestconfig: pytest.Config) -> None:
    """Every setting, with its default and its meaning."""
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` "
        f"| {'required' if field.is_required() else f'`{shown_default(field)}`' if shown_default(field) else ''} "
        f"| {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    check_table(pytestconfig, PAGE, re.compile(rf"\| `{ENV_PREFIX}"), rows)


async def test_commands() -> None:
    """The commands of `transfer-gateway --help`."""
    _, out, _ = await run("--help")
    commands = re.findall(r"^    (\w[\w-]*)(?:  |$)", out, re.MULTILINE)
    assert commands
    listed = re.findall(r"^\| `transfer-gateway ([\w-]+)` \|", section(PAGE, "Commands"), re.MULTILINE)
    assert sorted(listed) == sorted(commands)


def test_settings_named_on_other_pages() -> None:
    """Every setting named in full on a page exists."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for page in sorted(DOCS.rglob("*.md")):
        named = set(re.findall(rf"{ENV_PREFIX}[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
        assert named <= known, page.name
