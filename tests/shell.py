"""Shell commands of the documentation, run as written."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from command import COMMAND
from pages import fenced, section

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE_S = 100


def commands(page: Path, title: str) -> list[str]:
    """A section's blocks of shell commands, without `uv run`: the test is in its environment already."""
    return [block.replace("uv run ", "") for block in fenced(section(page, title), "sh")]


@asynccontextmanager
async def shell(script: str, folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run it in a process group of its own, which is ended at the end."""
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", script),
        cwd=folder,
        env=os.environ | {"PATH": path} | environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGTERM)
            await process.communicate()


async def to_end(script: str, folder: Path) -> tuple[int | None, str, str]:
    async with shell(script, folder) as process:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, out.decode(), err.decode()
