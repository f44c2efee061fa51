"""The AWS CLI against the emulator's command, both as processes."""

import asyncio
import errno
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from forked import AWS_CLI, EMULATOR, fork
from transfer_emulator import Emulator, World, demo_world
from transfer_emulator.__main__ import main


async def run_aws(environment: dict[str, str], home: Path, *arguments: str) -> tuple[int, str]:
    """Run the AWS CLI with only `environment`. Returns: exit code and output."""
    process = await fork(
        *arguments,
        command=AWS_CLI,
        environment={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, (out or err).decode()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator with sample data."""
    async with Emulator(demo_world(seed=7, accounts=2, regions=("eu-west-1", "us-east-1"))) as emulator:
        yield emulator


async def test_the_aws_cli_assumes_a_role_and_reads_executions(emulator: Emulator, tmp_path: Path) -> None:
    """Identity, AssumeRole, paged lists, a workflow and an execution."""

    async def aws(*arguments: str, **session: str) -> Any:
        code, told = await run_aws({**emulator.environment(), **session}, tmp_path, *arguments)
        assert code == 0, told
        return json.loads(told)

    assert (await aws("sts", "get-caller-identity"))["Account"] == "999999999999"
    role_arn = emulator.world.accounts()[0].role_arn()
    credentials = (await aws("sts", "assume-role", "--role-arn", role_arn, "--role-session-name", "cli"))[
        "Credentials"
    ]
    session = {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    workflows = (await aws("transfer", "list-workflows", "--page-size", "1", **session))["Workflows"]
    assert len(workflows) == 4
    longest = max(
        (
            row
            for row in emulator.world.running(emulator.clock.now())
            if row[:2] == ("111111111111", "eu-west-1")
        ),
        key=lambda row: row[5],
    )
    workflow_id, execution_id = longest[2:4]
    listed = await aws(
        "transfer", "list-executions", "--workflow-id", workflow_id, "--page-size", "1", **session
    )
    assert execution_id in {execution["ExecutionId"] for execution in listed["Executions"]}
    described = await aws(
        *("transfer", "describe-execution"),
        *("--workflow-id", workflow_id, "--execution-id", execution_id),
        **session,
    )
    assert described["Execution"]["ExecutionId"] == execution_id


async def test_the_aws_cli_shows_awss_errors(emulator: Emulator, tmp_path: Path) -> None:
    """The CLI reports a denial as from AWS."""
    role_arn = "arn:aws:iam::111111111111:role/NoSuchRole"
    arguments = ("sts", "assume-role", "--role-arn", role_arn, "--role-session-name", "cli")
    code, told = await run_aws(emulator.environment(), tmp_path, *arguments)
    assert code != 0
    assert "An error occurred (AccessDenied) when calling the AssumeRole operation" in told


async def check_that_a_reset_is_one(url: str) -> None:
    """The process runs under uvloop, whose sockets are not Python's: the fault must reset those too."""
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/_emulator/faults", json={"kind": "reset"}) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientOSError) as failure:
            await http.post("/", data=b"")
    assert failure.value.errno == errno.ECONNRESET


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_emulators_command_runs_until_a_signal(number: signal.Signals) -> None:
    """`transfer-emulator` prints one line of shell, serves requests, and exits with 0 on Ctrl-C or SIGTERM."""
    process = await fork(
        *("--accounts", "1", "--regions", "eu-central-1", "--session-lifetime-s", "0.5"),
        command=EMULATOR,
        environment=dict(os.environ),
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        await check_that_a_reset_is_one(line.rpartition(" ")[2].strip())
    finally:
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")
    assert line.startswith("export AWS_ENDPOINT_URL_TRANSFER=http://127.0.0.1:")
    assert "AWS_REGION=eu-central-1" in line


async def refused(*arguments: str) -> tuple[int | None, str]:
    """Run the emulator's command until it exits. Returns: exit code and the last line of stderr."""
    process = await fork(*arguments, command=EMULATOR, environment=dict(os.environ))
    out, err = await asyncio.wait_for(process.communicate(), 100)
    assert out == b""
    assert b"Traceback" not in err
    return process.returncode, err.decode().splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "70000"),
        ("--port", "http"),
        ("--accounts", "-1"),
        ("--regions", ""),
        ("--regions", "eu-west-1,nope"),
        ("--session-lifetime-s", "-5"),
        ("--session-lifetime-s", "nan"),
    ],
)
def test_invalid_arguments(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the invalid value and the valid range; exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main([f"{option}={value}"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith(f"transfer-emulator: error: argument {option}: ")


async def test_port_taken() -> None:
    """One line, exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert await refused("--port", str(port)) == (
            1,
            f"error: cannot listen on 127.0.0.1:{port}: address already in use",
        )


async def test_the_environment_is_all_that_a_client_needs(world: World) -> None:
    """Endpoint of both services, the home account's key and a region; a long-lived key has no token."""
    async with Emulator(world) as emulator:
        environment = emulator.environment()
    assert environment["AWS_ENDPOINT_URL_TRANSFER"] == environment["AWS_ENDPOINT_URL_STS"] == emulator.url
    assert environment["AWS_ACCESS_KEY_ID"].startswith("AKIA")
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert "AWS_SESSION_TOKEN" not in environment
