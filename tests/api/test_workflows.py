"""Workflows: definitions, and executions' steps joined with them, over the wire."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from transfer_emulator import UNKNOWN_ENUM_VALUE, Emulator, Fault, FaultKind, World
from transfer_gateway.domain.identity import (
    AccountId,
    ExecutionId,
    ExecutionKey,
    Region,
    WorkflowId,
    WorkflowKey,
)
from wire import GUARDED, HOME, PLAIN, REGION, Gateway, place, to_input

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.fast_time

DESCRIBE = "DescribeWorkflow"
ABSENT = "w-00000000000000000"
WORKFLOW = """
fragment location on InputFileLocation {
  s3FileLocation { bucket key } efsFileLocation { fileSystemId path }
}
fragment step on WorkflowStep {
  type rawType name
  copyStepDetails {
    name destinationFileLocation { ...location } overwriteExisting rawOverwriteExisting sourceFileLocation
  }
  customStepDetails { name target timeoutSeconds sourceFileLocation }
  deleteStepDetails { name sourceFileLocation }
  tagStepDetails { name tags { key value } sourceFileLocation }
  decryptStepDetails {
    name type rawType sourceFileLocation overwriteExisting rawOverwriteExisting
    destinationFileLocation { ...location }
  }
}
query Workflow($key: WorkflowKey!, $maxAge: Float) {
  workflowOrError(key: $key, maxAge: $maxAge) {
    __typename
    ... on Workflow {
      id accountId region account { alias } workflowId arn description
      steps { ...step } onExceptionSteps { ...step } tags { key value } structuredLogDestinations observedAt
    }
    ... on Error { code message retryable awsRequestId target { accountId region } }
  }
}
"""
STEPS = """
fragment named on ExecutionStepResult { stepType definition { name type } }
query Steps($keys: [ExecutionKey!]!) {
  executions(keys: $keys) {
    ... on Execution { id status results { steps { ...named } onExceptionSteps { ...named } } }
  }
}
"""


def key_of(workflow_id: str, account_id: str = PLAIN, region: str = REGION) -> WorkflowKey:
    return WorkflowKey(AccountId(account_id), Region(region), WorkflowId(workflow_id))


def variables(key: WorkflowKey) -> dict[str, str]:
    return {"accountId": key.account_id, "region": key.region, "workflowId": key.workflow_id}


async def look_up(gateway: Gateway, key: WorkflowKey, max_age: float | None = None) -> dict[str, Any]:
    answer = await gateway.ask(WORKFLOW, key=variables(key), maxAge=max_age)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["workflowOrError"]
    return found


async def ask_steps(gateway: Gateway, keys: Iterable[ExecutionKey]) -> dict[str, Any]:
    return await gateway.ask(STEPS, keys=[to_input(key) for key in keys])


def run(world: World, workflow: WorkflowKey, results: dict[str, Any]) -> ExecutionKey:
    """Add an execution with these results to a workflow."""
    where = (workflow.account_id, workflow.region, workflow.workflow_id)
    status = "HANDLING_EXCEPTION" if "OnExceptionSteps" in results else "IN_PROGRESS"
    execution_id = world.place(*where, {"Status": status, "Results": results})
    return ExecutionKey(*where, ExecutionId(execution_id))


def copy(name: str) -> dict[str, Any]:
    """A COPY step's definition."""
    return {"Type": "COPY", "CopyStepDetails": {"Name": name}}


def copied(times: int) -> list[dict[str, Any]]:
    """Results of that many COPY steps."""
    return [{"StepType": "COPY"}] * times


def defined(results: list[dict[str, Any]] | None) -> list[Any]:
    """The names of the definitions; None for missing ones."""
    return [step["definition"] and step["definition"]["name"] for step in results or []]


S3 = {"S3FileLocation": {"Bucket": "archive", "Key": "in/${Transfer:UserName}/"}}
EFS = {"EfsFileLocation": {"FileSystemId": "fs-12345678", "Path": "/clear/"}}
S3_SHOWN = {
    "s3FileLocation": {"bucket": "archive", "key": "in/${Transfer:UserName}/"},
    "efsFileLocation": None,
}
EFS_SHOWN = {"s3FileLocation": None, "efsFileLocation": {"fileSystemId": "fs-12345678", "path": "/clear/"}}
FUNCTION = "arn:aws:lambda:eu-west-1:111111111111:function:scan"
LOG_GROUP = "arn:aws:logs:eu-west-1:111111111111:log-group:/aws/transfer/workflows:*"
DEFINITION: dict[str, Any] = {
    "Description": "Everything at once",
    "Steps": [
        {
            "Type": "DECRYPT",
            "DecryptStepDetails": {
                "Name": "decrypt",
                "Type": "PGP",
                "SourceFileLocation": "${original.file}",
                "OverwriteExisting": "TRUE",
                "DestinationFileLocation": EFS,
            },
        },
        {
            "Type": "CUSTOM",
            "CustomStepDetails": {
                "Name": "scan",
                "Target": FUNCTION,
                "TimeoutSeconds": 1800,
                "SourceFileLocation": "${previous.file}",
            },
        },
        {
            "Type": "COPY",
            "CopyStepDetails": {
                "Name": "archive",
                "DestinationFileLocation": S3,
                "OverwriteExisting": "FALSE",
                "SourceFileLocation": "${previous.file}",
            },
        },
        {
            "Type": "TAG",
            "TagStepDetails": {
                "Name": "tag",
                "Tags": [{"Key": "état", "Value": ""}, {"Key": "a", "Value": "b"}],
                "SourceFileLocation": "${previous.file}",
            },
        },
    ],
    "OnExceptionSteps": [
        {"Type": "DELETE", "DeleteStepDetails": {"Name": "delete", "SourceFileLocation": "${original.file}"}}
    ],
    "Tags": [{"Key": "team", "Value": "payments"}],
    "StructuredLogDestinations": [LOG_GROUP],
}


def shown(step_type: str, name: str | None, **details: Any) -> dict[str, Any]:
    kinds = ("copy", "custom", "delete", "tag", "decrypt")
    return {"type": step_type, "rawType": step_type, "name": name} | {
        f"{kind}StepDetails": details.get(kind) for kind in kinds
    }


async def test_whole_definition(gateway: Gateway, world: World) -> None:
    """Every member of a workflow that AWS sends, with all five step types, is returned with its value."""
    key = key_of(world.add_workflow(PLAIN, REGION, definition=DEFINITION))
    before = datetime.now(UTC)
    found = await look_up(gateway, key)
    fast_time = timedelta(minutes=1)  # the service's clock is ahead
    assert before <= datetime.fromisoformat(found.pop("observedAt")) <= datetime.now(UTC) + fast_time
    previous, original = "${previous.file}", "${original.file}"
    yes = {"overwriteExisting": "TRUE", "rawOverwriteExisting": "TRUE"}
    no = {"overwriteExisting": "FALSE", "rawOverwriteExisting": "FALSE"}
    decrypt = {"name": "decrypt", "type": "PGP", "rawType": "PGP", "sourceFileLocation": original}
    tags = [{"key": "état", "value": ""}, {"key": "a", "value": "b"}]
    scan = {"name": "scan", "target": FUNCTION, "timeoutSeconds": 1800, "sourceFileLocation": previous}
    archive = {"name": "archive", "destinationFileLocation": S3_SHOWN, "sourceFileLocation": previous}
    assert found == {
        "__typename": "Workflow",
        "id": str(key),
        "accountId": PLAIN,
        "region": REGION,
        "account": {"alias": "payments-prod"},
        "workflowId": key.workflow_id,
        "arn": f"arn:aws:transfer:{REGION}:{PLAIN}:workflow/{key.workflow_id}",
        "description": "Everything at once",
        "steps": [
            shown("DECRYPT", "decrypt", decrypt=decrypt | yes | {"destinationFileLocation": EFS_SHOWN}),
            shown("CUSTOM", "scan", custom=scan),
            shown("COPY", "archive", copy=archive | no),
            shown("TAG", "tag", tag={"name": "tag", "tags": tags, "sourceFileLocation": previous}),
        ],
        "onExceptionSteps": [
            shown("DELETE", "delete", delete={"name": "delete", "sourceFileLocation": original})
        ],
        "tags": [{"key": "team", "value": "payments"}],
        "structuredLogDestinations": [LOG_GROUP],
    }


async def test_bare_definition(gateway: Gateway, world: World) -> None:
    """What AWS omits is null; what is empty is empty."""
    bare = await look_up(gateway, key_of(world.add_workflow(PLAIN, REGION, definition={})))
    assert [bare[name] for name in ("description", "steps", "onExceptionSteps", "tags")] == [None] * 4
    assert bare["structuredLogDestinations"] is None
    definition = {"Description": "", "Steps": [{}, {"Type": "COPY", "CopyStepDetails": {}}]}
    empty = await look_up(gateway, key_of(world.add_workflow(PLAIN, REGION, definition=definition)))
    assert empty["description"] == ""
    assert [(step["type"], step["name"]) for step in empty["steps"]] == [(None, None), ("COPY", None)]


async def test_values_and_members_of_tomorrow(gateway: Gateway, world: World, aws: Emulator) -> None:
    """Unknown enum values and new members: the workflow is returned, with the raw values."""
    key = key_of(world.add_workflow(PLAIN, REGION, definition=DEFINITION))
    aws.faults.add(Fault(FaultKind.UNKNOWN_ENUM, operation=DESCRIBE))
    aws.faults.add(Fault(FaultKind.UNKNOWN_MEMBER, operation=DESCRIBE))
    found = await look_up(gateway, key)
    decrypt, _, copying, _ = found["steps"]
    unknown = ("UNRECOGNIZED", UNKNOWN_ENUM_VALUE)
    assert (decrypt["type"], decrypt["rawType"]) == unknown
    details = decrypt["decryptStepDetails"]
    assert (details["type"], details["rawType"]) == unknown
    details = copying["copyStepDetails"]
    assert (details["overwriteExisting"], details["rawOverwriteExisting"]) == unknown
    assert [step["name"] for step in found["steps"]] == ["decrypt", "scan", "archive", "tag"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(FaultKind.DENY, operation=DESCRIBE), "ACCESS_DENIED"),
        (Fault(FaultKind.EMPTY_429, operation=DESCRIBE), "THROTTLED"),
        (Fault(FaultKind.SERVER_ERROR, operation=DESCRIBE), "UPSTREAM_UNAVAILABLE"),
        (Fault(FaultKind.TRUNCATED_BODY, operation=DESCRIBE), "UPSTREAM_UNAVAILABLE"),
        (Fault(FaultKind.HANG, operation=DESCRIBE), "DEADLINE_EXCEEDED"),
        (Fault(FaultKind.DENY, operation="AssumeRole"), "ROLE_NOT_ASSUMABLE"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else value,
)
@pytest.mark.parametrize("request_timeout_s", [30])
async def test_failures_are_data(
    gateway: Gateway, world: World, aws: Emulator, fault: Fault, code: str
) -> None:
    """A failure is returned as its code, with account and region."""
    key = key_of(world.add_workflow(PLAIN, REGION))
    aws.faults.add(fault)
    found = await look_up(gateway, key)
    assert (found["code"], found["target"]) == (code, {"accountId": PLAIN, "region": REGION})


async def test_unknown_workflow(gateway: Gateway, aws: Emulator) -> None:
    """An unknown workflow is WORKFLOW_NOT_FOUND with its name; the next request does not call AWS."""
    for _ in range(2):
        found = await look_up(gateway, key_of(ABSENT))
        assert found.pop("awsRequestId")
        assert found == {
            "__typename": "WorkflowNotFound",
            "code": "WORKFLOW_NOT_FOUND",
            "message": f"AWS has no workflow {ABSENT} in account {PLAIN}, region {REGION}.",
            "retryable": False,
            "target": {"accountId": PLAIN, "region": REGION},
        }
    assert aws.calls.count(operation=DESCRIBE) == 1


@pytest.mark.parametrize("key", [key_of(ABSENT, "123123123123"), key_of(ABSENT, region="ap-southeast-2")])
async def test_unknown_target(gateway: Gateway, aws: Emulator, key: WorkflowKey) -> None:
    """An account or region that is not configured is ACCOUNT_NOT_AVAILABLE, and AWS is not called."""
    assert (await look_up(gateway, key))["code"] == "ACCOUNT_NOT_AVAILABLE"
    assert aws.calls.by_call() == {}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"maxAge": -1}, "maxAge must be 0 or more seconds"),
        ({"key": variables(key_of(ABSENT)) | {"workflowId": "w-1"}}, "WorkflowId must match"),
    ],
)
async def test_bad_input(shared_gateway: Gateway, asked: dict[str, Any], says: str) -> None:
    """An invalid age or id is BAD_USER_INPUT that names the rule."""
    (error,) = (await shared_gateway.ask(WORKFLOW, **({"key": variables(key_of(ABSENT))} | asked)))["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert says in error["message"]


async def test_a_definition_is_kept(gateway: Gateway, world: World, aws: Emulator) -> None:
    """A hundred concurrent and later requests share one call; `maxAge: 0` calls AWS again."""
    key = key_of(world.add_workflow(PLAIN, REGION))
    found = await asyncio.gather(*(look_up(gateway, key) for _ in range(100)))
    assert {answer["observedAt"] for answer in found} == {found[0]["observedAt"]}
    assert (await look_up(gateway, key))["observedAt"] == found[0]["observedAt"]
    assert aws.calls.count(operation=DESCRIBE) == 1
    assert (await look_up(gateway, key, max_age=0))["observedAt"] > found[0]["observedAt"]
    assert aws.calls.count(operation=DESCRIBE) == 2


async def test_steps_have_their_definitions(gateway: Gateway, world: World) -> None:
    """Results are joined with the definition by position: of a running execution and of a failed one."""
    workflow = key_of(world.add_workflow(PLAIN, REGION, definition=DEFINITION))
    steps = [{"StepType": "DECRYPT"}, {"StepType": "CUSTOM"}]
    failed = [*steps, {"StepType": "COPY", "Error": {"Type": "TIMEOUT", "Message": "Too slow."}}]
    running = run(world, workflow, {"Steps": steps})
    failing = run(world, workflow, {"Steps": failed, "OnExceptionSteps": [{"StepType": "DELETE"}]})
    answer = await ask_steps(gateway, [running, failing])
    assert "errors" not in answer, answer
    first, second = (found["results"] for found in answer["data"]["executions"])
    assert defined(first["steps"]) == ["decrypt", "scan"]
    assert first["onExceptionSteps"] is None
    assert defined(second["steps"]) == ["decrypt", "scan", "archive"]
    assert defined(second["onExceptionSteps"]) == ["delete"]
    for step in [*second["steps"], *second["onExceptionSteps"]]:
        assert step["definition"]["type"] == step["stepType"]


async def test_results_past_the_definition(gateway: Gateway, world: World) -> None:
    """A result past the definition's end has none: null, without an error."""
    short = key_of(world.add_workflow(PLAIN, REGION, definition={"Steps": [copy("only")]}))
    bare = key_of(world.add_workflow(PLAIN, REGION, definition={}))
    results = {"Steps": copied(3), "OnExceptionSteps": copied(1)}
    answer = await ask_steps(gateway, [run(world, short, results), run(world, bare, results)])
    assert "errors" not in answer, answer
    first, second = (found["results"] for found in answer["data"]["executions"])
    assert defined(first["steps"]) == ["only", None, None]
    assert defined(second["steps"]) == [None, None, None]
    assert defined(first["onExceptionSteps"]) == defined(second["onExceptionSteps"]) == [None]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(FaultKind.DENY, account_id=PLAIN, operation=DESCRIBE), "ACCESS_DENIED"),
        (
            Fault(FaultKind.ERROR, account_id=PLAIN, operation=DESCRIBE, code="ResourceNotFoundException"),
            "WORKFLOW_NOT_FOUND",
        ),
    ],
    ids=["denied", "deleted"],
)
async def test_a_definition_that_cannot_be_had(
    gateway: Gateway, world: World, aws: Emulator, fault: Fault, code: str
) -> None:
    """Only the definition is null, with the code in errors[]; the rest of every execution is returned.

    It costs one call and one log line, however many steps there are.
    """
    aws.faults.add(fault)
    bad, good = (
        run(world, key_of(world.add_workflow(account, REGION), account), {"Steps": copied(2)})
        for account in (PLAIN, GUARDED)
    )
    with capture_logs() as logs:
        answer = await ask_steps(gateway, [bad, good])
    found = answer["data"]["executions"]
    assert [execution["id"] for execution in found] == [str(bad), str(good)]
    assert [step["stepType"] for step in found[0]["results"]["steps"]] == ["COPY", "COPY"]
    assert defined(found[0]["results"]["steps"]) == [None, None]
    assert None not in defined(found[1]["results"]["steps"])
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["executions", 0, "results", "steps", at, "definition"], code) for at in range(2)
    ]
    assert {error["extensions"]["accountId"] for error in answer["errors"]} == {PLAIN}
    assert aws.calls.count(operation=DESCRIBE, account_id=PLAIN) == 1
    assert [line["event"] for line in logs].count("lookup_failed") == 1


async def test_one_call_for_each_workflow(gateway: Gateway, world: World, aws: Emulator) -> None:
    """Sixty executions of three workflows cost three DescribeWorkflow calls, once; without `definition`, none."""
    workflows = [key_of(world.add_workflow(account, REGION), account) for account in (PLAIN, GUARDED, HOME)]
    results = {"Steps": copied(3), "OnExceptionSteps": copied(1)}
    keys = [run(world, workflow, results) for workflow in workflows for _ in range(20)]
    await gateway.look_up(keys[0])
    assert aws.calls.count(operation=DESCRIBE) == 0
    for _ in range(2):
        answer = await ask_steps(gateway, keys)
        assert "errors" not in answer, answer
        assert all(None not in defined(found["results"]["steps"]) for found in answer["data"]["executions"])
        assert aws.calls.count(operation=DESCRIBE) == len(workflows)


async def test_steps_of_a_page(gateway: Gateway, world: World) -> None:
    """Definitions are available wherever results are, including pages of executions."""
    place(world)
    answer = await gateway.ask(
        "{ inProgressExecutions { edges { node { results { steps { definition { name } } } } } } }"
    )
    (edge,) = answer["data"]["inProgressExecutions"]["edges"]
    assert defined(edge["node"]["results"]["steps"]) == ["decrypt-pgp", "validate-iso20022"]


NODE = "query($id: ID!) { node(id: $id) { __typename id ... on Workflow { steps { name } } } }"


async def test_node(gateway: Gateway, world: World) -> None:
    """A workflow's global id finds it again; an invalid id is null, with a code that names the reason."""
    key = key_of(world.add_workflow(PLAIN, REGION, definition={"Steps": [copy("only")]}))
    answer = await gateway.ask(NODE, id=str(key))
    assert answer == {
        "data": {"node": {"__typename": "Workflow", "id": str(key), "steps": [{"name": "only"}]}}
    }
    for node_id, code in [
        (str(key_of(ABSENT)), "WORKFLOW_NOT_FOUND"),
        (str(key_of(ABSENT, "123123123123")), "ACCOUNT_NOT_AVAILABLE"),
        (f"{PLAIN}/{REGION}/w-1", "BAD_USER_INPUT"),
    ]:
        answer = await gateway.ask(NODE, id=node_id)
        assert answer["data"] == {"node": None}
        assert answer["errors"][0]["extensions"]["code"] == code
