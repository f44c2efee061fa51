"""Injected faults, as seen on the wire and by AWS's own client."""

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ReadTimeoutError

from transfer_emulator import (
    UNKNOWN_ENUM_VALUE,
    UNKNOWN_MEMBER_NAME,
    Emulator,
    Fault,
    FaultKind,
    LogGroup,
    World,
)
from wire import becomes, until_in_flight

ACCOUNT = "111111111111"
HOME = "999999999999"
REGION = "eu-west-1"
READER = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/TransferGatewayReader", "RoleSessionName": "tests"}
LOG: dict[str, Any] = {"logGroupName": "/faults", "startTime": 1_767_225_600_000}
EACH_SERVICE = pytest.mark.parametrize(
    ("service", "operation"),
    [("transfer", "ListWorkflows"), ("logs", "FilterLogEvents"), ("sts", "AssumeRole")],
)


@pytest.fixture(autouse=True)
def group(world: World) -> LogGroup:
    """A log group in the home account, with an event."""
    group = world.add_log_group(HOME, REGION, LOG["logGroupName"])
    group.put("w-1/x", '{"workflowId":"w-12"}', int(time.time() * 1000))
    return group


@pytest.fixture
def execution(world: World) -> dict[str, str]:
    """The ids of an execution in the home account with a failed step."""
    workflow_id = world.add_workflow(HOME, REGION)
    failed = {"StepType": "COPY", "Error": {"Type": "NOT_FOUND", "Message": "gone"}}
    wire = {"Status": "IN_PROGRESS", "Results": {"Steps": [failed]}}
    return {"WorkflowId": workflow_id, "ExecutionId": world.place(HOME, REGION, workflow_id, wire)}


def asked_by(operation: str) -> dict[str, Any]:
    asked: dict[str, dict[str, Any]] = {"AssumeRole": READER, "FilterLogEvents": LOG}
    return asked.get(operation, {})


@pytest.mark.parametrize(
    ("fault", "in_json", "in_query"),
    [
        pytest.param(
            Fault(FaultKind.THROTTLE), (400, "ThrottlingException"), (400, "Throttling"), id="throttled"
        ),
        pytest.param(
            Fault(FaultKind.DENY), (400, "AccessDeniedException"), (403, "AccessDenied"), id="denied"
        ),
        pytest.param(
            Fault(FaultKind.SERVER_ERROR), (500, "InternalServiceError"), (500, "InternalFailure"), id="500"
        ),
        pytest.param(
            Fault(FaultKind.SERVER_ERROR, status=503),
            (503, "ServiceUnavailableException"),
            (503, "ServiceUnavailable"),
            id="503",
        ),
        *(
            pytest.param(
                Fault(FaultKind.ERROR, code=code, status=status), (status, code), (status, code), id=code
            )
            for code, status in [
                ("Throttling", 400),
                ("TooManyRequestsException", 429),
                ("RequestLimitExceeded", 503),
                ("ResourceNotFoundException", 400),
                ("InvalidRequestException", 400),
                ("UnrecognizedClientException", 400),
                ("InvalidClientTokenId", 403),
                ("ExpiredToken", 403),
                ("RegionDisabledException", 403),
            ]
        ),
    ],
)
async def test_an_aws_error(
    emulator: Emulator, aws: Any, fault: Fault, in_json: tuple[int, str], in_query: tuple[int, str]
) -> None:
    """Every code that a gateway must handle is available in both protocols, until the fault is cleared."""
    for service, operation, expected in [
        ("transfer", "ListWorkflows", in_json),
        ("logs", "FilterLogEvents", in_json),
        ("sts", "AssumeRole", in_query),
    ]:
        emulator.faults.add(fault)
        answer = await aws.raw(service, operation, asked_by(operation))
        assert (answer.status, answer.code) == expected
        emulator.faults.clear()
        assert (await aws.raw(service, operation, asked_by(operation))).status == 200


async def test_a_denial_names_caller_and_action(emulator: Emulator, aws: Any) -> None:
    """AccessDenied names the caller, the action and the resource."""
    emulator.faults.add(Fault(FaultKind.DENY))
    answer = await aws.raw("transfer", "ListWorkflows", {})
    assert answer.message.startswith(
        f"User: arn:aws:iam::{HOME}:user/transfer-gateway is not authorized to perform: transfer:ListWorkflows"
    )
    answer = await aws.raw("sts", "AssumeRole", READER)
    assert answer.message.endswith(f"sts:AssumeRole on resource: {READER['RoleArn']}")


@EACH_SERVICE
async def test_an_html_502(emulator: Emulator, aws: Any, service: str, operation: str) -> None:
    """A load balancer's page: AWS's client reports it as code '502'."""
    emulator.faults.add(Fault(FaultKind.HTML_502))
    answer = await aws.raw(service, operation, asked_by(operation))
    assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html")
    assert answer.body.startswith(b"<html>")
    told = await aws.refused(aws.client("transfer"), "list_workflows")
    assert told["Error"]["Code"] == "502"


@EACH_SERVICE
async def test_an_empty_429(emulator: Emulator, aws: Any, service: str, operation: str) -> None:
    """A status and nothing else."""
    emulator.faults.add(Fault(FaultKind.EMPTY_429))
    answer = await aws.raw(service, operation, asked_by(operation))
    assert (answer.status, answer.body) == (429, b"")


async def test_latency_delays_the_response(emulator: Emulator, aws: Any) -> None:
    """The response is unchanged but delayed; latencies add up."""
    for _ in range(2):
        emulator.faults.add(Fault(FaultKind.LATENCY, seconds=0.15))
    started_at = time.monotonic()
    assert (await aws.raw("transfer", "ListWorkflows", {})).status == 200
    assert 0.3 <= time.monotonic() - started_at < 20


async def test_a_hanging_call_ends_with_its_client(emulator: Emulator, aws: Any) -> None:
    """There is no response; when the client disconnects, the call is no longer in flight."""
    emulator.faults.add(Fault(FaultKind.HANG))
    hanging = asyncio.create_task(aws.raw("transfer", "ListWorkflows", {}))
    await until_in_flight(emulator, 1)
    hanging.cancel()
    await until_in_flight(emulator, 0)
    assert emulator.calls.max_in_flight == 1


async def test_a_hanging_call_ends_with_the_emulator(emulator: Emulator, aws: Any) -> None:
    """`stop` releases delayed calls at once."""
    emulator.faults.add(Fault(FaultKind.HANG))
    async with asyncio.TaskGroup() as tasks:
        hanging = tasks.create_task(failing(aws))
        await until_in_flight(emulator, 1)
        started_at = time.monotonic()
        await emulator.stop()
        assert time.monotonic() - started_at < 20  # aiohttp's server waits 60 s for what is under way
    assert isinstance(hanging.result(), aiohttp.ClientError | OSError)


async def failing(aws: Any) -> Exception:
    with pytest.raises((aiohttp.ClientError, OSError)) as failure:
        await aws.raw("transfer", "ListWorkflows", {})
    return failure.value


async def test_a_reset_is_a_tcp_reset(emulator: Emulator, aws: Any) -> None:
    """The socket reports ECONNRESET, not an orderly end."""
    emulator.faults.add(Fault(FaultKind.RESET))
    request = aws.signed("transfer", "ListWorkflows", {})
    request.headers["Content-Length"] = str(len(request.data))
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with pytest.raises(ConnectionResetError):
        await aws.exchange(f"POST / HTTP/1.1\r\n{head}\r\n".encode() + request.data)
    assert emulator.calls.in_flight == 0


@EACH_SERVICE
async def test_a_truncated_body_is_a_complete_200(
    emulator: Emulator, aws: Any, service: str, operation: str
) -> None:
    """Valid HTTP, with half of the JSON or XML."""
    whole = await aws.raw(service, operation, asked_by(operation))
    emulator.faults.add(Fault(FaultKind.TRUNCATED_BODY))
    cut = await aws.raw(service, operation, asked_by(operation))
    assert cut.status == 200
    assert int(cut.headers["Content-Length"]) == len(cut.body) == len(whole.body) // 2


@EACH_SERVICE
async def test_a_short_body_breaks_off(emulator: Emulator, aws: Any, service: str, operation: str) -> None:
    """The connection ends before Content-Length is reached."""
    emulator.faults.add(Fault(FaultKind.SHORT_BODY))
    with pytest.raises(aiohttp.ClientPayloadError):
        await aws.raw(service, operation, asked_by(operation))


async def test_revoked_sessions_have_expired_and_new_ones_work(emulator: Emulator, aws: Any) -> None:
    """Sessions from before the fault have expired; those of other accounts and later ones have not."""
    before = await aws.session()
    other = await aws.session("222222222222", ExternalId="x-42")
    emulator.faults.add(Fault(FaultKind.REVOKED, account_id=ACCOUNT))
    answer = await aws.raw("transfer", "ListWorkflows", {}, credentials=before)
    assert (answer.status, answer.code) == (400, "ExpiredTokenException")
    answer = await aws.raw("sts", "GetCallerIdentity", {}, credentials=before)
    assert (answer.status, answer.code) == (403, "ExpiredToken")
    after = await aws.session()
    assert (await aws.raw("transfer", "ListWorkflows", {}, credentials=after)).status == 200
    assert (await aws.raw("transfer", "ListWorkflows", {}, credentials=other)).status == 200
    assert (await aws.raw("transfer", "ListWorkflows", {})).status == 200


async def test_enum_values_of_a_later_model(emulator: Emulator, aws: Any, execution: dict[str, str]) -> None:
    """botocore passes unknown statuses, step types and error types through."""
    emulator.faults.add(Fault(FaultKind.UNKNOWN_ENUM))
    answer = await aws.call(aws.client("transfer"), "describe_execution", **execution)
    step = answer["Execution"]["Results"]["Steps"][0]
    told = (answer["Execution"]["Status"], step["StepType"], step["Error"]["Type"])
    assert told == (UNKNOWN_ENUM_VALUE,) * 3
    assert answer["WorkflowId"] == execution["WorkflowId"]


async def test_members_of_a_later_model(emulator: Emulator, aws: Any, execution: dict[str, str]) -> None:
    """An extra member in the execution and in a step: on the wire, and dropped by botocore."""
    plain = await aws.call(aws.client("transfer"), "describe_execution", **execution)
    emulator.faults.add(Fault(FaultKind.UNKNOWN_MEMBER))
    emulator.faults.add(Fault(FaultKind.UNKNOWN_ENUM, times=1))
    wire = json.loads((await aws.raw("transfer", "DescribeExecution", execution)).body)["Execution"]
    assert UNKNOWN_MEMBER_NAME in wire
    assert UNKNOWN_MEMBER_NAME in wire["Results"]["Steps"][0]
    answer = await aws.call(aws.client("transfer"), "describe_execution", **execution)
    assert answer["Execution"] == plain["Execution"]
    assert UNKNOWN_MEMBER_NAME.encode() in (await aws.raw("sts", "AssumeRole", READER)).body
    assert UNKNOWN_MEMBER_NAME.encode() in (await aws.raw("logs", "FilterLogEvents", LOG)).body
    await aws.session()


async def test_throttling_allows_its_rate(emulator: Emulator, aws: Any) -> None:
    """Five at once and then five per second; another region of the account has its own limit."""
    emulator.faults.add(Fault(FaultKind.THROTTLE, rate_per_s=5, service="transfer"))
    started_at = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(aws.raw("transfer", "ListWorkflows", {})) for _ in range(20)]
    passed = [call.result().status for call in calls].count(200)
    assert 5 <= passed <= 5 + 5 * (time.monotonic() - started_at)
    assert (await aws.raw("transfer", "ListWorkflows", {}, region="us-east-1")).status == 200

    async def status() -> int:
        return int((await aws.raw("transfer", "ListWorkflows", {})).status)

    await becomes(status, 200)


async def test_a_fault_applies_to_matching_calls(emulator: Emulator, aws: Any) -> None:
    """Matched by account, region, operation and service; AssumeRole's account is the role's."""
    session = await aws.session()

    async def statuses() -> list[int]:
        return [
            (await aws.raw("transfer", "ListWorkflows", {})).status,
            (await aws.raw("transfer", "ListWorkflows", {}, credentials=session)).status,
            (await aws.raw("transfer", "ListWorkflows", {}, credentials=session, region="us-east-1")).status,
            (await aws.raw("sts", "AssumeRole", READER)).status,
            (await aws.raw("sts", "GetCallerIdentity", {})).status,
        ]

    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"account_id": ACCOUNT}, [200, 429, 429, 429, 200]),
        ({"region": "us-east-1"}, [200, 200, 429, 200, 200]),
        ({"operation": "AssumeRole"}, [200, 200, 200, 429, 200]),
        ({"service": "sts"}, [200, 200, 200, 429, 429]),
        ({"account_id": ACCOUNT, "service": "transfer", "region": REGION}, [200, 429, 200, 200, 200]),
    ]
    for narrowed, expected in cases:
        emulator.faults.add(Fault(FaultKind.EMPTY_429, **narrowed))
        assert await statuses() == expected
        emulator.faults.clear()


async def test_a_fault_can_apply_a_number_of_times(emulator: Emulator, aws: Any) -> None:
    """It applies to the first two matching calls, not to the third; then the next fault applies."""
    emulator.faults.add(Fault(FaultKind.EMPTY_429, times=2))
    last = emulator.faults.add(Fault(FaultKind.HTML_502))
    statuses = [(await aws.raw("transfer", "ListWorkflows", {})).status for _ in range(3)]
    assert statuses == [429, 429, 502]
    assert list(emulator.faults.active()) == [last]
    emulator.faults.remove(last)
    assert (await aws.raw("transfer", "ListWorkflows", {})).status == 200


async def test_faults_precede_authentication(emulator: Emulator, aws: Any) -> None:
    """A load balancer's 502 needs no valid credentials."""
    emulator.faults.add(Fault(FaultKind.HTML_502))
    answer = await aws.raw("transfer", "ListWorkflows", {}, credentials=Credentials("AKIAUNKNOWN", "s"))
    assert answer.status == 502


async def test_boto3_runs_into_its_read_timeout(emulator: Emulator, aws: Any) -> None:
    """AWS's client times out on a hanging call."""
    emulator.faults.add(Fault(FaultKind.HANG))
    client = aws.client("transfer", read_timeout=0.3)
    with pytest.raises(ReadTimeoutError):
        await aws.call(client, "list_workflows")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": FaultKind.LATENCY, "seconds": -1.0}, "seconds"),
        ({"kind": FaultKind.LATENCY, "seconds": float("nan")}, "seconds"),
        ({"kind": FaultKind.THROTTLE, "rate_per_s": float("inf")}, "rate_per_s"),
        ({"kind": FaultKind.RESET, "times": 0}, "times"),
        ({"kind": FaultKind.ERROR}, "code"),
        ({"kind": FaultKind.SERVER_ERROR, "status": 200}, "status"),
    ],
)
def test_an_invalid_fault_is_refused(given: dict[str, Any], field: str) -> None:
    """The error names the invalid field."""
    with pytest.raises(ValueError, match=f"^{field}: "):
        Fault(**given)


async def test_a_client_error_is_what_boto3_raises(emulator: Emulator, aws: Any) -> None:
    """botocore's error class for a code in the model."""
    emulator.faults.add(Fault(FaultKind.SERVER_ERROR, status=503))
    client = aws.client("transfer")
    with pytest.raises(ClientError) as refusal:
        await aws.call(client, "describe_workflow", WorkflowId="w-0123456789abcdef0")
    assert isinstance(refusal.value, client.exceptions.ServiceUnavailableException)


async def test_another_logs_entries(emulator: Emulator, aws: Any) -> None:
    """Streams and messages with other ids than those asked for."""
    emulator.faults.add(Fault(FaultKind.OTHER_ANSWER, service="logs"))
    (event,) = json.loads((await aws.raw("logs", "FilterLogEvents", LOG)).body)["events"]
    assert (event["logStreamName"], event["message"]) == ("w-2/x", '{"workflowId":"w-23"}')
