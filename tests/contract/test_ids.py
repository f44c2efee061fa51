"""Ids in upper case: one resource has one id, whichever of AWS's spellings it is requested by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from doors import Failed
from wire import place, to_input

if TYPE_CHECKING:
    from doors import Door, GraphQLDoor, RpcDoor
    from transfer_emulator import Emulator, World
    from wire import Gateway


async def test_upper_case_execution_ids(
    doors: tuple[GraphQLDoor, RpcDoor], gateway: Gateway, aws: Emulator, world: World
) -> None:
    """AWS's pattern allows both cases: they are one execution with one snapshot, and its id is lower-case."""
    key = place(world)
    upper = to_input(key) | {"executionId": key.execution_id.upper()}
    assert upper["executionId"] != key.execution_id
    for door in doors:
        assert (await door.get(upper, max_age=60))["executionId"] == key.execution_id
        assert (await door.get(to_input(key), max_age=60))["executionId"] == key.execution_id
        for found in await door.batch([upper, to_input(key)], max_age=60):
            assert found["executionId"] == key.execution_id
    assert aws.calls.count(operation="DescribeExecution") == 1
    for door in doors:
        found = await door.find(upper["executionId"])
        assert found["execution"]["executionId"] == key.execution_id
    global_id = "/".join(upper.values())
    answer = await gateway.ask("query($id: ID!) { node(id: $id) { id } }", id=global_id)
    assert answer["data"]["node"]["id"] == str(key)


@pytest.mark.parametrize(
    ("field", "value"),
    [("workflowId", "W-1A2B3C4D5E6F7A8B9"), ("region", "EU-WEST-1"), ("region", "Eu-West-1")],
)
async def test_upper_case_of_other_ids(
    doors: tuple[GraphQLDoor, RpcDoor], aws: Emulator, world: World, field: str, value: str
) -> None:
    """AWS's patterns of other ids are lower-case only: others are rejected, with the field and the pattern."""
    key = to_input(place(world)) | {field: value}
    both: tuple[Door, ...] = doors
    for door, named in zip(both, (field, {"workflowId": "workflow_id"}.get(field, field)), strict=True):
        with pytest.raises(Failed) as failed:
            await door.get(key)
        assert failed.value.error["code"] == "BAD_USER_INPUT"
        assert "must match" in failed.value.error["message"]
        assert f'got "{value}"' in failed.value.error["message"]
        assert named in failed.value.error["message"]
    assert aws.calls.by_call() == {}
