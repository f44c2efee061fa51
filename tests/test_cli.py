"""The commands, run as a person runs them: as processes."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from command import run, started
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway.settings import Settings
from wire import JSON, PLAIN, QUERY, calling, place, to_input

if TYPE_CHECKING:
    from pathlib import Path


async def test_demo_prints_a_query_that_works() -> None:
    """The first command: its query with live ids, sent as printed, answers with the whole structure."""
    async with started("demo", "--http-port", "0", until="Ctrl-C") as demo:
        body = re.search(r"^curl .* -d '(.*)'$", demo.printed, re.MULTILINE)
        assert body is not None
        async with calling(demo.url) as gateway:
            answer = (await gateway.send("POST", body=body[1].encode(), headers=JSON)).json()
            found = answer["data"]["executionOrError"]
            assert (found["__typename"], found["status"]) == ("Execution", "IN_PROGRESS")
            assert found["serviceMetadata"]["userDetails"]["userName"]
            assert found["results"]["steps"]

            gone = json.loads(body[1])
            gone["variables"]["key"]["executionId"] = "00000000-0000-4000-8000-000000000000"
            answer = (await gateway.post(gone)).json()
            assert answer["data"]["executionOrError"]["code"] == "EXECUTION_NOT_FOUND"
        code, log = await demo.stop()
        assert code == 0
        assert "Traceback" not in log


async def test_demo_never_meets_real_credentials() -> None:
    """Whatever AWS set-up the user has, the demo uses its own."""
    real = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_SESSION_TOKEN": "real",
    }
    async with (
        started("demo", "--http-port", "0", until="Ctrl-C", **real) as demo,
        calling(demo.url) as gateway,
    ):
        body = re.search(r"^curl .* -d '(.*)'$", demo.printed, re.MULTILINE)
        assert body is not None
        answer = (await gateway.post(json.loads(body[1]))).json()
        assert answer["data"]["executionOrError"]["__typename"] == "Execution"


async def test_serve(aws: Emulator, world: World, accounts_file: Path) -> None:
    """`serve` answers, logs JSON lines without any secret, and ends with 0 on SIGTERM."""
    key = place(world)
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
    }
    async with started("serve", "--http-port", "0", **environment) as serving:
        async with calling(serving.url) as gateway:
            body = {"query": QUERY, "variables": {"key": to_input(key)}}
            answer = (await gateway.post(body, **{"x-request-id": "my-id"})).json()
            assert answer["data"]["executionOrError"]["id"] == str(key)
        code, log = await serving.stop()
    assert code == 0
    events = [json.loads(line) for line in log.splitlines()]
    names = [event["event"] for event in events]
    assert [name for name in names if name != "http_request"] == [
        "serving",
        "role_assumed",
        "shutting_down",
        "stopped",
    ]
    assert [event["request_id"] for event in events if event["event"] == "http_request"] == ["my-id"]
    secrets = [value for entry in vars_of(aws) for value in entry]
    assert [secret for secret in secrets if secret in log] == []


def vars_of(aws: Emulator) -> list[tuple[str, ...]]:
    """Every secret and token that the emulator ever gave out."""
    keys = [*aws.world.keys._keys.values(), *aws.world.keys._sessions.values()]
    assert any(key.token for key in keys)
    return [tuple(value for value in (key.secret, key.token) if value) for key in keys]


async def test_requests_under_way_are_finished(aws: Emulator, world: World, accounts_file: Path) -> None:
    """SIGTERM during a request: it is answered, and only then the process ends, with 0."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=1))
    async with (
        started("serve", "--http-port", "0", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)) as serving,
        calling(serving.url) as gateway,
    ):
        under_way = asyncio.create_task(gateway.look_up(key))
        async with asyncio.timeout(10):
            while not aws.calls.count(operation="DescribeExecution"):
                await asyncio.sleep(0.01)
        code, _ = await serving.stop()
        assert (await under_way)["id"] == str(key)
    assert code == 0


async def test_second_signal_ends_at_once(aws: Emulator, world: World, accounts_file: Path) -> None:
    """A second SIGTERM does not wait for what hangs."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "100",
        "TRANSFER_GATEWAY_AWS_READ_TIMEOUT_S": "100",
        "TRANSFER_GATEWAY_SHUTDOWN_GRACE_S": "100",
    }
    async with (
        started("serve", "--http-port", "0", **environment) as serving,
        calling(serving.url) as gateway,
    ):
        under_way = asyncio.create_task(gateway.look_up(key))
        async with asyncio.timeout(10):
            while not aws.calls.count(operation="DescribeExecution"):
                await asyncio.sleep(0.01)
        serving.signal()
        await asyncio.sleep(0.5)
        assert serving.process.returncode is None
        code, log = await serving.stop()
        await asyncio.wait([under_way])
    if under_way.exception() is None:  # it may still have been answered, though not with the execution
        assert under_way.result()["code"] == "UPSTREAM_UNAVAILABLE"
    assert code == 0
    assert "Traceback" not in log


@pytest.mark.parametrize("command", ["serve", "check-config"])
async def test_wrong_configuration(tmp_path: Path, command: str) -> None:
    """Wrong settings and a wrong accounts file: one line a problem with its place, exit code 2, no trace."""
    code, out, err = await run(
        command, TRANSFER_GATEWAY_HTTP_HOST="0.0.0.0", TRANSFER_GATEWAY_LOG_LEVEL="loud"
    )
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "TRANSFER_GATEWAY_ACCOUNTS_FILE",
        "TRANSFER_GATEWAY_HTTP_HOST",
        "TRANSFER_GATEWAY_LOG_LEVEL",
    ]
    accounts = tmp_path / "a.yaml"
    accounts.write_text('accounts:\n  - { id: "1", regions: [Ireland] }\n')
    code, out, err = await run(command, TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts))
    assert (code, out) == (2, "")
    assert err.count("\n") == 2
    assert err.startswith(f"error: {accounts}:2:7: accounts[0].id: AccountId must match")


async def test_port_taken(accounts_file: Path) -> None:
    """A port that is taken: one clear line and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = await run(
            "serve", "--http-port", str(port), TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
        )
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"error: cannot listen on 127.0.0.1:{port}: Address already in use"
    assert "Traceback" not in err


async def test_check_config(aws: Emulator, world: World, accounts_file: Path) -> None:
    """check-config says ok; with --assume it tries each role, says which fail and why, and exits 1 then."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, _ = await run("check-config", **environment)
    assert (code, out) == (0, f"{accounts_file}: 3 accounts, 2 regions: ok\n")
    assert aws.calls.by_call() == {}

    code, out, _ = await run("check-config", "--assume", **environment)
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [
        [account.account_id, name, "ok"]
        for account, name in zip([*world.accounts(), None], ["payments-prod", "claims", "home"], strict=True)
        if account
    ] + [["999999999999", "home", "ok"]]

    aws.faults.add(Fault(FaultKind.DENY, account_id=PLAIN, operation="AssumeRole"))
    code, out, _ = await run("check-config", "--assume", **environment)
    assert code == 1
    lines = out.splitlines()[1:]
    assert "ROLE_NOT_ASSUMABLE: AccessDenied: User: arn:aws:iam::999999999999" in lines[0]
    assert all(line.endswith("ok") for line in lines[1:])


async def test_version_and_help() -> None:
    """`version` prints one; `--help` lists the commands, and `serve --help` every setting."""
    code, out, _ = await run("version")
    assert code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", out)
    _, out, _ = await run("--help")
    assert all(command in out for command in ("demo", "serve", "check-config", "export-schema", "version"))
    _, out, _ = await run("serve", "--help")
    missing = [name for name in Settings.model_fields if f"TRANSFER_GATEWAY_{name.upper()}" not in out]
    assert missing == []


async def test_export_schema_needs_no_configuration() -> None:
    """The schema can be had anywhere."""
    code, out, _ = await run("export-schema")
    assert code == 0
    assert "type Query" in out


def test_emulator_stays_out_of_the_service() -> None:
    """`serve` never loads the emulator: it is not in memory after importing all that it runs."""
    program = "import sys, transfer_gateway.cli; sys.exit('transfer_emulator' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603  ours
