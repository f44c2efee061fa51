"""Lists of what is in progress, from what is known: nobody waits for a target, and AWS is not asked for each viewer."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from doors import Failed, RpcDoor, both_doors
from recorded import (
    ACCOUNTS,
    REGIONS,
    REMEMBERS,
    id_of,
    key_of,
    recorded_world,
    same,
    until_read,
    uploaded,
    workflow_of,
)
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import GUARDED, PLAIN, becomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from doors import Door
    from transfer_emulator import Emulator, Upload, World
    from transfer_gateway.settings import Settings

# Slowly enough that no read has to wait for AWS's quota.
KNOWS = REMEMBERS | {"history_interval_s": 1}
# The latter by the breaker.
NO_ANSWER = {"DEADLINE_EXCEEDED", "UPSTREAM_UNAVAILABLE"}
TARGETS = tuple((account_id, region) for account_id in ACCOUNTS for region in REGIONS)


@pytest.fixture
def world() -> World:
    return recorded_world()


@asynccontextmanager
async def knowing(settings: Callable[..., Settings], **overrides: Any) -> AsyncIterator[Sequence[Door]]:
    async with (
        server.running(settings(**KNOWS | overrides)) as service,
        both_doors(service, history=True) as doors,
    ):
        yield doors


def running_in(world: World, *subjects: str, duration_s: float = 3000) -> list[Upload]:
    """One of each subject in each target, in the order of lists."""
    uploads = [
        uploaded(world, subject, account_id=account_id, region=region, ago_s=100, duration_s=duration_s)
        for account_id, region in TARGETS
        for subject in subjects
    ]
    return sorted(uploads, key=lambda upload: id_of(key_of(upload)))


async def listed(door: Door, **options: Any) -> list[str]:
    return [entry["node"]["id"] for entry in (await door.list_executions(**options))["entries"] or ()]


def ids_of(uploads: Sequence[Upload]) -> list[str]:
    return [id_of(key_of(upload)) for upload in uploads]


def lists(aws: Emulator) -> int:
    return aws.calls.count(operation="ListExecutions")


@pytest.mark.thorough
async def test_what_is_logged_costs_aws_nothing(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """As AWS lists it, in the same order, with its steps, in pages, and filtered."""
    uploads = running_in(world, "payments", "claims")
    async with knowing(settings) as doors:
        await until_read(doors[0])
        await becomes(lambda: listed(doors[0]), ids_of(uploads))
        await becomes(lambda: lists_of_ten_viewers(aws, doors), 0)
        for door in doors:
            assert await listed(door, maxAge=0) == ids_of(uploads)
            pages, after = [], None
            while True:
                page = await door.list_executions(first=3, after=after)
                pages += [entry["node"]["id"] for entry in page["entries"]]
                if (after := page["next"]) is None:
                    break
            assert pages == ids_of(uploads)
            ours = {"filter": {"accountIds": [GUARDED], "keyPrefix": uploads[0].file.path[:1]}}
            assert await listed(door, **ours) == await listed(door, maxAge=0, **ours)
        for door in doors:

            async def done(door: Door = door) -> list[tuple[bool, int]]:
                nodes = [entry["node"] for entry in (await door.list_executions(details=True))["entries"]]
                return [(node["startedAt"] is not None, node["stepsDone"] or 0) for node in nodes]

            await becomes(done, [(True, 0)] * len(uploads))


async def lists_of_ten_viewers(aws: Emulator, doors: Sequence[Door]) -> int:
    """How many calls ten lists of what is logged need: those for the workflows that log nothing don't count."""
    logged = {"workflowIds": [key.split("/")[2] for key in await listed(doors[0])]}
    before = lists(aws)
    for _ in range(5):
        for door in doors:
            await door.list_executions(filter=logged)
    return lists(aws) - before


async def test_what_is_not_logged_is_listed(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """While it runs. Then searches find it among those of which nothing has recorded the result."""
    uploads = running_in(world, "orders", duration_s=104)
    async with knowing(settings) as doors:
        await becomes(lambda: listed(doors[0]), ids_of(uploads))
        await becomes(lambda: listed(doors[1]), [])
        for door in doors:
            found = await door.search({"resultUnknown": True})
            assert sorted(each["id"] for each in found["executions"]) == ids_of(uploads)
            assert {each["status"] for each in found["executions"]} == {None}
            assert (await door.search({"resultUnknown": False}))["executions"] == []


async def test_the_first_question_waits_for_what_is_not_logged(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """For a second at most: nothing is missing from its answer that AWS lists at once."""
    uploads = running_in(world, "orders")
    async with knowing(settings) as doors:

        async def gaps() -> set[str]:
            return {
                place["gap"]
                for place in (await doors[0].coverage(filter={"accountIds": [*ACCOUNTS]}))["coverage"]
            }

        await becomes(gaps, {"NOT_LOGGED"})
        first = await doors[1].list_executions()
        assert [entry["node"]["id"] for entry in first["entries"] or ()] == ids_of(uploads)
        assert first["failures"] is None


async def test_the_first_question_waits_no_longer(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """A target that takes longer is named."""
    running_in(world, "orders")
    aws.faults.add(Fault(FaultKind.HANG, operation="ListExecutions", account_id=GUARDED))
    async with knowing(settings) as doors:

        async def gaps() -> set[str]:
            return {
                place["gap"]
                for place in (await doors[0].coverage(filter={"accountIds": [*ACCOUNTS]}))["coverage"]
            }

        await becomes(gaps, {"NOT_LOGGED"})
        started = time.monotonic()
        assert await failing(doors[1]) == [(GUARDED, region, "no answer", False) for region in REGIONS]
        assert 0.9 < time.monotonic() - started < 2.5


async def test_the_first_question_waits_no_longer_for_one_that_hangs_beside_known_ones(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """Although it is the only one that has to be listed."""
    uploads = running_in(world, "payments")
    aws.faults.add(Fault(FaultKind.HANG, account_id=GUARDED))
    known = [id_ for id_ in ids_of(uploads) if id_.startswith(PLAIN)]
    async with knowing(settings) as doors:
        await becomes(lambda: listed(doors[0], filter={"accountIds": [PLAIN]}), known)
        started = time.monotonic()
        assert await listed(doors[1]) == known
        assert time.monotonic() - started < 2.5


async def test_the_first_question_waits_for_something(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """On a machine that has just started, all may take longer than a second: an empty list would tell nothing.

    An account that is denied says so at once.
    """
    uploads = [upload for upload in running_in(world, "orders") if id_of(key_of(upload)).startswith(PLAIN)]
    aws.faults.add(Fault(FaultKind.LATENCY, operation="ListExecutions", account_id=PLAIN, seconds=1.5))
    aws.faults.add(Fault(FaultKind.DENY, operation="ListExecutions", account_id=GUARDED))
    async with knowing(settings) as doors:
        first = await doors[1].list_executions(filter={"accountIds": [*ACCOUNTS]})
        assert [entry["node"]["id"] for entry in first["entries"] or ()] == ids_of(uploads)
        assert {failure["accountId"] for failure in first["failures"]} == {GUARDED}


@pytest.mark.parametrize("number", [0, 1], ids=["graphql", "grpc"])
async def test_a_search_is_told_what_has_ended(
    world: World, aws: Emulator, settings: Callable[..., Settings], number: int
) -> None:
    """What no log tells of is as old as AWS's answer, and says so; from the first search on AWS is asked again."""
    upload = uploaded(world, "orders", ago_s=100, duration_s=104)
    found = {"executionIds": [upload.execution_id]}
    async with knowing(settings) as doors:
        door = doors[number]
        assert (await door.get(key_of(upload)))["status"] == "IN_PROGRESS"
        asked_at = time.time()

        async def statuses(**wanted: Any) -> list[str | None]:
            return [each["status"] for each in (await door.search(found | wanted))["executions"]]

        await becomes(partial(statuses, running=None), ["IN_PROGRESS"])
        assert await observed_at(door, upload) == pytest.approx(asked_at, abs=1)

        async def has_ended() -> bool:
            return time.time() > upload.ended_at

        await becomes(has_ended, expected=True)
        await becomes(statuses, [None], within_s=15)


async def observed_at(door: Door, upload: Upload) -> float:
    """When a search's answer was current, in seconds since 1970."""
    if isinstance(door, RpcDoor):
        request = pb.SearchExecutionsRequest(filter=pb.SearchFilter(execution_ids=[upload.execution_id]))
        (execution,) = (await door.stub.SearchExecutions(request)).executions
        return float(execution.observed_at.ToNanoseconds()) / 1e9
    query = (
        "query($id: [ExecutionId!]) "
        "{ searchExecutions(filter: {executionIds: $id}) { edges { node { observedAt } } } }"
    )
    answer = await door.gateway.ask(query, id=[upload.execution_id])
    (edge,) = answer["data"]["searchExecutions"]["edges"]
    return datetime.fromisoformat(edge["node"]["observedAt"]).timestamp()


async def test_a_target_whose_log_is_denied_is_listed(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=GUARDED))
    uploads = running_in(world, "payments")
    async with knowing(settings) as doors:
        for door in doors:
            await becomes(partial(listed, door), ids_of(uploads))
        assert (await same(doors, "list_executions", details=True))["failures"] is None


async def test_a_target_that_hangs_delays_nobody(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """It is named, with when it was current last; so is one that denies."""
    uploads = [upload for upload in running_in(world, "payments") if key_of(upload)["accountId"] == PLAIN]
    async with knowing(settings, request_timeout_s=3) as doors:
        await becomes(lambda: listed(doors[0], filter={"accountIds": [PLAIN]}), ids_of(uploads))
        await becomes(lambda: failing(doors[0]), [])
        aws.faults.add(Fault(FaultKind.HANG, account_id=GUARDED))
        aws.faults.add(Fault(FaultKind.DENY, account_id=PLAIN, region="us-east-1", service="transfer"))
        expected = [(GUARDED, region, "no answer", True) for region in REGIONS]
        for door in doors:
            await becomes(partial(failing, door, accountIds=[GUARDED]), expected)
            started = time.monotonic()
            assert set(ids_of(uploads)) <= set(await listed(door))
            assert time.monotonic() - started < 1
            denied = [(PLAIN, "us-east-1", "ACCESS_DENIED", True)]
            await becomes(partial(failing, door, accountIds=[PLAIN]), denied)


async def failing(door: Door, **where: Any) -> list[tuple[str, str, str, bool]]:
    """Account, region, code and whether there was a success before."""
    found = await door.list_executions(filter=where)
    return [
        (
            it["accountId"],
            it["region"],
            "no answer" if it["error"]["code"] in NO_ANSWER else it["error"]["code"],
            it["lastSuccessAt"] is not None,
        )
        for it in found["failures"] or ()
    ]


async def test_a_search_tells_that_what_is_not_logged_can_not_be_listed(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    running_in(world, "orders")
    aws.faults.add(Fault(FaultKind.DENY, operation="ListExecutions", account_id=GUARDED))
    async with knowing(settings) as doors:
        for door in doors:

            async def problems(door: Door = door) -> dict[tuple[str, str], str | None]:
                found = await door.search({"accountIds": [*ACCOUNTS]}, coverage=True)
                return {
                    (place["account"]["accountId"], place["gap"]): place["problem"]
                    and place["problem"]["code"]
                    for place in found["coverage"]
                }

            await becomes(problems, {(PLAIN, "NOT_LOGGED"): None, (GUARDED, "NOT_LOGGED"): "ACCESS_DENIED"})


@pytest.mark.thorough
async def test_a_gap_that_becomes_another_concerns_what_is_logged(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """Its target had a gap before, of a workflow that was not asked for."""
    wanted = {"workflowIds": [workflow_of(world, "payments")]}
    async with knowing(settings) as doors:

        async def with_gap() -> int:
            summary: dict[str, int] = (await doors[0].search(wanted, coverage=True))["summary"]
            return summary["withGap"]

        await becomes(with_gap, 0)
        aws.faults.add(Fault(FaultKind.DENY, service="logs", account_id=PLAIN))
        await becomes(with_gap, len(REGIONS))


async def test_without_its_store_aws_is_asked(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    uploads = running_in(world, "payments")
    async with knowing(settings, history_url="postgresql://gateway@127.0.0.1:1/history") as doors:
        for door in doors:
            assert await listed(door) == ids_of(uploads)


async def test_maximum_age(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Anything older is read anew."""
    async with knowing(settings, history_interval_s=60) as doors:
        await becomes(lambda: failing(doors[0]), [])
        await asyncio.sleep(0.5)  # so that what is known is older than the maximum age
        uploads = running_in(world, "payments", "orders")
        for door in doors:
            assert await listed(door, maxAge=0.2) == ids_of(uploads)
        for door in doors:
            with pytest.raises(Failed, match=r"max_?[aA]ge"):
                await door.list_executions(maxAge=-1)
