"""Runs Node programs to their end. `.ci/run clients` installs what they need."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from pathlib import Path

NODE = Path(__file__).parents[1] / ".ci/node"
BIN = NODE / "node_modules/.bin"
TYPESCRIPT = NODE / "typescript"


async def output(*command: str | Path, cwd: Path | None = None) -> tuple[int | None, str]:
    """Exit code, and stdout, or stderr if stdout is empty."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 100)
    return process.returncode, (out or err).decode()
