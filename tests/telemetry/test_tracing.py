"""Traces from door to AWS, as an OTLP receiver gets them; and one slow request, followed all the way."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from command import started
from doors import told as told_of
from receiver import Receiver, attributes, receiver
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_pb2 import ExecutionKey as RpcKey
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from wire import JSON, PLAIN, REGION, calling, place, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from command import Started
    from transfer_gateway.settings import Settings

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "chosen-by-the-caller"}
LOOK_UP = """
query Secret_name($key: ExecutionKey!) {
  executionOrError(key: $key, maxAge: 0) { __typename ... on Error { code awsRequestId } }
}
"""


@pytest.fixture
async def otlp() -> AsyncIterator[Receiver]:
    async with receiver() as receiving:
        yield receiving


@asynccontextmanager
async def serving(accounts_file: Path, **environment: str) -> AsyncIterator[Started]:
    given = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file), "TRANSFER_GATEWAY_LOG_FORMAT": "json"}
    given["TRANSFER_GATEWAY_HISTORY_URL"] = "off"  # its followers assume the roles beforehand
    async with started("serve", "--http-port", "0", **given, **environment) as service:
        yield service


async def by_graphql(service: Started, key: dict[str, str], headers: dict[str, str]) -> tuple[str, str]:
    """The code and AWS's request id of a failed lookup."""
    async with calling(service.url) as gateway:
        found = (await gateway.post({"query": LOOK_UP, "variables": {"key": key}}, **headers)).json()
    error = found["data"]["executionOrError"]
    return error["code"], error["awsRequestId"]


async def by_grpc(service: Started, key: dict[str, str], headers: dict[str, str]) -> tuple[str, str]:
    names = ("account_id", "region", "workflow_id", "execution_id")
    request = pb.GetExecutionRequest(key=RpcKey(**dict(zip(names, key.values(), strict=True))))
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ExecutionServiceStub(channel).GetExecution(request, metadata=tuple(headers.items()))
    error = told_of(failed.value)
    return error["code"], error["awsRequestId"]


DOORS = [pytest.param(by_graphql, id="graphql"), pytest.param(by_grpc, id="grpc")]


def unknown(world: World, account_id: str = PLAIN) -> dict[str, str]:
    """A key that AWS knows nothing of, so that the answer has AWS's request id."""
    return to_input(place(world, account_id)) | {"executionId": "00000000-0000-4000-8000-000000000000"}


@pytest.mark.parametrize("ask", DOORS)
async def test_one_slow_request_is_followed(
    aws: Emulator, world: World, accounts_file: Path, otlp: Receiver, ask: Any
) -> None:
    """From its line in the log to its trace, which its caller began, to AWS's id of the call that took so long."""
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=0.5))
    slow = {"TRANSFER_GATEWAY_SLOW_REQUEST_S": "0.5"}
    async with serving(accounts_file, **slow, **otlp.environment) as service:
        code, aws_request_id = await ask(service, unknown(world), HEADERS)
        assert code == "EXECUTION_NOT_FOUND"
        await otlp.until(lambda: len(otlp.of_trace(TRACE)) == 3)
        exit_code, log = await service.stop()
    assert exit_code == 0
    (line,) = [event for event in map(json.loads, log.splitlines()) if event["event"] == "slow_request"]
    assert (line["request_id"], line["trace_id"]) == ("chosen-by-the-caller", TRACE)
    assert (line["aws_calls"], line["aws_request_ids"][0]) == (2, aws_request_id)
    assert line["took_ms"] >= 500
    spans = {span.name: span for span in otlp.of_trace(line["trace_id"])}
    called = spans["transfer:DescribeExecution"]
    assert attributes(called)["aws.request_id"] == line["aws_request_ids"][0]
    assert called.end_time_unix_nano - called.start_time_unix_nano >= 0.5e9


@pytest.mark.parametrize("ask", DOORS)
async def test_a_trace(aws: Emulator, world: World, accounts_file: Path, otlp: Receiver, ask: Any) -> None:
    """A server's span below the caller's, and below it those of the AWS calls, named by the semantic conventions."""
    async with serving(accounts_file, **otlp.environment) as service:
        _, aws_request_id = await ask(service, unknown(world), HEADERS)
        await otlp.until(lambda: len(otlp.of_trace(TRACE)) == 3)
    spans = {span.name: span for span in otlp.of_trace(TRACE)}
    graphql = ask is by_graphql
    root = spans["query executionOrError" if graphql else "transfer_api.v1.ExecutionService/GetExecution"]
    assert (root.kind, root.parent_span_id.hex()) == (root.SPAN_KIND_SERVER, PARENT)
    told = attributes(root)
    assert told["request.id"] == "chosen-by-the-caller"
    if graphql:
        assert (told["graphql.operation.type"], told["graphql.operation.name"]) == ("query", "Secret_name")
        assert told["http.response.status_code"] == 200
        assert told["transfer_gateway.failures"] == ["EXECUTION_NOT_FOUND"]
    else:
        assert (told["rpc.system.name"], told["rpc.response.status_code"]) == ("grpc", "NOT_FOUND")
        assert told["error.type"] == "EXECUTION_NOT_FOUND"
    assumed, described = spans["sts:AssumeRole"], spans["transfer:DescribeExecution"]
    for call in (assumed, described):
        assert (call.kind, call.parent_span_id) == (call.SPAN_KIND_CLIENT, root.span_id)
    assert attributes(described) == {
        "rpc.system.name": "aws-api",
        "rpc.method": "transfer:DescribeExecution",
        "cloud.account.id": PLAIN,
        "cloud.region": REGION,
        "aws.request_id": aws_request_id,
        "error.type": "EXECUTION_NOT_FOUND",
    }
    assert otlp.resources[0]["service.name"] == "transfer-gateway"


async def test_nothing_secret_is_in_a_trace(
    aws: Emulator, world: World, accounts_file: Path, otlp: Receiver
) -> None:
    """No document, no variable, no credential goes to the receiver."""
    key = unknown(world)
    async with serving(accounts_file, **otlp.environment) as service:
        await by_graphql(service, key, HEADERS | {"authorization": "Bearer hunter2"})
        await otlp.until(lambda: len(otlp.of_trace(TRACE)) == 3)
    for secret in ("hunter2", "__typename", key["workflowId"], key["executionId"], "ASIA", "AKIA"):
        assert secret.encode() not in otlp.raw, secret


async def test_who_joins_is_linked(aws: Emulator, world: World, accounts_file: Path, otlp: Receiver) -> None:
    """Of requests that share a call, the first has its span; the others are linked to it, and name it in the log."""
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=2))
    key = unknown(world)
    slow = {"TRANSFER_GATEWAY_SLOW_REQUEST_S": "0.1"}
    async with serving(accounts_file, **slow, **otlp.environment) as service, calling(service.url) as gateway:
        body = json.dumps(
            {"query": LOOK_UP.replace("maxAge: 0", "maxAge: 5"), "variables": {"key": key}}
        ).encode()
        await asyncio.gather(
            *(gateway.send("POST", body=body, headers=JSON | {"x-request-id": f"r{n}"}) for n in range(3))
        )
        await otlp.until(lambda: len(otlp.spans) == 5)
        _, log = await service.stop()
    requests = {
        attributes(span)["request.id"]: span for span in otlp.spans if span.kind == span.SPAN_KIND_SERVER
    }
    (described,) = [span for span in otlp.spans if span.name == "transfer:DescribeExecution"]
    (first,) = [name for name, span in requests.items() if span.span_id == described.parent_span_id]
    joined = {
        event["request_id"]: event.get("joined_requests")
        for event in map(json.loads, log.splitlines())
        if event["event"] == "slow_request"
    }
    for name, span in requests.items():
        links = [link.span_id for link in span.links]
        assert links == ([] if name == first else [requests[first].span_id])
        assert joined[name] == (None if name == first else [first])


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="not-configured"),
        pytest.param({"OTEL_SDK_DISABLED": "true"}, id="disabled"),
        pytest.param({"OTEL_TRACES_EXPORTER": "none"}, id="no-exporter"),
    ],
)
async def test_without_tracing(
    aws: Emulator,
    world: World,
    settings: Callable[..., Settings],
    otlp: Receiver,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an exporter no span is made; the caller's trace is in the log all the same."""
    if environment:
        environment = otlp.environment | environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    async with server.running(settings()) as service, calling(service.url) as gateway:
        await gateway.post({"query": LOOK_UP, "variables": {"key": unknown(world)}}, **HEADERS)
    assert otlp.spans == []


def test_the_sdk_is_not_loaded_for_nothing() -> None:
    """Nothing that the service imports when it starts is OpenTelemetry's SDK or exporter."""
    code = "import sys, transfer_gateway.cli; print(*sys.modules)"
    loaded = subprocess.run(  # noqa: S603  ourselves
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    ).stdout
    assert "transfer_gateway.telemetry" in loaded
    assert "opentelemetry.sdk" not in loaded
    assert "opentelemetry.exporter" not in loaded


async def test_a_receiver_that_does_not_answer(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Requests don't notice it, and the service ends in its time, saying that spans are lost."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with serving(accounts_file, OTEL_EXPORTER_OTLP_ENDPOINT=url) as service:
            code, _ = await by_graphql(service, unknown(world), {})
            assert code == "EXECUTION_NOT_FOUND"
            async with asyncio.timeout(30):
                exit_code, log = await service.stop()
    assert exit_code == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-2:] == ["spans_not_exported", "stopped"]
