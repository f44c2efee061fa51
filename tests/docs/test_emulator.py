"""docs/emulator.md: its commands work as written."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command import COMMAND
from pages import DOCS, fenced, section
from wire import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = DOCS / "emulator.md"
PATIENCE_S = 100


def commands(title: str) -> str:
    """A section's shell commands, without `uv run`: the test runs in its environment already."""
    (block,) = fenced(section(PAGE, title), "sh")
    return block.replace("uv run ", "")


@asynccontextmanager
async def shell(script: str, folder: Path, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run it in its own process group, which is ended afterwards."""
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


@pytest.fixture
async def emulator_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The first terminal: a directory with emulator.env."""
    for name in ("TRANSFER_GATEWAY_AUTH", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name)
    async with shell(commands("Start it"), tmp_path) as process:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
        await until(lambda: (tmp_path / "emulator.env").read_bytes() == line)  # tee writes it to stdout first
        yield tmp_path


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_gateway_runs_against_it(emulator_env: Path) -> None:
    """The second terminal: the gateway serves the emulator's accounts. Here on free ports, and it exits at once."""
    script = commands("Run the gateway against it")
    here = {f"TRANSFER_GATEWAY_{name}": "0" for name in ("HTTP_PORT", "GRPC_PORT", "SHUTDOWN_DELAY_S")}
    async with shell(script, emulator_env, **here) as process:
        assert process.stderr is not None
        while line := await asyncio.wait_for(process.stderr.readline(), PATIENCE_S):
            if (entry := json.loads(line))["event"] == "serving":
                break
        assert (entry["event"], entry["accounts"], entry["auth"]) == ("serving", 3, "none")


async def test_the_aws_cli_describes_an_execution(emulator_env: Path) -> None:
    """The third terminal. An execution may end between two commands: then, as the page says, repeat them."""
    for _ in range(3):
        code, out, err = await to_end(commands("Use the AWS CLI"), emulator_env)
        if "ResourceNotFoundException" not in err:
            break
    assert code == 0, err
    assert json.loads(out)["Execution"]["ServiceMetadata"]["UserDetails"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_a_fault_is_added(emulator_env: Path) -> None:
    code, out, err = await to_end(commands("Inspect and control it"), emulator_env)
    assert (code, json.loads(out)) == (0, {"id": 1}), err
