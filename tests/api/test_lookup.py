"""One execution, end to end: GraphQL over the wire, through an assumed role, to AWS over the wire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from transfer_emulator import UNKNOWN_ENUM_VALUE, Emulator, Fault, FaultKind, World
from wire import GUARDED, HOME, PLAIN, QUERY, Gateway, place, to_input

ABSENT = "00000000-0000-4000-8000-000000000000"


async def test_whole_structure(gateway: Gateway, world: World) -> None:
    """Every member that AWS sends is returned under the same name, with the same value."""
    wire = {
        "InitialFileLocation": {
            "S3FileLocation": {"Bucket": "landing", "Key": "in/a.pgp", "VersionId": "v1", "Etag": "e1"},
            "EfsFileLocation": {"FileSystemId": "fs-12345678", "Path": "/in/a.pgp"},
        },
        "ServiceMetadata": {
            "UserDetails": {"UserName": "acme", "ServerId": "s-0123456789abcdef0", "SessionId": "abc123"}
        },
        "ExecutionRole": "arn:aws:iam::111111111111:role/workflow",
        "LoggingConfiguration": {
            "LoggingRole": "arn:aws:iam::111111111111:role/logging",
            "LogGroupName": "/aws/transfer/s-0123456789abcdef0",
        },
        "PosixProfile": {"Uid": 4294967295, "Gid": 0, "SecondaryGids": [1, 4294967295]},
        "Status": "HANDLING_EXCEPTION",
        "Results": {
            "Steps": [
                {"StepType": "DECRYPT", "Outputs": '{"ok":true}'},
                {"StepType": "COPY", "Error": {"Type": "ALREADY_EXISTS", "Message": "It is there."}},
            ],
            "OnExceptionSteps": [{"StepType": "TAG", "Outputs": ""}],
        },
    }
    key = place(world, execution=wire)
    before = datetime.now(UTC)
    found = await gateway.look_up(key)
    assert before <= datetime.fromisoformat(found.pop("observedAt")) <= datetime.now(UTC)
    assert found == {
        "__typename": "Execution",
        "id": str(key),
        "accountId": PLAIN,
        "region": "eu-west-1",
        "account": {"alias": "payments-prod"},
        "workflowId": key.workflow_id,
        "executionId": key.execution_id,
        "initialFileLocation": {
            "s3FileLocation": {"bucket": "landing", "key": "in/a.pgp", "versionId": "v1", "etag": "e1"},
            "efsFileLocation": {"fileSystemId": "fs-12345678", "path": "/in/a.pgp"},
        },
        "serviceMetadata": {
            "userDetails": {"userName": "acme", "serverId": "s-0123456789abcdef0", "sessionId": "abc123"}
        },
        "executionRole": "arn:aws:iam::111111111111:role/workflow",
        "loggingConfiguration": {
            "loggingRole": "arn:aws:iam::111111111111:role/logging",
            "logGroupName": "/aws/transfer/s-0123456789abcdef0",
        },
        "posixProfile": {"uid": 4294967295, "gid": 0, "secondaryGids": [1, 4294967295]},
        "status": "HANDLING_EXCEPTION",
        "rawStatus": "HANDLING_EXCEPTION",
        "results": {
            "steps": [
                {"stepType": "DECRYPT", "rawStepType": "DECRYPT", "outputs": '{"ok":true}', "error": None},
                {
                    "stepType": "COPY",
                    "rawStepType": "COPY",
                    "outputs": None,
                    "error": {
                        "type": "ALREADY_EXISTS",
                        "rawType": "ALREADY_EXISTS",
                        "message": "It is there.",
                    },
                },
            ],
            "onExceptionSteps": [{"stepType": "TAG", "rawStepType": "TAG", "outputs": "", "error": None}],
        },
    }


@pytest.mark.parametrize("account_id", [PLAIN, GUARDED, HOME], ids=["role", "external-id", "own-credentials"])
async def test_every_way_in(gateway: Gateway, world: World, aws: Emulator, account_id: str) -> None:
    """A role, a role with an external id, and an account accessed with the service's own credentials."""
    found = await gateway.look_up(place(world, account_id))
    assert (found["__typename"], found["accountId"]) == ("Execution", account_id)
    assert aws.calls.count(operation="AssumeRole") == (0 if account_id == HOME else 1)


STRANGE_KEY = "входящие/日本語/🚚 " + "ü" * 480 + ".pgp"


@pytest.mark.parametrize(
    ("wire", "path", "expected"),
    [
        pytest.param({}, ("status",), None, id="nothing-at-all"),
        pytest.param({"Results": {}}, ("results", "steps"), None, id="results-without-steps"),
        pytest.param(
            {"PosixProfile": {"Uid": 4294967295, "Gid": 4294967295}},
            ("posixProfile", "uid"),
            4294967295,
            id="largest-uid",
        ),
        pytest.param(
            {"InitialFileLocation": {"S3FileLocation": {"Bucket": "bbb", "Key": STRANGE_KEY}}},
            ("initialFileLocation", "s3FileLocation", "key"),
            STRANGE_KEY,
            id="unicode-key",
        ),
        pytest.param(
            {"InitialFileLocation": {"S3FileLocation": {"Bucket": "bbb", "Key": "k" * 1024}}},
            ("initialFileLocation", "s3FileLocation", "key"),
            "k" * 1024,
            id="longest-key",
        ),
        pytest.param({"Status": "PAUSED"}, ("status",), "UNRECOGNIZED", id="unknown-status"),
        pytest.param({"Status": "PAUSED"}, ("rawStatus",), "PAUSED", id="unknown-status-raw"),
    ],
)
async def test_unusual_answers(
    gateway: Gateway, world: World, wire: dict[str, Any], path: tuple[str, ...], expected: object
) -> None:
    """Whatever AWS omits or adds, the rest is returned."""
    found: Any = await gateway.look_up(place(world, execution=wire))
    for name in path:
        found = found[name]
    assert found == expected


async def test_values_and_members_of_tomorrow(gateway: Gateway, world: World, aws: Emulator) -> None:
    """Unknown enum values and new members: the execution is returned, with the raw values."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.UNKNOWN_ENUM, operation="DescribeExecution"))
    aws.faults.add(Fault(FaultKind.UNKNOWN_MEMBER, operation="DescribeExecution"))
    found = await gateway.look_up(key)
    assert (found["status"], found["rawStatus"]) == ("UNRECOGNIZED", UNKNOWN_ENUM_VALUE)
    step = found["results"]["steps"][0]
    assert (step["stepType"], step["rawStepType"]) == ("UNRECOGNIZED", UNKNOWN_ENUM_VALUE)


async def test_finished_execution_both_ways(gateway: Gateway, world: World) -> None:
    """A finished execution is EXECUTION_NOT_FOUND: as data, and as null with the same code in errors[]."""
    key = place(world)
    world.remove(key.account_id, key.region, key.workflow_id, key.execution_id)
    as_data = await gateway.look_up(key)
    assert as_data["__typename"] == "ExecutionNotFound"
    assert "may have finished" in as_data["message"]
    assert (as_data["code"], as_data["retryable"], as_data["target"]) == (
        "EXECUTION_NOT_FOUND",
        False,
        {"accountId": PLAIN, "region": "eu-west-1"},
    )
    assert as_data["awsRequestId"]

    answer = await gateway.ask(
        "query($key: ExecutionKey!) { execution(key: $key) { id } }", key=to_input(key)
    )
    (error,) = answer["errors"]
    assert answer["data"] == {"execution": None}
    assert (error["message"], error["path"]) == (as_data["message"], ["execution"])
    assert error["extensions"].pop("awsRequestId")
    assert error["extensions"] == {
        "code": "EXECUTION_NOT_FOUND",
        "retryable": False,
        "accountId": PLAIN,
        "region": "eu-west-1",
        "reason": "HISTORY_OFF",
        "remedy": "Ask the operator to switch the history on: TRANSFER_GATEWAY_HISTORY_URL.",
    }


DESCRIBE, ASSUME = "DescribeExecution", "AssumeRole"


def refusal(operation: str, code: str, status: int = 400) -> Fault:
    return Fault(
        FaultKind.ERROR, account_id=PLAIN, operation=operation, code=code, status=status, message="Said AWS."
    )


def fault(operation: str, kind: FaultKind, **figures: Any) -> Fault:
    return Fault(kind, account_id=PLAIN, operation=operation, **figures)


async def test_invalid_request_is_the_callers(gateway: Gateway, world: World, aws: Emulator) -> None:
    """A request that AWS rejects as invalid is BAD_USER_INPUT with AWS's message, in errors[]."""
    key = place(world)
    aws.faults.add(refusal(DESCRIBE, "InvalidRequestException"))
    answer = await gateway.ask(QUERY, key=to_input(key))
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "Said AWS." in answer["errors"][0]["message"]


@pytest.mark.parametrize("request_timeout_s", [3])
async def test_deadline(gateway: Gateway, world: World, aws: Emulator) -> None:
    """If AWS has not answered by the request's deadline: DEADLINE_EXCEEDED."""
    key = place(world)
    # Each wait alone is within the limit for one answer of AWS's; together they pass the request's.
    aws.faults.add(Fault(FaultKind.LATENCY, seconds=1.8))
    failed = await gateway.look_up(key)
    assert (failed["code"], failed["target"]) == (
        "DEADLINE_EXCEEDED",
        {"accountId": PLAIN, "region": "eu-west-1"},
    )


async def test_session_revoked_in_between(gateway: Gateway, world: World, aws: Emulator) -> None:
    """If AWS no longer accepts the session, the role is assumed again, once; the caller does not notice."""
    key = place(world)
    await gateway.look_up(key)
    aws.faults.add(Fault(FaultKind.REVOKED, account_id=PLAIN, operation=DESCRIBE))
    found = await asyncio.gather(*(gateway.look_up(key, max_age=0) for _ in range(20)))
    assert {answer["__typename"] for answer in found} == {"Execution"}
    assert aws.calls.count(operation=ASSUME) == 2


async def test_session_never_accepted(gateway: Gateway, world: World, aws: Emulator) -> None:
    """If AWS rejects every session, requests fail, but not each of them assumes the role again."""
    key = place(world)
    aws.faults.add(refusal(DESCRIBE, "UnrecognizedClientException"))
    for _ in range(10):
        assert (await gateway.look_up(key))["code"] == "ACCESS_DENIED"
    assert aws.calls.count(operation=ASSUME) == 2


@pytest.mark.parametrize("field", ["executionOrError", "execution"])
@pytest.mark.parametrize(
    ("account_id", "region"),
    [("123123123123", "eu-west-1"), (PLAIN, "ap-southeast-2")],
    ids=["account", "region"],
)
async def test_unknown_target(
    gateway: Gateway, aws: Emulator, world: World, field: str, account_id: str, region: str
) -> None:
    """An account or region that is not configured is ACCOUNT_NOT_AVAILABLE, and AWS is not called."""
    key = to_input(place(world)) | {"accountId": account_id, "region": region}
    selection = "{ ... on Error { code } }" if field == "executionOrError" else "{ id }"
    answer = await gateway.ask(f"query($key: ExecutionKey!) {{ {field}(key: $key) {selection} }}", key=key)
    code = (answer["data"][field] or answer["errors"][0]["extensions"])["code"]
    assert code == "ACCOUNT_NOT_AVAILABLE"
    assert aws.calls.by_call() == {}


async def test_accounts(shared_gateway: Gateway) -> None:
    """The configured accounts, in order."""
    answer = await shared_gateway.ask("{ accounts { id accountId alias regions } }")
    assert answer["data"]["accounts"] == [
        {"id": account_id, "accountId": account_id, "alias": alias, "regions": ["eu-west-1", "us-east-1"]}
        for account_id, alias in [(PLAIN, "payments-prod"), (GUARDED, "claims"), (HOME, "home")]
    ]


NODE = "query($id: ID!) { node(id: $id) { __typename id } }"


async def test_node_finds_what_has_an_id(gateway: Gateway, world: World) -> None:
    """The global id of an execution or account finds it again."""
    key = place(world)
    for node_id, typename in ((str(key), "Execution"), (PLAIN, "Account")):
        answer = await gateway.ask(NODE, id=node_id)
        assert answer == {"data": {"node": {"__typename": typename, "id": node_id}}}


@pytest.mark.parametrize(
    ("node_id", "code"),
    [
        ("", "BAD_USER_INPUT"),
        ("a/b", "BAD_USER_INPUT"),
        ("1/2/3/4", "BAD_USER_INPUT"),
        ("123123123123", "ACCOUNT_NOT_AVAILABLE"),
        (f"{PLAIN}/eu-west-1/w-{'0' * 17}/{ABSENT}", "EXECUTION_NOT_FOUND"),
    ],
)
async def test_node_without_an_object(shared_gateway: Gateway, node_id: str, code: str) -> None:
    """Any other id is null, with an error code."""
    answer = await shared_gateway.ask(NODE, id=node_id)
    assert answer["data"] == {"node": None}
    assert answer["errors"][0]["extensions"]["code"] == code


async def test_a_region_that_refuses_sessions(gateway: Gateway, world: World, aws: Emulator) -> None:
    """A region that rejects sessions (it may not be enabled) does not affect the account's other regions."""
    good, bad = place(world), place(world, region="us-east-1")
    code = "UnrecognizedClientException"
    aws.faults.add(Fault(FaultKind.ERROR, region="us-east-1", operation=DESCRIBE, code=code))
    for _ in range(15):
        assert (await gateway.look_up(good, max_age=0))["__typename"] == "Execution"
        refused = await gateway.look_up(bad, max_age=0)
        assert (refused["code"], refused["target"]["region"]) == ("ACCESS_DENIED", "us-east-1")
        assert "eu-west-1" not in refused["message"]
    assert aws.calls.count(operation=ASSUME) <= 3
