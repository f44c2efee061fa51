"""The first terminal of docs/emulator.md."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pages import DOCS
from shell import PATIENCE_S, commands, shell
from wire import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def emulator_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The first terminal: a folder with emulator.env in it."""
    for name in ("TRANSFER_GATEWAY_AUTH", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name)
    async with shell(commands(DOCS / "emulator.md", "Start it")[0], tmp_path) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        await until(lambda: (tmp_path / "emulator.env").read_bytes() == line)  # tee writes it to stdout first
        yield tmp_path
