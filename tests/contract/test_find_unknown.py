"""Finding an execution that the history does not know: AWS is asked only about what the history may lack."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from doors import Failed, both_doors
from recorded import (
    ACCOUNTS,
    REGIONS,
    REMEMBERS,
    key_of,
    recorded_world,
    same,
    until_read,
    uploaded,
    workflow_of,
)
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import GUARDED, HOME, PLAIN, REGION, becomes, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from doors import Door
    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.early

TARGETS = len(ACCOUNTS) * len(REGIONS)  # that have workflows
ALL_TARGETS = TARGETS + len(REGIONS)
SLOWLY: dict[str, Any] = {
    "history_interval_s": 1,
    "target_rate_per_s": 1000,
}  # so that no read has to wait for AWS's quota
HOUR_S = 3600.0
EVERYTHING: dict[str, Any] = {"history_backfill_hours": 5}  # since before the log groups were made


@pytest.fixture
def world() -> World:
    return recorded_world(age_s=4 * HOUR_S)


@asynccontextmanager
async def remembering(
    settings: Callable[..., Settings], *, has_read: bool = True, **overrides: Any
) -> AsyncIterator[Sequence[Door]]:
    """`has_read`: wait until it has read all logs."""
    async with (
        server.running(settings(**REMEMBERS | SLOWLY | overrides)) as service,
        both_doors(service, history=True) as doors,
    ):
        if has_read:
            await until_read(doors[0])
        yield doors


def unknown() -> str:
    """The id of an execution that never existed, and that no snapshot knows."""
    return str(uuid4())


async def calls_to_find(aws: Emulator, doors: Sequence[Door], **where: Any) -> tuple[int, int]:
    """How many calls of DescribeExecution and ListWorkflows an id needs that nobody knows."""
    before = aws.calls.count(operation="DescribeExecution"), aws.calls.count(operation="ListWorkflows")
    found = await doors[0].find(unknown(), **where)
    assert found["execution"] is None
    return (
        aws.calls.count(operation="DescribeExecution") - before[0],
        aws.calls.count(operation="ListWorkflows") - before[1],
    )


def doubts(found: dict[str, Any]) -> dict[str, set[str]]:
    """Of an answer: why which accounts may have had the execution; or its status."""
    if found["execution"] is not None:
        return {found["execution"]["status"]: {found["execution"]["accountId"]}}
    why: dict[str, set[str]] = {}
    for failure in found["targetFailures"] or ():
        error = failure["error"]
        assert (error["accountId"], error["region"]) == (failure["accountId"], failure["region"])
        why.setdefault(error["reason"] or error["code"], set()).add(failure["accountId"])
    return why


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
        found = await same(doors, "find", unknown())
        assert (found["targetsAsked"], len(found["targetFailures"])) == (TARGETS, TARGETS)
        assert doubts(found) == {"NOT_LOGGED": set(ACCOUNTS)}
        assert all("logging role" in failure["error"]["remedy"] for failure in found["targetFailures"])
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
    async with (
        server.running(settings(**REMEMBERS | SLOWLY)) as service,
        both_doors(service) as doors,
        calling(service.url) as gateway,
    ):
        await until_read(doors[0])

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
    """What runs is found as ever. What does not may have ended: the store is named."""
    running = uploaded(world, ago_s=100, duration_s=3000)
    nowhere = "postgresql://gateway@127.0.0.1:1/history"
    async with remembering(settings, has_read=False, history_url=nowhere) as doors:
        for door in doors:
            before = aws.calls.count(operation="DescribeExecution")
            with pytest.raises(Failed, match="The history store can't be reached") as failed:
                await door.find(unknown())
            assert failed.value.error["code"] == "UPSTREAM_UNAVAILABLE"
            assert aws.calls.count(operation="DescribeExecution") - before >= TARGETS
            assert (await door.find(running.execution_id))["execution"]["status"] == "IN_PROGRESS"
            only = await door.find(unknown(), in_progress_only=True)
            assert (only["execution"], only["targetFailures"]) == (None, None)


async def test_nothing_found_is_conclusive_once_all_is_read(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """All that a log ever got has been read: no target is in doubt."""
    logged = workflow_of(world, "payments")
    async with remembering(settings, **EVERYTHING) as doors:

        async def found(door: Door) -> Any:
            return await door.find(unknown(), workflowId=logged)

        for door in doors:
            conclusive = {"execution": None, "targetFailures": None, "targetsAsked": 0}
            await becomes(partial(found, door), conclusive)


@pytest.mark.thorough
async def test_what_ended_before_the_history_begins_is_in_doubt(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """It is not said that it never was; the time is told, and a lookup finds it."""
    ended = uploaded(world, ago_s=3 * HOUR_S, duration_s=5)
    async with remembering(settings, history_backfill_hours=1) as doors:
        for door in doors:

            async def why(door: Door = door) -> Any:
                return doubts(await door.find(ended.execution_id, workflowId=ended.workflow_id))

            await becomes(why, {"EXPIRED": set(ACCOUNTS)})
        found = await same(doors, "find", ended.execution_id, accountIds=[PLAIN], regions=[REGION])
        (failure,) = found["targetFailures"]
        assert failure["error"]["reason"] == "NOT_LOGGED"  # the worse reason first
        assert (await doors[0].find(ended.execution_id, in_progress_only=True))["targetFailures"] is None
        assert (await doors[0].get(key_of(ended)))["status"] == "COMPLETED"


@pytest.mark.thorough
async def test_what_retention_has_deleted_is_in_doubt(
    world: World, aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The history begins when what it keeps does, wherever it says since when it knows everything."""
    old = uploaded(world, ago_s=2 * HOUR_S, duration_s=5)
    store = EVERYTHING | {"history_url": f"sqlite:///{tmp_path}/history.db"}
    async with remembering(settings, **store) as doors:

        async def found() -> Any:
            return doubts(await doors[0].find(old.execution_id))

        await becomes(found, {"COMPLETED": {PLAIN}})
    async with remembering(settings, **store, history_retention_days=1 / 24) as doors:
        for door in doors:

            async def why(door: Door = door) -> Any:
                return doubts(await door.find(old.execution_id, workflowId=old.workflow_id))

            await becomes(why, {"EXPIRED": {*ACCOUNTS, HOME}})

            async def begins(door: Door = door) -> set[bool]:
                places = (await door.coverage(filter={"accountIds": [*ACCOUNTS]}))["coverage"]
                return {
                    place["since"] is not None and place["since"].timestamp() > old.ended_at
                    for place in places
                }

            await becomes(begins, {True})
        for door in doors:
            assert (await door.get(key_of(old)))["status"] == "COMPLETED"  # the log has it


@pytest.mark.parametrize("fault", [FaultKind.DENY, FaultKind.HANG])
@pytest.mark.thorough
async def test_a_log_that_can_not_be_read_is_in_doubt(
    world: World, aws: Emulator, settings: Callable[..., Settings], fault: FaultKind
) -> None:
    """AWS does not have it in progress, but it may have ended."""
    ended = uploaded(world, account_id=GUARDED, ago_s=100, duration_s=5)
    aws.faults.add(Fault(fault, service="logs", account_id=GUARDED))
    async with remembering(settings, has_read=False, **EVERYTHING, request_timeout_s=3) as doors:
        for door in doors:

            async def why(door: Door = door) -> Any:
                return doubts(await door.find(ended.execution_id, workflowId=ended.workflow_id))

            await becomes(why, {"LOG_UNREADABLE": {GUARDED}})
        calls = partial(aws.calls.count, account_id=GUARDED, service="logs")
        enough = calls() + 3  # several reads, so that the breaker opens
        while calls() < enough:
            places = (await doors[0].coverage(filter={"accountIds": [GUARDED]}))["coverage"]
            problems = {place["problem"]["code"] for place in places if place["problem"] is not None}
            assert problems <= (
                {"ACCESS_DENIED"}
                if fault is FaultKind.DENY
                else {"DEADLINE_EXCEEDED", "UPSTREAM_UNAVAILABLE"}
            )
            assert all(place["remedy"] for place in places if place["problem"] is not None)
            await asyncio.sleep(0.1)  # the interval of polling


async def test_what_the_history_knows_and_aws_denies_is_a_failure(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """Not "not found": the target is named."""
    running = uploaded(world, ago_s=100, duration_s=3000)
    async with remembering(settings, has_read=False) as doors:

        async def status() -> object:
            found = (await doors[0].find(running.execution_id))["execution"]
            return found and found["startedAt"] is not None

        await becomes(status, expected=True)
        aws.faults.add(Fault(FaultKind.DENY, operation="DescribeExecution", account_id=PLAIN))
        for door in doors:

            async def failed(door: Door = door) -> object:
                found = await door.find(running.execution_id)
                return doubts(found).get("ACCESS_DENIED")

            await becomes(failed, {PLAIN})
