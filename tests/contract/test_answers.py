"""Both servers return the same for every request, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from doors import Door, GraphQLDoor, RpcDoor
from transfer_emulator import Emulator, Fault, FaultKind, World
from wire import GUARDED, HOME, PLAIN, REGION, place, to_input

S3 = {"S3FileLocation": {"Bucket": "landing", "Key": "in/日本語/a.pgp", "VersionId": "v1", "Etag": "e1"}}
EFS = {"EfsFileLocation": {"FileSystemId": "fs-12345678", "Path": "/in/b.pgp"}}
UPLOAD = {"UserDetails": {"UserName": "acme", "ServerId": "s-0123456789abcdef0", "SessionId": "abc123"}}
EXECUTIONS: dict[str, dict[str, Any]] = {
    "everything": {
        "InitialFileLocation": S3 | EFS,
        "ServiceMetadata": UPLOAD,
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
    },
    "nothing": {},
    "empty-structures": {"Results": {}, "InitialFileLocation": {}, "LoggingConfiguration": {}},
    "unknown-values": {
        "Status": "PAUSED",
        "Results": {
            "Steps": [{"StepType": "SCAN"}, {"StepType": "COPY", "Error": {"Type": "TIRED", "Message": ""}}]
        },
    },
    "longest-key": {"InitialFileLocation": {"S3FileLocation": {"Bucket": "bbb", "Key": "k" * 1024}}},
}
DESTINATION = {"S3FileLocation": {"Bucket": "archive", "Key": "in/${Transfer:UserName}/"}}
WORKFLOW: dict[str, Any] = {
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
                "Target": "arn:aws:lambda:eu-west-1:111111111111:function:scan",
                "TimeoutSeconds": 1800,
            },
        },
        {
            "Type": "COPY",
            "CopyStepDetails": {
                "Name": "archive",
                "DestinationFileLocation": DESTINATION,
                "OverwriteExisting": "FALSE",
            },
        },
        {"Type": "TAG", "TagStepDetails": {"Name": "tag", "Tags": [{"Key": "état", "Value": ""}]}},
    ],
    "OnExceptionSteps": [{"Type": "DELETE", "DeleteStepDetails": {"Name": "delete"}}],
    "Tags": [{"Key": "team", "Value": "payments"}],
    "StructuredLogDestinations": ["arn:aws:logs:eu-west-1:111111111111:log-group:/aws/transfer:*"],
}

BARE: dict[str, Any] = {"Steps": []}


async def same(doors: tuple[Door, Door], operation: str, *arguments: Any, **options: Any) -> Any:
    """The response, the same from both servers."""
    by_graphql, by_rpc = [await getattr(door, operation)(*arguments, **options) for door in doors]
    assert by_graphql == by_rpc
    return by_graphql


@pytest.mark.parametrize("wire", [pytest.param(wire, id=name) for name, wire in EXECUTIONS.items()])
async def test_execution(doors: tuple[GraphQLDoor, RpcDoor], world: World, wire: dict[str, Any]) -> None:
    """Whatever AWS sends or omits of an execution."""
    key = place(world, execution=wire)
    found = await same(doors, "get", to_input(key))
    assert (found["id"], found["rawStatus"]) == (str(key), wire.get("Status"))


async def test_values_of_tomorrow(doors: tuple[GraphQLDoor, RpcDoor], world: World, aws: Emulator) -> None:
    """Unknown enum values and new members in every structure."""
    for kind in (FaultKind.UNKNOWN_ENUM, FaultKind.UNKNOWN_MEMBER):
        aws.faults.add(Fault(kind, operation="DescribeExecution"))
    found = await same(doors, "get", to_input(place(world)), max_age=0)
    assert found["status"] == "UNRECOGNIZED"


async def test_gone_and_unknown(doors: tuple[GraphQLDoor, RpcDoor], world: World) -> None:
    """A finished execution, an account that isn't configured, a region that isn't."""
    key = place(world)
    world.remove(key.account_id, key.region, key.workflow_id, key.execution_id)
    assert (await same(doors, "get", to_input(key)))["code"] == "EXECUTION_NOT_FOUND"
    for other in ({"accountId": "123123123123"}, {"region": "ap-southeast-2"}):
        unknown = to_input(key) | other
        assert (await same(doors, "get", unknown))["code"] == "ACCOUNT_NOT_AVAILABLE"
        del unknown["executionId"]
        assert (await same(doors, "get_workflow", unknown))["code"] == "ACCOUNT_NOT_AVAILABLE"
    nowhere = {"accountId": PLAIN, "region": REGION, "workflowId": "w-" + "0" * 17}
    assert (await same(doors, "get_workflow", nowhere))["code"] == "WORKFLOW_NOT_FOUND"


async def test_batch(doors: tuple[GraphQLDoor, RpcDoor], world: World, aws: Emulator) -> None:
    """Found, duplicate, gone, denied and not configured: each at its index, one AWS call for a duplicate key."""
    found, denied = place(world), place(world, GUARDED)
    gone = place(world)
    world.remove(PLAIN, gone.region, gone.workflow_id, gone.execution_id)
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation="DescribeExecution"))
    keys = [to_input(key) for key in (found, gone, denied, found)]
    keys.append(keys[0] | {"accountId": "123123123123"})
    answer = await same(doors, "batch", keys, max_age=60)
    assert [item.get("code") for item in answer] == [
        None,
        "EXECUTION_NOT_FOUND",
        "ACCESS_DENIED",
        None,
        "ACCOUNT_NOT_AVAILABLE",
    ]
    assert await same(doors, "batch", []) == []


async def test_find(doors: tuple[GraphQLDoor, RpcDoor], world: World, aws: Emulator) -> None:
    """By id alone, by workflow, in an account and region; and a miss."""
    key = place(world, HOME)
    await same(doors, "get", to_input(key))  # so that both find it where it was seen
    for where in (
        {"workflowId": key.workflow_id},
        {"accountIds": [HOME]},
        {"regions": [REGION]},
        {},
    ):
        assert (await same(doors, "find", key.execution_id, **where))["execution"]["id"] == str(key)
    assert (await same(doors, "find", key.execution_id, accountIds=[PLAIN]))["execution"] is None
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation="ListWorkflows"))
    absent = await same(doors, "find", "00000000-0000-4000-8000-000000000000")
    assert [failure["accountId"] for failure in absent["targetFailures"]] == [GUARDED, GUARDED]


FILTERS: list[dict[str, Any]] = [
    {"accountIds": [PLAIN]},
    {"regions": ["us-east-1"]},
    {"statuses": ["HANDLING_EXCEPTION", "UNRECOGNIZED"]},
    {"serverId": "s-0123456789abcdef0"},
    {"userName": "acme"},
    {"sessionId": "abc123"},
    {"bucket": "landing"},
    {"keyPrefix": "in/日本"},
    {"keyPrefix": ""},
    {"fileSystemId": "fs-12345678"},
    {"pathPrefix": "/in"},
    {"accountIds": [], "userName": "nobody"},
]


async def test_lists_of_executions(doors: tuple[GraphQLDoor, RpcDoor], world: World) -> None:
    """Page by page, with and without details; each filter; a page token is the other server's cursor."""
    for wire in EXECUTIONS.values():
        place(world, execution=wire)
    key = place(world, GUARDED, "us-east-1")
    for options in ({}, {"details": True}):
        after = None
        for _ in range(3):
            page = await same(doors, "list_executions", first=2, after=after, **options)
            after = page["next"]
        assert after is None
    for wanted in (*FILTERS, {"workflowIds": [key.workflow_id]}):
        await same(doors, "list_executions", filter=wanted)
    everything = await same(doors, "list_executions")
    assert len(everything["entries"]) == len(EXECUTIONS) + 1


async def test_workflows(doors: tuple[GraphQLDoor, RpcDoor], world: World) -> None:
    """A definition with and without details; lists of them, filtered, with and without details."""
    ids = [world.add_workflow(PLAIN, REGION, definition=wire) for wire in (WORKFLOW, BARE)]
    for workflow_id in ids:
        key = {"accountId": PLAIN, "region": REGION, "workflowId": workflow_id}
        assert (await same(doors, "get_workflow", key))["workflowId"] == workflow_id
    world.add_workflow(GUARDED, "us-east-1", definition=WORKFLOW)
    for options in ({}, {"details": True}, {"first": 1}, {"filter": {"accountIds": [PLAIN]}}):
        page = await same(doors, "list_workflows", **options)
        assert page["entries"]


async def test_definitions(doors: tuple[GraphQLDoor, RpcDoor], world: World, aws: Emulator) -> None:
    """Each step's result with its definition: joined, past the definition's end, or the error."""
    results = {"Steps": [{"StepType": "DECRYPT"}] * 5, "OnExceptionSteps": [{"StepType": "DELETE"}]}
    execution = {"Status": "IN_PROGRESS", "Results": results}
    where = (PLAIN, REGION, world.add_workflow(PLAIN, REGION, definition=WORKFLOW))
    execution_id = world.place(*where, execution)
    key = {"accountId": PLAIN, "region": REGION, "workflowId": where[2], "executionId": execution_id}
    steps = (await same(doors, "get", key, definitions=True))["results"]["steps"]
    assert [step["definition"] and step["definition"]["name"] for step in steps] == [
        "decrypt",
        "scan",
        "archive",
        "tag",
        None,
    ]
    assert await same(doors, "batch", [key], definitions=True) == [
        await same(doors, "get", key, definitions=True)
    ]
    await same(doors, "find", key["executionId"], definitions=True)
    await same(doors, "list_executions", definitions=True)

    aws.faults.add(Fault(FaultKind.DENY, operation="DescribeWorkflow"))
    other = to_input(place(world, GUARDED))
    step = (await same(doors, "get", other, definitions=True))["results"]["steps"][0]
    assert (step["definition"], step["definitionError"]["code"]) == (None, "ACCESS_DENIED")


async def test_accounts(doors: tuple[GraphQLDoor, RpcDoor]) -> None:
    """The configured accounts, in order."""
    assert [account["accountId"] for account in await same(doors, "accounts")] == [PLAIN, GUARDED, HOME]
