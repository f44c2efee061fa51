"""Finding an execution that the history does not know: AWS is asked only about what the history may lack."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from doors import both_doors
from recorded import ACCOUNTS, REGIONS, REMEMBERS, key_of, recorded_world, same, uploaded, workflow_of
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import GUARDED, PLAIN, REGION, becomes, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from doors import Door
    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.early

TARGETS = len(ACCOUNTS) * len(REGIONS)  # that have workflows
ALL_TARGETS = TARGETS + len(REGIONS)
SLOWLY = {"history_interval_s": 1}  # so that no read has to wait for AWS's quota
NOTHING = {"execution": None, "targetFailures": None}


@pytest.fixture
def world() -> World:
    return recorded_world()


@asynccontextmanager
async def remembering(settings: Callable[..., Settings], **overrides: Any) -> AsyncIterator[Sequence[Door]]:
    async with (
        server.running(settings(**REMEMBERS | SLOWLY | overrides)) as service,
        both_doors(service, history=True) as doors,
    ):
        yield doors


def unknown() -> str:
    """The id of an execution that never existed, and that no snapshot knows."""
    return str(uuid4())


async def calls_to_find(aws: Emulator, doors: Sequence[Door], **where: Any) -> tuple[int, int]:
    """How many calls of DescribeExecution and ListWorkflows an id needs that nobody knows."""
    before = aws.calls.count(operation="DescribeExecution"), aws.calls.count(operation="ListWorkflows")
    found = await doors[0].find(unknown(), **where)
    assert (found["execution"], found["targetFailures"]) == (None, None)
    return (
        aws.calls.count(operation="DescribeExecution") - before[0],
        aws.calls.count(operation="ListWorkflows") - before[1],
    )


async def until_asks_only(doors: Sequence[Door], targets: int, **where: Any) -> None:
    """Wait for the followers."""

    async def asked() -> int:
        return int((await doors[0].find(unknown(), **where))["targetsAsked"] or 0)

    await becomes(asked, targets)


async def test_only_what_is_not_logged_is_asked(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """One workflow in each target logs nothing: one call each, no lists. Of the others, none."""
    running = uploaded(world, "orders", ago_s=100, duration_s=3000)
    async with remembering(settings) as doors:
        await becomes(lambda: calls_to_find(aws, doors), (TARGETS, 0))
        assert await same(doors, "find", unknown()) == NOTHING | {"targetsAsked": TARGETS}
        logged = workflow_of(world, "payments")
        assert await calls_to_find(aws, doors, workflowId=logged) == (0, 0)
        for door in doors:
            found = (await door.find(running.execution_id))["execution"]
            assert (found["executionId"], found["status"]) == (key_of(running)["executionId"], "IN_PROGRESS")


async def test_a_target_whose_log_can_not_be_read_is_asked(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """It alone, in all of its workflows."""
    aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=GUARDED, region=REGION))
    logged = workflow_of(world, "payments", GUARDED, REGION)
    async with remembering(settings) as doors:
        await until_asks_only(doors, 1, workflowId=logged)
        assert await calls_to_find(aws, doors, workflowId=logged) == (1, 0)
        assert await calls_to_find(aws, doors, workflowId=logged, accountIds=[PLAIN]) == (0, 0)


async def test_a_maximum_age_asks_aws(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """0 is as fresh as AWS; NaN and negative numbers are refused."""
    query = (
        "query($id: ExecutionId!, $w: WorkflowId, $age: Float) "
        "{ findExecution(executionId: $id, workflowId: $w, maxAge: $age) { targetsAsked } }"
    )
    logged = workflow_of(world, "payments")
    async with server.running(settings(**REMEMBERS | SLOWLY)) as service, calling(service.url) as gateway:

        async def asked(age: float | None) -> int:
            found = await gateway.ask(query, id=unknown(), w=logged, age=age)
            return int(found["data"]["findExecution"]["targetsAsked"])

        await becomes(lambda: asked(None), 0)
        assert await asked(0) == ALL_TARGETS
        assert await asked(3600) == 0
        (error,) = (await gateway.ask(query, id=unknown(), age=-1))["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_without_its_store_all_are_asked(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """What runs is found as ever."""
    running = uploaded(world, ago_s=100, duration_s=3000)
    nowhere = "postgresql://gateway@127.0.0.1:1/history"
    async with remembering(settings, history_url=nowhere) as doors:
        found = await same(doors, "find", unknown())
        assert found == NOTHING | {"targetsAsked": ALL_TARGETS}
        for door in doors:
            assert (await door.find(running.execution_id))["execution"]["status"] == "IN_PROGRESS"


async def test_what_the_history_knows_and_aws_denies_is_a_failure(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """Not "not found": the target is named."""
    running = uploaded(world, ago_s=100, duration_s=3000)
    async with remembering(settings) as doors:

        async def status() -> object:
            found = (await doors[0].find(running.execution_id))["execution"]
            return found and found["startedAt"] is not None

        await becomes(status, expected=True)
        aws.faults.add(Fault(FaultKind.DENY, operation="DescribeExecution", account_id=PLAIN))
        for door in doors:

            async def failed(door: Door = door) -> object:
                found = await door.find(running.execution_id)
                return found["execution"], [it["accountId"] for it in found["targetFailures"] or ()]

            await becomes(failed, (None, [PLAIN] * len(REGIONS)))
