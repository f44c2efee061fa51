"""The demo, started as a user would."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from command import Started, started


@pytest.fixture
async def demo() -> AsyncIterator[Started]:
    async with started("demo", "--http-port", "0", until="Ctrl-C") as demo:
        yield demo


@pytest.fixture
def key(demo: Started) -> dict[str, str]:
    """The execution that the demo prints, in progress for a while."""
    body = re.search(r"^curl .* -d '(.*)'$", demo.printed, re.MULTILINE)
    assert body is not None
    shown: dict[str, Any] = json.loads(body[1])
    found: dict[str, str] = shown["variables"]["key"]
    return found
