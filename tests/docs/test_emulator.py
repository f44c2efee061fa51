"""docs/emulator.md: its commands work as written."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pages import DOCS, check_table, fenced, section
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


@pytest.mark.thorough
async def test_the_aws_cli_describes_an_execution(emulator_env: Path) -> None:
    """The third terminal. An execution may end between two commands: then, as the page says, repeat them."""
    for _ in range(3):
        code, out, err = await to_end(commands(PAGE, "Use the AWS CLI")[0], emulator_env)
        if "ResourceNotFoundException" not in err:
            break
    assert code == 0, err
    assert json.loads(out)["Execution"]["ServiceMetadata"]["UserDetails"]


@pytest.mark.thorough
async def test_the_aws_cli_reads_the_log(emulator_env: Path) -> None:
    """In the terminal of the section before: the last ten minutes have executions that ended."""
    script = (
        commands(PAGE, "Use the AWS CLI")[0].partition("EXECUTION=")[0] + commands(PAGE, "Read the logs")[0]
    )
    code, out, err = await to_end(script, emulator_env)
    assert code == 0, err
    kinds = {json.loads(line.partition("\t")[2])["type"] for line in out.splitlines()}
    assert {"ExecutionStarted", "ExecutionCompleted", "ExecutionErrored"} <= kinds


async def test_the_example_of_a_test_passes() -> None:
    """As written on the page."""
    (block,) = fenced(section(PAGE, "Use it in tests"), "python")
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - the page's own code
    await names["test_an_execution"]()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_a_fault_is_added(emulator_env: Path) -> None:
    code, out, err = await to_end(commands(PAGE, "Inspect and control it")[0], emulator_env)
    assert (code, json.loads(out)) == (0, {"id": 1}), err


def test_faults_table(pytestconfig: pytest.Config) -> None:
    """Every kind of fault, with its meaning."""
    rows = [f"| `{kind}` | {MEANINGS[kind]} |" for kind in FaultKind]
    check_table(pytestconfig, PAGE, re.compile(r"\| `[a-z0-9_]+` \|"), rows)
