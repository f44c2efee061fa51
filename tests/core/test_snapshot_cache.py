"""Snapshots and shared calls: how often AWS is called, and how old an answer may be. AWS is on the wire."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.core.quota import CHARGED_QUOTA, Quota, QuotaLimits
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import DeadlineExceeded, ExecutionNotFound, GatewayError, Throttled
from transfer_gateway.domain.identity import ExecutionId
from wire import PLAIN, Gateway, counting, place, to_input, until, until_in_flight

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.core.gateway import Gateway as Core
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings

DESCRIBE = "DescribeExecution"


def describe(
    core: Core, key: ExecutionKey, max_age_s: float = 1.0, timeout_s: float = 60.0
) -> asyncio.Task[Execution]:
    deadline = asyncio.get_running_loop().time() + timeout_s
    return asyncio.create_task(
        core.reader(AuditTrail(ANONYMOUS, "test", lambda: None)).describe(
            key, max_age_s=max_age_s, deadline=deadline
        )
    )


async def until_asked(aws: Emulator, times: int = 1) -> None:
    await until(lambda: aws.calls.count(operation=DESCRIBE) >= times)


async def test_identical_lookups_share_one_call(service: server.Service, aws: Emulator, world: World) -> None:
    """1,000 identical concurrent lookups: one AWS call, and one answer for all."""
    key = place(world)
    found = await asyncio.gather(*(describe(service.gateway, key) for _ in range(1000)))
    assert len({id(execution) for execution in found}) == 1
    assert aws.calls.count(operation=DESCRIBE) == 1


@pytest.mark.fast_time
async def test_a_fresh_snapshot_is_served(service: server.Service, aws: Emulator, world: World) -> None:
    """Within `maxAge` the same answer is returned, with its original time; after that AWS is called."""
    key = place(world)
    first = await describe(service.gateway, key)
    assert await describe(service.gateway, key, max_age_s=60) is first
    await asyncio.sleep(10)
    later = await describe(service.gateway, key, max_age_s=9)
    assert later.observed_at > first.observed_at
    assert aws.calls.count(operation=DESCRIBE) == 2


@pytest.mark.fast_time
async def test_max_age_0_is_never_older_than_the_request(
    service: server.Service, aws: Emulator, world: World
) -> None:
    """With `maxAge: 0` neither a snapshot nor a call in progress is used."""
    key = place(world, execution={"Status": "IN_PROGRESS"})
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=50, times=1))
    early = describe(service.gateway, key)
    await until_asked(aws)
    fresh = await describe(service.gateway, key, max_age_s=0)
    assert not early.done()
    assert fresh is not await early
    assert await describe(service.gateway, key, max_age_s=60) is fresh, (
        "the older answer came later, and lost"
    )
    assert aws.calls.count(operation=DESCRIBE) == 2


async def test_not_found_is_remembered_briefly(service: server.Service, aws: Emulator, world: World) -> None:
    """Not-found is cached briefly, but not for a caller that requires a fresh answer."""
    key = place(world)
    world.remove(PLAIN, key.region, key.workflow_id, key.execution_id)
    for _ in range(3):
        with pytest.raises(ExecutionNotFound):
            await describe(service.gateway, key)
    assert aws.calls.count(operation=DESCRIBE) == 1
    world.place(PLAIN, key.region, key.workflow_id, {}, key.execution_id)
    assert (await describe(service.gateway, key, max_age_s=0)).key == key


async def test_unknown_ids_push_nothing_out(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """Lookups of unknown ids, however many, evict no executions."""
    key = place(world)
    async with server.running(settings(snapshots_max_entries=2, target_rate_per_s=1000)) as service:
        first = await describe(service.gateway, key)
        for number in range(10):
            with suppress(ExecutionNotFound):
                unknown = key._replace(execution_id=ExecutionId(f"00000000-0000-4000-8000-{number:012}"))
                await describe(service.gateway, unknown)
        assert await describe(service.gateway, key, max_age_s=60) is first
    assert aws.calls.count(operation=DESCRIBE) == 11


async def test_what_is_remembered_is_small(service: server.Service, world: World) -> None:
    """Of an unknown id only the error is cached, without its traceback and frames."""
    known, traces = place(world), []
    with counting(TracebackType) as kept_traces:
        for number in range(20):
            unknown = known._replace(execution_id=ExecutionId(f"00000000-0000-4000-8000-{number:012}"))
            with suppress(ExecutionNotFound):
                await describe(service.gateway, unknown)
            traces.append(kept_traces())
    assert traces[-1] <= traces[0]


async def test_other_failures_are_not_remembered(
    service: server.Service, aws: Emulator, world: World
) -> None:
    """A failure goes to all waiters, as a separate error for each, and is not cached."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.DENY, operation=DESCRIBE, times=1))
    failed = await asyncio.gather(
        *(describe(service.gateway, key) for _ in range(10)), return_exceptions=True
    )
    assert {error.code for error in failed if isinstance(error, GatewayError)} == {"ACCESS_DENIED"}
    assert len({id(error) for error in failed}) == 10
    assert (await describe(service.gateway, key)).key == key


async def test_a_callers_deadline_is_its_own(service: server.Service, aws: Emulator, world: World) -> None:
    """One caller's deadline passes, another's does not: the call continues, and the second gets its answer."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=0.4))
    hasty, patient = describe(service.gateway, key, timeout_s=0.1), describe(service.gateway, key)
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert (await patient).key == key
    assert aws.calls.count(operation=DESCRIBE) == 1


async def test_a_cancel_is_its_own(service: server.Service, aws: Emulator, world: World) -> None:
    """If the caller that started the call leaves, those who joined still get the answer."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=0.3))
    first, second = describe(service.gateway, key), describe(service.gateway, key)
    await until_asked(aws)
    first.cancel()
    assert (await second).key == key
    assert aws.calls.count(operation=DESCRIBE) == 1


async def test_who_begins_a_call_pays(service: server.Service, aws: Emulator, world: World) -> None:
    """Only that caller is charged, even if it leaves; others are charged for the calls that they start."""

    async def as_caller(quota: Quota, max_age_s: float) -> Execution:
        CHARGED_QUOTA.set(quota)  # of this task
        return await describe(service.gateway, key, max_age_s)

    key = place(world)
    first_pays, second_pays = (Quota(QuotaLimits(1, 1, 1, 1, 1, 0.001, 1, 1)) for _ in range(2))
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=0.5, times=1))
    first = asyncio.create_task(as_caller(first_pays, 60))
    await until_asked(aws)
    second = asyncio.create_task(as_caller(second_pays, 60))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).key == key
    assert aws.calls.count(operation=DESCRIBE) == 1
    with pytest.raises(Throttled):
        await as_caller(first_pays, 0)
    await as_caller(second_pays, 0)
    with pytest.raises(Throttled):
        await as_caller(second_pays, 0)


async def test_nobody_waits_any_more(service: server.Service, aws: Emulator, world: World) -> None:
    """When the last caller leaves, the AWS call is cancelled."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.HANG, operation=DESCRIBE))
    callers = [describe(service.gateway, key) for _ in range(3)]
    await until_asked(aws)
    assert aws.calls.in_flight == 1
    for caller in callers:
        caller.cancel()
    await until_in_flight(aws, 0)


@pytest.mark.fast_time
async def test_a_late_joiner_has_its_whole_time(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """A caller that joins a call near the other caller's deadline does not get that deadline's error."""
    key = place(world)
    async with server.running(settings(request_timeout_s=40, aws_read_timeout_s=90)) as service:
        aws.faults.add(Fault(FaultKind.HANG, operation=DESCRIBE, times=1))
        early = describe(service.gateway, key, timeout_s=40, max_age_s=100)
        await asyncio.sleep(20)
        late = describe(service.gateway, key, timeout_s=90, max_age_s=100)
        with pytest.raises(DeadlineExceeded):
            await early
        assert (await late).key == key


async def test_memory_is_bounded(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """The number of entries and their bytes are limited; the least recently used is evicted first."""
    keys = [place(world) for _ in range(4)]
    big = [place(world, execution={"Results": {"Steps": [{"Outputs": "x" * 60_000}] * 10}}) for _ in range(3)]

    async def asked(core: Core, key: ExecutionKey) -> bool:
        before = aws.calls.count(operation=DESCRIBE)
        await describe(core, key, max_age_s=60)
        return aws.calls.count(operation=DESCRIBE) > before

    async with server.running(settings(snapshots_max_entries=3)) as service:
        core = service.gateway
        assert [await asked(core, key) for key in (*keys[:3], keys[0], keys[3], keys[0], keys[1])] == [
            True, True, True, False, True, False, True,
        ]  # fmt: skip
    async with server.running(settings(snapshots_max_bytes=1_000_000)) as service:
        core = service.gateway
        assert [await asked(core, key) for key in (big[0], big[1], big[0], big[1])] == [
            True,
            True,
            True,
            True,
        ]


async def test_steady_load_is_one_call_an_age(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Under constant load for ten executions, AWS gets at most one call per execution and `maxAge`."""
    keys = [to_input(place(world)) for _ in range(10)]
    query = "query($keys: [ExecutionKey!]!) { executions(keys: $keys, maxAge: 0.5) { __typename } }"
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - started < 2:
        await asyncio.gather(*(gateway.ask(query, keys=keys) for _ in range(5)))
    took_s = asyncio.get_running_loop().time() - started
    assert aws.calls.count(operation=DESCRIBE) <= 10 * (took_s / 0.5 + 1)
