"""docs/emulator.md: its commands work as written."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from pages import DOCS, check_table
from shell import PATIENCE_S, commands, shell, to_end
from transfer_emulator.faults import MEANINGS, FaultKind

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "emulator.md"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_the_gateway_runs_against_it(emulator_env: Path) -> None:
    """The second terminal: the gateway serves the emulator's accounts. Here on free ports, and it exits at once."""
    script = commands(PAGE, "Run the gateway against it")[0]
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
        code, out, err = await to_end(commands(PAGE, "Use the AWS CLI")[0], emulator_env)
        if "ResourceNotFoundException" not in err:
            break
    assert code == 0, err
    assert json.loads(out)["Execution"]["ServiceMetadata"]["UserDetails"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_a_fault_is_added(emulator_env: Path) -> None:
    code, out, err = await to_end(commands(PAGE, "Inspect and control it")[0], emulator_env)
    assert (code, json.loads(out)) == (0, {"id": 1}), err


def test_faults_table(pytestconfig: pytest.Config) -> None:
    """Every kind of fault, with its meaning."""
    rows = [f"| `{kind}` | {MEANINGS[kind]} |" for kind in FaultKind]
    check_table(pytestconfig, PAGE, re.compile(r"\| `[a-z0-9_]+` \|"), rows)
