"""README.md: short, and its commands and query work."""

from __future__ import annotations

import json
import re

from graphql import parse, validate

from pages import DOCS, ROOT, fenced, section
from transfer_gateway.api.graphql.schema import build_schema

README = ROOT / "README.md"
MAX_LINES = 200


def test_quick_start_has_two_commands() -> None:
    """Exactly two: the main job, and the tests."""
    assert fenced(section(README, "Quick start"), "sh") == [
        "pip install uv && uv run transfer-gateway demo\n",
        "pip install uv && uv run pytest\n",
    ]


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_the_curl_command_sends_the_query_shown() -> None:
    """The same selection, with placeholder ids; and the response on the page has its structure."""
    text = section(README, "A query and its answer")
    (query,), (command,), (answer,) = fenced(text, "graphql"), fenced(text, "sh"), fenced(text, "json")
    sent = json.loads(re.findall(r"-d '(.*)'", command)[0])["query"]
    assert parse(sent, no_location=True) == parse(query, no_location=True)
    assert validate(build_schema()._schema, parse(query)) == []
    assert json.loads(answer)["data"].keys() == {"inProgressExecutions"}


def test_every_page_is_listed() -> None:
    """Each page is linked with a line about it, so that everything is two clicks away."""
    listed = re.findall(
        r"^\| \[docs/([\w-]+\.md)\]\(docs/\1\) \| \S.* \|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))
