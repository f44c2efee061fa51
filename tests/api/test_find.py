"""Finding an execution by its id alone, over the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from wire import GUARDED, HOME, PLAIN, Gateway, place, until_in_flight

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = pytest.mark.fast_time

FIND = """
query Find($id: ExecutionId!, $workflow: WorkflowId, $accounts: [AccountId!], $regions: [Region!]) {
  findExecution(executionId: $id, workflowId: $workflow, accountIds: $accounts, regions: $regions) {
    execution { id status } targetsAsked targetFailures { accountId region error { code } }
  }
}
"""
ABSENT = "00000000-0000-4000-8000-000000000000"
DESCRIBE = "DescribeExecution"


async def find(gateway: Gateway, execution_id: str, **variables: Any) -> dict[str, Any]:
    answer = await gateway.ask(FIND, id=execution_id, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["findExecution"]
    return found


def everywhere(world: World) -> list[ExecutionKey]:
    return [place(world, account, region) for account in (PLAIN, GUARDED, HOME) for region in world.regions]


async def test_found_anywhere(gateway: Gateway, world: World) -> None:
    """By id alone, by id and workflow, and in the given accounts and regions."""
    for key in everywhere(world):
        for narrowed in (
            {},
            {"workflow": key.workflow_id},
            {"accounts": [key.account_id], "regions": [key.region]},
        ):
            found = await find(gateway, key.execution_id, **narrowed)
            assert (found["execution"]["id"], found["targetFailures"]) == (str(key), [])


async def test_not_found(gateway: Gateway, world: World) -> None:
    """If every target has answered and none has it, the result is conclusive."""
    everywhere(world)
    assert await find(gateway, ABSENT) == {"execution": None, "targetsAsked": 6, "targetFailures": []}
    assert (await find(gateway, ABSENT, accounts=[PLAIN], regions=["eu-west-1"]))["targetsAsked"] == 1


async def test_not_elsewhere(gateway: Gateway, world: World) -> None:
    """A search limited to other targets does not find it, even if it was seen elsewhere."""
    key = place(world, PLAIN)
    assert (await find(gateway, key.execution_id))["execution"]
    other = world.add_workflow(PLAIN, "eu-west-1")
    assert (await find(gateway, key.execution_id, accounts=[GUARDED]))["execution"] is None
    assert (await find(gateway, key.execution_id, workflow=other))["execution"] is None


async def test_failed_targets_are_told(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A target that could not be searched, whichever call failed, is reported as failed, not as a miss."""
    everywhere(world)
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation=DESCRIBE))
    aws.faults.add(Fault(FaultKind.DENY, account_id=HOME, region="us-east-1", operation="ListWorkflows"))
    found = await find(gateway, ABSENT)
    assert found["execution"] is None
    assert found["targetFailures"] == [
        {"accountId": account, "region": region, "error": {"code": "ACCESS_DENIED"}}
        for account, region in [(GUARDED, "eu-west-1"), (GUARDED, "us-east-1"), (HOME, "us-east-1")]
    ]


async def test_found_although_others_fail(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A result is returned at once, whatever other targets do; their calls are cancelled."""
    key = everywhere(world)[0]
    aws.faults.add(Fault(FaultKind.HANG, account_id=GUARDED, service="transfer"))
    aws.faults.add(Fault(FaultKind.DENY, account_id=HOME))
    async with asyncio.timeout(50):
        found = await find(gateway, key.execution_id)
    assert (found["execution"]["id"], found["targetFailures"]) == (str(key), [])
    await until_in_flight(aws, 0)


async def test_where_it_was_seen_is_asked_first(gateway: Gateway, aws: Emulator, world: World) -> None:
    """The second search needs one call, wherever the execution was seen: in a lookup, a list or a search."""
    keys = everywhere(world)
    await gateway.look_up(keys[0])
    assert (await find(gateway, keys[1].execution_id))["execution"]
    answer = await gateway.ask("{ inProgressExecutions { edges { node { id } } } }")
    assert len(answer["data"]["inProgressExecutions"]["edges"]) == 6
    for key in (keys[0], keys[1], keys[5]):
        for _ in range(
            5
        ):  # unless the machine just then takes half a second for the one call: then all are asked
            await asyncio.sleep(1.1)
            aws.calls.reset()
            found = await find(gateway, key.execution_id)
            if aws.calls.count() == 1:
                break
        assert (found["execution"]["id"], found["targetsAsked"]) == (str(key), 1)
        assert aws.calls.count() == 1


async def test_a_workflow_that_is_new(gateway: Gateway, aws: Emulator, world: World) -> None:
    """An execution of a workflow created after the last list is found; a miss is conclusive."""
    everywhere(world)
    await find(gateway, ABSENT)
    key = place(world)
    assert (await find(gateway, key.execution_id))["execution"] == {"id": str(key), "status": "IN_PROGRESS"}
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation="ListWorkflows"))
    found = await find(gateway, ABSENT.replace("0", "1"))
    assert [failure["accountId"] for failure in found["targetFailures"]] == [GUARDED, GUARDED]


async def test_a_miss_lists_workflows_once(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Workflows listed for this very search are not listed again."""
    everywhere(world)
    await find(gateway, ABSENT)
    assert (aws.calls.count(operation="ListWorkflows"), aws.calls.count(operation=DESCRIBE)) == (6, 6)


async def test_found_beside_a_workflow_that_hangs(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A workflow that has the execution answers at once, whatever other workflows of the target do."""
    first, *_, key = [place(world) for _ in range(5)]
    await find(gateway, ABSENT, accounts=[PLAIN])
    aws.faults.add(Fault(FaultKind.HANG, operation=DESCRIBE, times=1))
    elsewhere = first._replace(execution_id=key.execution_id)
    hanging = asyncio.create_task(gateway.look_up(elsewhere))  # which the search joins
    await until_in_flight(aws, 1)
    async with asyncio.timeout(50):
        assert (await find(gateway, key.execution_id))["execution"]["id"] == str(key)
    assert not hanging.done()
    hanging.cancel()
    await until_in_flight(aws, 0)


@pytest.mark.fast_time
@pytest.mark.parametrize("request_timeout_s", [30])
async def test_where_it_was_seen_hangs(gateway: Gateway, aws: Emulator, world: World) -> None:
    """All other targets are searched meanwhile: only the hanging one is reported."""
    key = everywhere(world)[0]
    await gateway.look_up(key)
    await asyncio.sleep(1.1)
    aws.faults.add(Fault(FaultKind.HANG, account_id=key.account_id, region=key.region, service="transfer"))
    found = await find(gateway, key.execution_id)
    assert (found["execution"], found["targetsAsked"]) == (None, 6)
    assert found["targetFailures"] == [
        {"accountId": key.account_id, "region": key.region, "error": {"code": "DEADLINE_EXCEEDED"}}
    ]


@pytest.mark.fast_time
async def test_where_it_was_seen_is_slow(gateway: Gateway, aws: Emulator, world: World) -> None:
    """The search waits for it, although all other targets have answered that they don't have it."""
    key = everywhere(world)[0]
    await gateway.look_up(key)
    await asyncio.sleep(1.1)
    aws.faults.add(Fault(FaultKind.LATENCY, account_id=key.account_id, region=key.region, seconds=1))
    assert (await find(gateway, key.execution_id))["execution"]["id"] == str(key)


@pytest.mark.fast_time
async def test_gone_from_where_it_was_seen(gateway: Gateway, world: World) -> None:
    """An execution that is gone from where it was seen is searched for everywhere, and conclusively missing."""
    key = everywhere(world)[0]
    assert (await find(gateway, key.execution_id))["execution"]
    world.remove(key.account_id, key.region, key.workflow_id, key.execution_id)
    await asyncio.sleep(1.1)
    assert await find(gateway, key.execution_id) == {
        "execution": None,
        "targetsAsked": 6,
        "targetFailures": [],
    }


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"id": "1"}, "BAD_USER_INPUT"),
        ({"id": ABSENT, "workflow": "w"}, "BAD_USER_INPUT"),
        ({"id": ABSENT, "accounts": ["1"]}, "BAD_USER_INPUT"),
        ({"id": ABSENT, "accounts": ["123123123123"]}, "ACCOUNT_NOT_AVAILABLE"),
        ({"id": ABSENT, "accounts": [PLAIN], "regions": ["ap-south-1"]}, "ACCOUNT_NOT_AVAILABLE"),
        ({"id": ABSENT, "regions": ["ap-south-1"]}, "BAD_USER_INPUT"),
        ({"id": ABSENT, "regions": ["eu-west-1", "ap-south-1"]}, "BAD_USER_INPUT"),
    ],
)
async def test_bad_input(shared_gateway: Gateway, variables: dict[str, Any], code: str) -> None:
    """Malformed ids, and accounts and regions that are not configured, are errors."""
    (error,) = (await shared_gateway.ask(FIND, **variables))["errors"]
    assert error["extensions"]["code"] == code
