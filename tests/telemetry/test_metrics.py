"""/metrics of a running service, parsed as Prometheus does, compared with the actual requests and AWS calls."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client import exposition as text
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from doors import RpcDoor, rpc
from issuer import AUDIENCE, LocalIssuer, SigningKey
from pages import DOCS, check_table
from transfer_emulator import Emulator, Fault, FaultKind
from transfer_gateway import server
from transfer_gateway.telemetry import AwsCalls
from transfer_gateway.telemetry.metrics import Durations
from transfer_gateway.telemetry.worker_metrics import WorkersUp
from wire import GUARDED, HOME, PLAIN, REGION, Gateway, becomes, calling, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from prometheus_client.core import Metric

    from transfer_emulator import World
    from transfer_gateway.settings import Settings

BUCKETS_S = (0.0005, 0.001, 0.25, 1.0, 10.0)
LOOK_UP = "query Anything($key: ExecutionKey!) { executionOrError(key: $key) { __typename } }"


async def scrape(gateway: Gateway) -> dict[str, Metric]:
    """Every metric by its Prometheus name."""
    answer = await gateway.send("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in parse(answer.body.decode())}


async def values(gateway: Gateway, name: str, *labels: str, suffix: str = "") -> dict[tuple[str, ...], float]:
    """A metric's values by these labels."""
    family = (await scrape(gateway))[f"transfer_gateway_{name}"]
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for sample in family.samples
        if sample.name == f"transfer_gateway_{name}{suffix}"
    }


async def requests(gateway: Gateway) -> dict[tuple[str, ...], float]:
    return await values(gateway, "request_duration_seconds", "door", "operation", "code", suffix="_count")


async def aws_calls(gateway: Gateway) -> dict[tuple[str, ...], float]:
    return await values(gateway, "aws_calls", "operation", "account", "region", "code", suffix="_total")


async def test_counts_are_those_of_the_calls_made(gateway: Gateway, aws: Emulator, world: World) -> None:
    """AWS calls by operation, account, region and code: as many as AWS received."""
    keys = [place(world, PLAIN), place(world, PLAIN), place(world, GUARDED, "us-east-1"), place(world, HOME)]
    for key in keys:
        await gateway.look_up(key)
    workflow_only = to_input(keys[0]) | {"executionId": "00000000-0000-4000-8000-000000000000"}
    await gateway.ask(LOOK_UP, key=workflow_only)
    counted = await aws_calls(gateway)
    assert counted == {
        ("sts:AssumeRole", PLAIN, REGION, "OK"): 1,
        ("sts:AssumeRole", GUARDED, REGION, "OK"): 1,
        ("transfer:DescribeExecution", PLAIN, REGION, "OK"): 2,
        ("transfer:DescribeExecution", PLAIN, REGION, "EXECUTION_NOT_FOUND"): 1,
        ("transfer:DescribeExecution", GUARDED, "us-east-1", "OK"): 1,
        ("transfer:DescribeExecution", HOME, REGION, "OK"): 1,
    }
    assert sum(counted.values()) == aws.calls.count()
    durations = await values(
        gateway, "aws_call_duration_seconds", "operation", "region", "code", suffix="_count"
    )
    assert durations["transfer:DescribeExecution", REGION, "OK"] == 3
    seconds = await values(gateway, "aws_call_seconds", "operation", "account", "region", suffix="_total")
    assert seconds["sts:AssumeRole", PLAIN, REGION] > 0


async def test_requests_at_both_doors(service: server.Service, gateway: Gateway, world: World) -> None:
    """Requests by server, operation and code, which are the same at both; WebSocket operations count as GraphQL."""
    key, unknown = to_input(place(world)), to_input(place(world)) | {"accountId": "123123123123"}
    plain = "query($key: ExecutionKey!) { execution(key: $key) { id } }"
    await gateway.ask(LOOK_UP, key=key)
    await gateway.ask(plain, key=unknown)
    async with rpc(service) as stub, socket(service.url) as connection:
        await RpcDoor(stub).get(key)
        await RpcDoor(stub).get(unknown)
        await connection.subscribe("1", plain, key=unknown)
        await connection.next()
    assert await requests(gateway) == {
        ("graphql", "executionOrError", "OK"): 1,
        ("graphql", "execution", "ACCOUNT_NOT_AVAILABLE"): 2,
        ("grpc", "GetExecution", "OK"): 1,
        ("grpc", "GetExecution", "ACCOUNT_NOT_AVAILABLE"): 1,
    }
    failures = await values(gateway, "failures", "door", "code", suffix="_total")
    assert {of: count for of, count in failures.items() if count} == {
        ("graphql", "ACCOUNT_NOT_AVAILABLE"): 2,
        ("grpc", "ACCOUNT_NOT_AVAILABLE"): 1,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("query Caller_chose_this { accounts { id } }", ("accounts", "OK"), id="named"),
        pytest.param("{ alias: accounts { id } }", ("accounts", "OK"), id="alias"),
        pytest.param("{ accounts { id } a: accounts { id } }", ("several", "OK"), id="several"),
        pytest.param("{ ...f } fragment f on Query { accounts { id } }", ("several", "OK"), id="fragment"),
        pytest.param("{ __typename }", ("__typename", "OK"), id="introspection"),
        pytest.param("{ nothing }", ("none", "GRAPHQL_VALIDATION_FAILED"), id="invalid"),
        pytest.param("{", ("none", "GRAPHQL_PARSE_FAILED"), id="no-document"),
        pytest.param("", ("none", "BAD_USER_INPUT"), id="no-query"),
    ],
)
async def test_operations_are_the_schemas(gateway: Gateway, query: str, expected: tuple[str, str]) -> None:
    """A GraphQL request is counted by its field of Query; no text from callers becomes a label."""
    await gateway.ask(query)
    assert await requests(gateway) == {("graphql", *expected): 1}


async def test_snapshots(gateway: Gateway, world: World, aws: Emulator) -> None:
    """Of 20 concurrent lookups one is a miss and 19 join it; a later one is a hit."""
    key = place(world)
    await asyncio.gather(*(gateway.look_up(key, max_age=0) for _ in range(20)))
    assert aws.calls.count(operation="DescribeExecution") == 1
    await gateway.look_up(key, max_age=60)
    found = await values(gateway, "snapshot_lookups", "kind", "outcome", suffix="_total")
    assert [found["execution", outcome] for outcome in ("missed", "joined", "hit")] == [1, 19, 1]
    assert (await values(gateway, "snapshots", "kind"))["execution",] == 1


async def test_sessions(gateway: Gateway, world: World) -> None:
    """When each role's session was assumed and when it expires."""
    await gateway.look_up(place(world))
    began = await values(gateway, "session_assumed_timestamp_seconds", "account", "role")
    expires = await values(gateway, "session_expiry_timestamp_seconds", "account", "role")
    (of,) = began
    assert of == (PLAIN, "TransferGatewayReader")
    assert expires[of] - began[of] == pytest.approx(3600, abs=5)


async def test_accounts_that_leave(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """With an account, its series are removed; reloads and rejected versions of the file are counted."""
    keys = [place(world, PLAIN), place(world, HOME)]
    async with server.running(settings(accounts_reload_s=0.1)) as service, calling(service.url) as gateway:
        for key in keys:
            await gateway.look_up(key)
        accounts_file.write_text(f'accounts: [{{ id: "{HOME}", regions: [{REGION}], role_arn: null }}]')
        await becomes(lambda: values(gateway, "accounts"), {(): 1})
        assert {of[1] for of in await aws_calls(gateway)} == {HOME}
        assert await values(gateway, "session_expiry_timestamp_seconds", "account") == {}
        accounts_file.write_text("accounts: [")
        await becomes(lambda: values(gateway, "config_last_reload_successful", "file"), {("accounts",): 0})
        reloads = await values(gateway, "config_reloads", "file", "outcome", suffix="_total")
        assert reloads == {("accounts", "ok"): 1, ("accounts", "refused"): 1}


async def test_breaker_and_refusals(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A target that keeps failing has an open breaker, and its retries and failed calls are counted; others not."""
    aws.faults.add(Fault(FaultKind.SERVER_ERROR, account_id=PLAIN, operation="DescribeExecution"))
    for _ in range(3):
        await gateway.look_up(place(world, PLAIN))
    await gateway.look_up(place(world, HOME))
    assert await values(gateway, "breaker_open", "account", "region") == {(PLAIN, REGION): 1}
    assert await values(gateway, "breaker_openings", "account", suffix="_total") == {(PLAIN,): 1}
    calls = await aws_calls(gateway)
    failed = [calls[of] for of in calls if of[0] == "transfer:DescribeExecution" and of[3] != "OK"]
    assert sum(failed) >= 5


async def test_openmetrics(gateway: Gateway, world: World) -> None:
    """Clients that accept OpenMetrics get it, well-formed."""
    await gateway.look_up(place(world))
    answer = await gateway.send(
        "GET", "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert len(list(parse_openmetrics(answer.body.decode()))) > 20  # type: ignore[no-untyped-call]  # it publishes no types


@pytest.fixture
async def guarded(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[tuple[server.Service, LocalIssuer]]:
    """A service with authentication, and with a history."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{ callers: { subjects: [alice] }, accounts: { all: true } }]")
    async with LocalIssuer(time.time, SigningKey("one")) as issuer:
        oidc = {"auth": "oidc", "oidc_issuers": issuer.url, "oidc_audiences": AUDIENCE, "policy_file": policy}
        async with server.running(settings(history_url="sqlite://", **oidc)) as service:
            yield service, issuer


async def test_tokens(guarded: tuple[server.Service, LocalIssuer], world: World) -> None:
    """Tokens by result; /metrics itself needs none."""
    service, issuer = guarded
    for token in (issuer.token(), issuer.token(), "nonsense", None):
        async with calling(service.url, token) as gateway:
            await gateway.ask(LOOK_UP, key=to_input(place(world)))
    async with calling(service.url) as gateway:
        tokens = await values(gateway, "tokens", "outcome", suffix="_total")
        keys = await values(gateway, "issuer_keys_fetched_timestamp_seconds", "issuer")
        failed = (await requests(gateway))["graphql", "none", "UNAUTHENTICATED"]
    assert (tokens, failed) == ({("good",): 2, ("refused",): 1, ("missing",): 1}, 2)
    assert keys[issuer.url,] == pytest.approx(time.time(), abs=60)


async def test_table_of_metrics(
    guarded: tuple[server.Service, LocalIssuer], world: World, pytestconfig: pytest.Config
) -> None:
    """docs/telemetry.md has exactly our metrics, with labels and meaning."""
    service, issuer = guarded
    async with calling(service.url, issuer.token()) as gateway:
        await gateway.look_up(place(world))
        found = await scrape(gateway)
    page, row = DOCS / "telemetry.md", re.compile(r"\| `(transfer_gateway_\w+)` \| \w+ \| (.*?) \|")
    lines = page.read_text(encoding="utf-8").splitlines()
    shown = {match[1]: match[2] for line in lines if (match := row.match(line))}
    families = {
        family.name + "_total" * (family.type == "counter"): family
        for family in (*found.values(), *WorkersUp({("1",): 1.0}).collect())
        if not family.name.startswith("process_")
    }
    rows = {
        name: f"| `{name}` | {family.type} | {labels(family, shown.get(name, ''))} | {family.documentation} |"
        for name, family in families.items()
    }
    order = [name for name in shown if name in rows] + [name for name in rows if name not in shown]
    check_table(pytestconfig, page, row, [rows[name] for name in order])


def labels(family: Metric, shown: str) -> str:
    """A metric's labels for the table: those in the table, unless its samples have others."""
    names = {label for sample in family.samples for label in sample.labels} - {"le"}
    right = not family.samples or names == set(re.findall(r"`(\w+)`", shown))
    return shown if right else ", ".join(f"`{name}`" for name in sorted(names))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 12) | st.sampled_from(BUCKETS_S)), max_size=30))
def test_durations_are_as_prometheus_has_them(observed: list[tuple[str, float]]) -> None:
    """The same bytes, in both formats, as prometheus_client's own histogram with the same observations."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # as the service does
    ours = Durations("request", "What.", ("of",), BUCKETS_S)
    theirs = Histogram(
        "transfer_gateway_request_duration_seconds", "What.", ("of",), buckets=BUCKETS_S, registry=None
    )
    for of, took_s in observed:
        ours.observe((of,), took_s)
        theirs.labels(of).observe(took_s)
    for encode in (text.generate_latest, openmetrics.generate_latest):
        expositions = []
        for collector in (ours, theirs):
            registry = CollectorRegistry()
            registry.register(collector)
            expositions.append(encode(registry))
        assert expositions[0] == expositions[1]


@pytest.mark.thorough
def test_accounts_appear_while_calls_are_read() -> None:
    """A scrape is formatted in a thread while calls continue."""
    calls, many = AwsCalls(), 20_000
    switches_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as thread:
            reading = thread.submit(lambda: [[*calls.collect()] for _ in range(30)])
            for number in range(many):
                with calls.watch("transfer:DescribeExecution", f"{number:012}", REGION):
                    pass
            reading.result()
    finally:
        sys.setswitchinterval(switches_s)
    *_, seconds, _ = calls.collect()
    assert (seconds.name, len(seconds.samples)) == ("transfer_gateway_aws_call_seconds", many)
