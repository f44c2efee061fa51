"""Transfer's read operations, as boto3 sees them."""

from typing import Any

import pytest

from transfer_emulator import World

ACCOUNT = "111111111111"
REGION = "eu-west-1"
MISSING_EXECUTION = "00000000-0000-4000-8000-000000000000"


async def test_a_placed_execution_is_described_as_it_was_placed(world: World, aws: Any) -> None:
    """Any subset of members, the largest POSIX id and letters of any script are unchanged."""
    workflow_id = world.add_workflow(ACCOUNT, REGION)
    wire = {
        "InitialFileLocation": {"S3FileLocation": {"Bucket": "b-1", "Key": "räksmörgås/файл \u202e🚚.csv"}},
        "PosixProfile": {"Uid": 4294967295, "Gid": 0, "SecondaryGids": []},
        "Results": {"Steps": [{"StepType": "DELETE", "Outputs": ""}, {}]},
    }
    execution_id = world.place(ACCOUNT, REGION, workflow_id, wire)
    transfer = aws.client("transfer", await aws.session())
    answer = await aws.call(transfer, "describe_execution", WorkflowId=workflow_id, ExecutionId=execution_id)
    assert (answer["WorkflowId"], answer["Execution"]) == (workflow_id, wire)


async def test_an_execution_placed_without_details_has_every_member(world: World, aws: Any) -> None:
    """A sample execution in progress, with every member of DescribedExecution."""
    workflow_id = world.add_workflow(ACCOUNT, REGION)
    execution_id = world.place(ACCOUNT, REGION, workflow_id)
    transfer = aws.client("transfer", await aws.session())
    answer = await aws.call(transfer, "describe_execution", WorkflowId=workflow_id, ExecutionId=execution_id)
    model = transfer.meta.service_model.shape_for("DescribedExecution")
    assert answer["Execution"].keys() == model.members.keys()
    assert answer["Execution"]["ExecutionId"] == execution_id
    assert answer["Execution"]["Status"] == "IN_PROGRESS"


@pytest.mark.parametrize("why", ["never existed", "another workflow's", "removed", "another region's"])
async def test_what_is_not_in_progress_is_not_found(world: World, aws: Any, why: str) -> None:
    """Finished, unknown and another workflow's executions get the same ResourceNotFoundException."""
    workflow_id, other_id = world.add_workflow(ACCOUNT, REGION), world.add_workflow(ACCOUNT, REGION)
    execution_id = world.place(ACCOUNT, REGION, other_id if why == "another workflow's" else workflow_id)
    if why == "removed":
        world.remove(ACCOUNT, REGION, workflow_id, execution_id)
    if why == "never existed":
        execution_id = MISSING_EXECUTION
    region = "us-east-1" if why == "another region's" else REGION
    transfer = aws.client("transfer", await aws.session(), region)
    answer = await aws.refused(
        transfer, "describe_execution", WorkflowId=workflow_id, ExecutionId=execution_id
    )
    assert answer["Error"]["Code"] == "ResourceNotFoundException"
    assert (answer["ResourceType"], answer["Resource"]) == ("Execution", execution_id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400


async def test_each_account_and_region_has_its_own_state(world: World, aws: Any) -> None:
    """The same workflow id in three targets identifies three workflows; the home account has its own, too."""
    workflow_id = "w-0123456789abcdef0"
    for account_id, region in [(ACCOUNT, REGION), (ACCOUNT, "us-east-1"), ("999999999999", REGION)]:
        world.add_workflow(account_id, region, workflow_id)
    session = await aws.session()
    arns = [
        (await aws.call(client, "describe_workflow", WorkflowId=workflow_id))["Workflow"]["Arn"]
        for client in (
            aws.client("transfer", session),
            aws.client("transfer", session, "us-east-1"),
            aws.client("transfer"),
        )
    ]
    assert arns == [
        f"arn:aws:transfer:{REGION}:{ACCOUNT}:workflow/{workflow_id}",
        f"arn:aws:transfer:us-east-1:{ACCOUNT}:workflow/{workflow_id}",
        f"arn:aws:transfer:{REGION}:999999999999:workflow/{workflow_id}",
    ]


async def test_executions_are_listed_in_pages(world: World, aws: Any) -> None:
    """Every execution once, MaxResults a page, with the listed shape's members only."""
    workflow_id = world.add_workflow(ACCOUNT, REGION)
    placed = {world.place(ACCOUNT, REGION, workflow_id) for _ in range(25)}
    transfer = aws.client("transfer", await aws.session())
    sizes, listed = [], []
    token: dict[str, str] = {}
    while True:
        page = await aws.call(transfer, "list_executions", WorkflowId=workflow_id, MaxResults=10, **token)
        sizes.append(len(page["Executions"]))
        listed += page["Executions"]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sizes == [10, 10, 5]
    assert {execution["ExecutionId"] for execution in listed} == placed
    model = transfer.meta.service_model.shape_for("ListedExecution")
    assert listed[0].keys() == model.members.keys()


async def test_a_page_continues_where_the_last_one_ended(world: World, aws: Any) -> None:
    """Executions that end between two pages shift nothing: each other one is listed once."""
    workflow_id = world.add_workflow(ACCOUNT, REGION)
    ids = sorted(world.place(ACCOUNT, REGION, workflow_id) for _ in range(6))
    transfer = aws.client("transfer", await aws.session())
    first = await aws.call(transfer, "list_executions", WorkflowId=workflow_id, MaxResults=3)
    for execution_id in ids[:3]:
        world.remove(ACCOUNT, REGION, workflow_id, execution_id)
    rest = await aws.call(transfer, "list_executions", WorkflowId=workflow_id, NextToken=first["NextToken"])
    assert [execution["ExecutionId"] for execution in rest["Executions"]] == ids[3:]


async def test_a_foreign_token_is_refused(world: World, aws: Any) -> None:
    """Invalid tokens and those of another list get InvalidNextTokenException."""
    workflows = [world.add_workflow(ACCOUNT, REGION) for _ in range(2)]
    transfer = aws.client("transfer", await aws.session())
    token = (await aws.call(transfer, "list_workflows", MaxResults=1))["NextToken"]
    for given in (token, "made-up", "bnVsbA==", "ä"):
        answer = await aws.refused(transfer, "list_executions", WorkflowId=workflows[0], NextToken=given)
        assert answer["Error"]["Code"] == "InvalidNextTokenException"


async def test_workflows_are_listed_and_described(world: World, aws: Any) -> None:
    """The paginator finds all; DescribeWorkflow adds steps, details and tags."""
    ids = {world.add_workflow(ACCOUNT, REGION) for _ in range(3)}
    transfer = aws.client("transfer", await aws.session())
    page = await aws.call(transfer, "list_workflows", MaxResults=2)
    rest = await aws.call(transfer, "list_workflows", MaxResults=2, NextToken=page["NextToken"])
    listed = page["Workflows"] + rest["Workflows"]
    assert {workflow["WorkflowId"] for workflow in listed} == ids
    answer = await aws.call(transfer, "describe_workflow", WorkflowId=min(ids))
    workflow = answer["Workflow"]
    assert [step["Type"] for step in workflow["Steps"]] == ["DECRYPT", "CUSTOM", "COPY", "TAG", "DELETE"]
    assert all(step[f"{step['Type'].capitalize()}StepDetails"]["Name"] for step in workflow["Steps"])
    assert workflow["OnExceptionSteps"]
    assert workflow["Tags"]


@pytest.mark.parametrize("operation", ["list_executions", "describe_workflow"])
async def test_an_unknown_workflow_is_not_found(aws: Any, operation: str) -> None:
    """ResourceNotFoundException, naming the workflow."""
    transfer = aws.client("transfer", await aws.session())
    answer = await aws.refused(transfer, operation, WorkflowId="w-0123456789abcdef0")
    assert answer["Error"]["Code"] == "ResourceNotFoundException"
    assert (answer["ResourceType"], answer["Resource"]) == ("Workflow", "w-0123456789abcdef0")


async def test_servers_are_listed_and_described(world: World, aws: Any) -> None:
    """DescribeServer adds what ListServers lacks, such as the workflows; the home account has none of them."""
    role = f"arn:aws:iam::{ACCOUNT}:role/logging"
    ids = {world.add_server(ACCOUNT, REGION, {"LoggingRole": role, "Protocols": ["SFTP"]}) for _ in range(3)}
    transfer = aws.client("transfer", await aws.session())
    page = await aws.call(transfer, "list_servers", MaxResults=2)
    rest = await aws.call(transfer, "list_servers", MaxResults=2, NextToken=page["NextToken"])
    listed = page["Servers"] + rest["Servers"]
    assert {server["ServerId"] for server in listed} == ids
    assert all(server.keys() == {"ServerId", "Arn", "LoggingRole"} for server in listed)
    server = (await aws.call(transfer, "describe_server", ServerId=min(ids)))["Server"]
    assert server == {
        "ServerId": min(ids),
        "Arn": f"arn:aws:transfer:{REGION}:{ACCOUNT}:server/{min(ids)}",
        "LoggingRole": role,
        "Protocols": ["SFTP"],
    }
    assert (await aws.call(aws.client("transfer"), "list_servers"))["Servers"] == []


async def test_an_unknown_server_is_not_found(aws: Any) -> None:
    """ResourceNotFoundException, naming the server."""
    transfer = aws.client("transfer", await aws.session())
    answer = await aws.refused(transfer, "describe_server", ServerId="s-0123456789abcdef0")
    assert answer["Error"]["Code"] == "ResourceNotFoundException"
    assert (answer["ResourceType"], answer["Resource"]) == ("Server", "s-0123456789abcdef0")
