"""The commands as a user runs them: as processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from command import run, started
from issuer import AUDIENCE, LocalIssuer, SigningKey
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway.settings import Settings
from wire import JSON, QUERY, becomes, calling, place, to_input, until

if TYPE_CHECKING:
    from pathlib import Path


async def test_demo_prints_a_query_that_works() -> None:
    """The first command: the query that it prints has live ids, and sent as printed it returns the whole structure."""
    settings = {
        "TRANSFER_GATEWAY_HISTORY_URL": "sqlite://",  # as without the tests' settings
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "60",  # on a busy machine it takes its time to read a day's logs
        "UV_RUN_RECURSION_DEPTH": "1",  # as by `uv run`
    }
    async with started("demo", "--http-port", "0", until="Ctrl-C", **settings) as demo:
        body = re.search(r"^curl .* -d '(.*)'$", demo.printed, re.MULTILINE)
        assert body is not None
        assert f"\n  Page     {demo.url}/executions " in demo.printed
        assert f"\nuv run transfer-gateway search claims --url {demo.url}\n" in demo.printed
        async with calling(demo.url) as gateway:
            answer = (await gateway.send("POST", body=body[1].encode(), headers=JSON)).json()
            found = answer["data"]["executionOrError"]
            assert (found["__typename"], found["status"]) == ("Execution", "IN_PROGRESS")
            assert found["serviceMetadata"]["userDetails"]["userName"]
            assert found["results"]["steps"]

            async def recorded_by() -> list[str]:
                answer = (await gateway.send("POST", body=body[1].encode(), headers=JSON)).json()
                return list(answer["data"]["executionOrError"]["recordedBy"])

            await becomes(recorded_by, ["AWS", "LOG"])  # so it will be known after its end
            gone = json.loads(body[1])
            gone["variables"]["key"]["executionId"] = "00000000-0000-4000-8000-000000000000"
            answer = (await gateway.post(gone)).json()
            assert answer["data"]["executionOrError"]["code"] == "EXECUTION_NOT_FOUND"
        code, log = await demo.stop()
        assert code == 0
        assert "Traceback" not in log


async def test_demo_never_meets_real_credentials() -> None:
    """Whatever AWS configuration or proxy the user has, the demo ignores it."""
    real = {
        "HTTP_PROXY": "http://127.0.0.1:1",
        "NO_PROXY": "internal.example",
        "no_proxy": "",
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
    """`serve` responds, logs JSON lines without secrets, and exits with 0 on SIGTERM."""
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
    assert [name for name in names if name not in {"http_request", "aws_call"}] == [
        "authentication_disabled",
        "serving",
        "role_assumed",
        "lookup",
        "shutting_down",
        "stopped",
    ]
    assert events[-1]["tasks_left"] == []
    assert [event["request_id"] for event in events if event["event"] == "http_request"] == ["my-id"]
    secrets = [value for entry in vars_of(aws) for value in entry]
    assert [secret for secret in secrets if secret in log] == []


async def test_no_secret_in_the_log(aws: Emulator, world: World, accounts_file: Path, tmp_path: Path) -> None:
    """With authentication: no token, valid or not, is in the log, even at level debug."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{ callers: { subjects: [alice] }, accounts: { all: true } }]")
    async with LocalIssuer(time.time, SigningKey("one")) as issuer:
        environment = {
            "TRANSFER_GATEWAY_AUTH": "oidc",
            "TRANSFER_GATEWAY_OIDC_ISSUERS": issuer.url,
            "TRANSFER_GATEWAY_OIDC_AUDIENCES": AUDIENCE,
            "TRANSFER_GATEWAY_POLICY_FILE": str(policy),
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
            "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
            "TRANSFER_GATEWAY_ROLE_SOURCE_IDENTITY": "transfer-gateway",
            "TRANSFER_GATEWAY_ROLE_SESSION_TAGS": "team=files,stage=prod",
        }
        tokens = [issuer.token(), issuer.token(exp=1, nbf=..., iat=...), issuer.token(key=SigningKey("one"))]
        async with started("serve", "--http-port", "0", **environment) as serving:
            statuses = []
            for token in tokens:
                async with calling(serving.url, token) as gateway:
                    answer = await gateway.post(
                        {"query": QUERY, "variables": {"key": to_input(place(world))}}
                    )
                    statuses.append(answer.status)
            code, log = await serving.stop()
    assert (code, statuses) == (0, [200, 401, 401])
    (lookup,) = [event for event in map(json.loads, log.splitlines()) if event["event"] == "lookup"]
    assert (lookup["caller"], lookup["outcome"]) == ("alice", "OK")
    secrets = [value for entry in vars_of(aws) for value in entry]
    secrets += [part for token in tokens for part in token.split(".")]
    assert [secret for secret in secrets if secret in log] == []


def vars_of(aws: Emulator) -> list[tuple[str, ...]]:
    """Every secret and token that the emulator has issued."""
    keys = [*aws.world.keys._keys.values(), *aws.world.keys._sessions.values()]
    assert any(key.token for key in keys)
    return [tuple(value for value in (key.secret, key.token) if value) for key in keys]


async def test_requests_under_way_are_finished(aws: Emulator, world: World, accounts_file: Path) -> None:
    """SIGTERM during a request: it is answered, then the process exits with 0."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=1))
    async with (
        started("serve", "--http-port", "0", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)) as serving,
        calling(serving.url) as gateway,
    ):
        under_way = asyncio.create_task(gateway.look_up(key))
        await until(lambda: aws.calls.count(operation="DescribeExecution"))
        code, _ = await serving.stop()
        assert (await under_way)["id"] == str(key)
    assert code == 0


@pytest.mark.parametrize(
    ("grace_s", "signals"),
    [
        pytest.param("0", 1, id="no-grace"),
        pytest.param("1", 1, id="grace-over"),
        pytest.param("100", 2, id="second-signal"),
    ],
)
@pytest.mark.variants(keep=1)
async def test_what_hangs_is_cut_off(
    aws: Emulator, world: World, accounts_file: Path, grace_s: str, signals: int
) -> None:
    """After the grace period, or a second SIGTERM, a hanging request gets 503 and a log line; exit code 0."""
    request = {"query": QUERY, "variables": {"key": to_input(place(world))}}
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "100",
        "TRANSFER_GATEWAY_AWS_READ_TIMEOUT_S": "100",
        "TRANSFER_GATEWAY_SHUTDOWN_GRACE_S": grace_s,
    }
    async with (
        started("serve", "--http-port", "0", **environment) as serving,
        calling(serving.url) as gateway,
    ):
        under_way = asyncio.create_task(gateway.post(request))
        await until(lambda: aws.calls.count(operation="DescribeExecution"))
        if signals == 2:
            serving.signal()
            await asyncio.sleep(0.5)  # in which one signal alone must not end it
            assert serving.process.returncode is None
        async with asyncio.timeout(50):  # and not the 100 s that the request has
            code, log = await serving.stop()
        answer = await under_way
    assert (code, answer.status) == (0, 503)
    assert answer.json()["errors"][0]["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events if event["event"] not in {"role_assumed", "slow_request"}] == [
        "authentication_disabled",
        "serving",
        "shutting_down",
        "lookup",  # of the audit: CANCELLED
        "http_request",
        "stopped",
    ]
    assert [event["status"] for event in events if event["event"] == "http_request"] == [503]


@pytest.mark.parametrize("command", ["serve", "check-config"])
async def test_wrong_configuration(tmp_path: Path, command: str) -> None:
    """Invalid settings and accounts file: one line per problem with its location, exit code 2, no traceback."""
    code, out, err = await run(
        command, TRANSFER_GATEWAY_HTTP_HOST="0.0.0.0", TRANSFER_GATEWAY_LOG_LEVEL="loud"
    )
    assert (code, out) == (2, "")
    assert [line.split(":")[1].strip() for line in err.splitlines() if line.startswith("error: ")] == [
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


@pytest.mark.parametrize("command", ["serve", "check-config"])
async def test_first_start(tmp_path: Path, command: str) -> None:
    """Starting without settings, or without the files they name, gives hints."""
    example = "hint: docs/accounts.md has an example of an accounts file; `transfer-gateway demo` needs none"
    without_tokens = (
        "hint: to try it on this machine without tokens, set TRANSFER_GATEWAY_AUTH=none; "
        "to try it without AWS too, run `transfer-gateway demo`"
    )
    code, out, err = await run(command, TRANSFER_GATEWAY_AUTH="")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: TRANSFER_GATEWAY_ACCOUNTS_FILE: is required",
        "error: TRANSFER_GATEWAY_OIDC_ISSUERS: is required with auth `oidc`",
        "error: TRANSFER_GATEWAY_OIDC_AUDIENCES: is required with auth `oidc`",
        "error: TRANSFER_GATEWAY_POLICY_FILE: is required with auth `oidc`",
        example,
        without_tokens,
    ]
    accounts = tmp_path / "accounts.yaml"
    code, out, err = await run(command, TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts))
    assert (code, out) == (2, "")
    assert err.splitlines() == [f"error: {accounts}: cannot be read: No such file or directory", example]


async def test_port_taken(accounts_file: Path) -> None:
    """A port in use: one clear line and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = await run(
            "serve", "--http-port", str(port), TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
        )
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use; choose another port"
    )
    assert "Traceback" not in err


async def test_misspelt_settings(accounts_file: Path) -> None:
    """A variable that resembles a setting is reported; Kubernetes's variables for a Service of that name are not."""
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_POLCY": "/policy.yaml",
        "TRANSFER_GATEWAY_REQUEST_TIMOUT_S": "3",
        "TRANSFER_GATEWAY_SERVICE_HOST": "10.0.0.1",
        "TRANSFER_GATEWAY_PORT": "tcp://10.0.0.1:80",
        "TRANSFER_GATEWAY_PORT_80_TCP_PROTO": "tcp",
    }
    code, _, err = await run("check-config", **environment)
    misspelt = {
        "TRANSFER_GATEWAY_POLCY": "TRANSFER_GATEWAY_POLICY_FILE",
        "TRANSFER_GATEWAY_REQUEST_TIMOUT_S": "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S",
    }
    assert code == 0
    assert err.splitlines() == [
        f"warning: {name} is not a setting and has no effect; did you mean {meant}?"
        for name, meant in misspelt.items()
    ]
    async with started("serve", "--http-port", "0", **environment) as serving:
        _, log = await serving.stop()
    told = [event for event in map(json.loads, log.splitlines()) if event["event"] == "unknown_setting"]
    assert {event["name"]: event["nearest"] for event in told} == misspelt


@pytest.mark.parametrize("port", ["http", "70000"])
async def test_wrong_usage(port: str) -> None:
    """An error that names the option and the rule, with the exit code for wrong usage."""
    code, out, err = await run("serve", f"--grpc-port={port}")
    assert (code, out) == (2, "")
    assert f"argument --grpc-port: must be a port, 0 to 65535; got {port!r}" in err


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
    """The schema is printed without any configuration."""
    code, out, _ = await run("export-schema")
    assert code == 0
    assert "type Query" in out


SERVING = """
import asyncio, sys
from transfer_gateway import cli, server
from transfer_gateway.settings import Settings

async def serve():
    settings = Settings.from_environment(http_port=0, grpc_port=0, shutdown_delay_s=0)
    async with server.running(settings):
        print(*sys.modules)

asyncio.run(serve())
"""


GRPC = {"grpc", "google.protobuf", "transfer_api", "transfer_gateway.api.rpc"}


@pytest.mark.parametrize(
    ("grpc", "needed", "not_needed"),
    [("true", GRPC, set[str]()), ("false", set[str](), GRPC)],
    ids=["both-doors", "graphql-only"],
)
@pytest.mark.thorough
def test_what_stays_out_of_the_service(
    accounts_file: Path, grpc: str, needed: set[str], not_needed: set[str]
) -> None:
    """Features that are not configured, and the emulator, are not loaded: together they would take about 40 MB."""
    environment = os.environ | {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_GRPC": grpc,
    }
    loaded = subprocess.run(  # noqa: S603  ours
        [sys.executable, "-c", SERVING], env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    assert needed.issubset(loaded)
    unwanted = not_needed | {
        "cryptography",
        "jwt",
        "opentelemetry.sdk",
        "pygments",
        "rich",
        "transfer_emulator",
        "transfer_gateway.auth",
    }
    assert unwanted.isdisjoint(loaded)


@pytest.mark.usefixtures("aws")
async def test_grpc_door_stays_closed(world: World, accounts_file: Path) -> None:
    """If gRPC is disabled, its port may be in use by others, and everything else works as usual."""
    key = place(world)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environment = {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
            "TRANSFER_GATEWAY_GRPC": "false",
            "TRANSFER_GATEWAY_GRPC_PORT": str(taken.getsockname()[1]),
        }
        async with started("serve", "--http-port", "0", until="GraphQL", **environment) as serving:
            async with calling(serving.url) as gateway:
                assert (await gateway.send("GET", "/readyz")).status == 200
                assert (await gateway.look_up(key))["id"] == str(key)
            code, log = await serving.stop()
    assert (code, serving.printed) == (0, f"GraphQL: {serving.url}/graphql\n")
    *_, last = map(json.loads, log.splitlines())
    assert (last["event"], last["tasks_left"]) == ("stopped", [])
