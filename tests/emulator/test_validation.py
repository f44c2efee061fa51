"""Input is validated and output shaped by botocore's model; unreadable input gets AWS's error."""

from typing import Any

import pytest

from transfer_emulator import World

ACCOUNT = "111111111111"
REGION = "eu-west-1"
EXECUTION = "00000000-0000-4000-8000-000000000000"
WORKFLOW = "w-0123456789abcdef0"
PATTERN = "w-([a-z0-9]{17})"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b'{"WorkflowId": 12}', b'{"WorkflowId": {}}'],
    ids=repr,
)
async def test_a_malformed_body_is_a_serialization_exception(aws: Any, body: bytes) -> None:
    """Not JSON, not an object, or a member of the wrong JSON type: 400, never a stack trace."""
    answer = await aws.raw("transfer", "ListExecutions", body)
    assert (answer.status, answer.code) == (400, "SerializationException")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param({"WorkflowId": 12}, "NUMBER_VALUE can not be converted to a String", id="number"),
        pytest.param({"WorkflowId": True}, "TRUE_VALUE can not be converted to a String", id="boolean"),
        pytest.param(
            {"WorkflowId": WORKFLOW, "MaxResults": "9"},
            "STRING_VALUE can not be converted to an Integer",
            id="string",
        ),
        pytest.param({"WorkflowId": []}, "Start of list found where not expected", id="list"),
    ],
)
async def test_a_wrong_type_is_named(aws: Any, asked: dict[str, object], message: str) -> None:
    """The error contains the actual and the expected JSON type."""
    answer = await aws.raw("transfer", "ListExecutions", asked)
    assert (answer.code, answer.message) == ("SerializationException", message)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(
            {},
            "Value null at 'workflowId' failed to satisfy constraint: Member must not be null",
            id="missing",
        ),
        pytest.param(
            {"WorkflowId": None},
            "Value null at 'workflowId' failed to satisfy constraint: Member must not be null",
            id="null",
        ),
        pytest.param(
            {"WorkflowId": "w-0123456789ABCDEF0"},
            "Value 'w-0123456789ABCDEF0' at 'workflowId' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {PATTERN}",
            id="pattern",
        ),
        pytest.param(
            {"WorkflowId": WORKFLOW, "MaxResults": 0},
            "Value '0' at 'maxResults' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
            id="minimum",
        ),
        pytest.param(
            {"WorkflowId": WORKFLOW, "MaxResults": 1001},
            "Value '1001' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 1000",
            id="maximum",
        ),
        pytest.param(
            {"WorkflowId": WORKFLOW, "NextToken": ""},
            "Value '' at 'nextToken' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1",
            id="length",
        ),
    ],
)
async def test_a_violated_constraint_is_a_validation_exception(
    aws: Any, asked: dict[str, object], said: str
) -> None:
    """The model's constraints, with AWS's messages."""
    answer = await aws.raw("transfer", "ListExecutions", asked)
    assert (answer.status, answer.code) == (400, "ValidationException")
    assert answer.message == f"1 validation error detected: {said}"


async def test_all_violated_constraints_are_reported_at_once(aws: Any) -> None:
    """Length and pattern of both ids: four problems, one response."""
    answer = await aws.raw("transfer", "DescribeExecution", {"WorkflowId": "w", "ExecutionId": "e"})
    assert answer.message.startswith("4 validation errors detected: ")
    assert answer.message.count("; Value") == 3


async def test_unknown_members_are_ignored(aws: Any, world: World) -> None:
    """As by AWS: a newer client may send members that an older service does not know."""
    workflow_id = world.add_workflow("999999999999", REGION)
    asked = {"WorkflowId": workflow_id, "Colour": "blue"}
    assert (await aws.raw("transfer", "DescribeWorkflow", asked)).status == 200


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("transfer", "DescribeNothing", "UnknownOperationException"),
        ("transfer", "ListUsers", "UnknownOperationException"),
        ("transfer", "", "UnknownOperationException"),
        ("sts", "AssumeNothing", "InvalidAction"),
        ("sts", "GetSessionToken", "InvalidAction"),
    ],
)
async def test_an_unknown_operation_is_refused(aws: Any, service: str, operation: str, code: str) -> None:
    """Operations that do not exist, and those that exist but are not emulated."""
    answer = await aws.raw(service, operation, {})
    assert (answer.status, answer.code) == (400, code)


async def test_a_foreign_target_is_an_unknown_operation(aws: Any) -> None:
    """X-Amz-Target must have Transfer's prefix."""
    request = aws.signed("transfer", "ListWorkflows", {})
    request.headers.replace_header("X-Amz-Target", "DynamoDB_20120810.ListTables")
    assert (await aws.send(request)).code == "InvalidSignatureException"
    aws.resign(request, "transfer")
    assert (await aws.send(request)).code == "UnknownOperationException"


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        pytest.param(b"\xff=1", 400, "MalformedInput", id="no-utf-8"),
        pytest.param(b"", 400, "InvalidAction", id="empty"),
        pytest.param(b"Action=GetCallerIdentity", 400, "InvalidAction", id="no-version"),
        pytest.param(b"Action=AssumeRole&Version=2011-06-15", 400, "ValidationError", id="nothing-given"),
        pytest.param(
            b"Action=AssumeRole&Version=2011-06-15&RoleArn=x&RoleSessionName=y&DurationSeconds=soon",
            400,
            "MalformedInput",
            id="no-number",
        ),
    ],
)
async def test_a_malformed_form_gets_awss_error(aws: Any, form: bytes, status: int, code: str) -> None:
    """Not a form, a missing field, or text instead of a number."""
    answer = await aws.raw("sts", "", form)
    assert (answer.status, answer.code) == (status, code)


async def test_a_query_string_is_a_form_too(aws: Any) -> None:
    """STS reads a GET's query string."""
    request = aws.signed("sts", "GetCallerIdentity", b"")
    request.method = "GET"
    request.url += "?Action=GetCallerIdentity&Version=2011-06-15"
    aws.resign(request, "sts")
    answer = await aws.send(request)
    assert answer.status == 200
    assert b"<Account>999999999999</Account>" in answer.body


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"POST / HTTP/1.1\r\nX-Amz-Target: TransferService.\xff\r\n", id="target"),
        pytest.param(b"POST /?x=%ff HTTP/1.1\r\n", id="query"),
        pytest.param(b"POST /%ff?x=%ff HTTP/1.1\r\nContent-Type: x/json\r\n", id="path"),
        pytest.param(
            b"POST / HTTP/1.1\r\nX-Amz-Date: \xff\r\nAuthorization: AWS4-HMAC-SHA256 Credential="
            b"\xff/\xff/\xff/\xff/aws4_request, SignedHeaders=\xff, Signature=\xff\r\n",
            id="authorization",
        ),
    ],
)
async def test_bytes_that_are_not_utf_8_are_refused(aws: Any, head: bytes) -> None:
    """Anywhere in the request they cause AWS's error, and counts can still be read."""
    answer = await aws.exchange(head + b"Host: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    calls = await aws.exchange(b"GET /_emulator/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert calls.startswith(b"HTTP/1.1 200")


async def test_an_error_quotes_what_xml_cannot_represent(aws: Any) -> None:
    """A control character in a form becomes a replacement character, so that the XML can be parsed."""
    answer = await aws.raw("sts", "AssumeRole", {"RoleArn": "x\0" * 20, "RoleSessionName": "<&>"})
    assert answer.code == "ValidationError"
    assert "'x\ufffdx" in answer.message
    assert "Value '<&>'" in answer.message


async def test_output_outside_the_model_is_never_sent(world: World, aws: Any) -> None:
    """A placed execution with an unknown member is an internal error: a 500 and a log line."""
    workflow_id = world.add_workflow("999999999999", REGION)
    world.place("999999999999", REGION, workflow_id, {"Colour": "blue"}, EXECUTION)
    asked = {"WorkflowId": workflow_id, "ExecutionId": EXECUTION}
    answer = await aws.raw("transfer", "DescribeExecution", asked)
    assert (answer.status, answer.code) == (500, "InternalServiceError")
    assert b"Colour" not in answer.body
