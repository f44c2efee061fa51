"""Ages by a clock that other processes can compare, and validity by versions. Time is simulated, AWS is on the wire."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_emulator import Emulator, World
from transfer_gateway.api.graphql.response_cache import ResponseCache
from transfer_gateway.build import build_core
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.core.clock import Clock
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import ExecutionNotFound
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls
from wire import PLAIN, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings

AUDIT = AuditTrail(ANONYMOUS, "test", lambda: None)
DESCRIBE = "DescribeExecution"
HOUR_S = 3600.0


class MadeUp:
    """A machine's two clocks."""

    def __init__(self) -> None:
        self.wall_s, self.monotonic_s = 1_800_000_000.0, 5.0
        self.clock = Clock(wall=lambda: self.wall_s, monotonic=lambda: self.monotonic_s)

    def passes(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds

    def steps(self, seconds: float) -> None:
        """NTP, or an operator, sets the wall clock."""
        self.wall_s += seconds


@given(
    happens=st.lists(st.tuples(st.sampled_from(["passes", "steps"]), st.floats(0.001, 10_000)), max_size=20)
)
def test_the_clock_counts_what_passes(happens: list[tuple[str, float]]) -> None:
    """The wall clock's time at start plus the time since, whatever the wall clock is set to meanwhile."""
    machine = MadeUp()
    expected = machine.wall_s
    for number, (what, seconds) in enumerate(happens):
        if what == "steps":
            machine.steps(seconds if number % 2 else -seconds)
        else:
            machine.passes(seconds)
            expected += seconds
        assert machine.clock.now() == pytest.approx(expected, abs=1e-3)


@asynccontextmanager
async def core_of(
    machine: MadeUp, settings: Callable[..., Settings], accounts_file: Path
) -> AsyncIterator[Gateway]:
    sources = AccountsFile(accounts_file).load()
    async with build_core(settings(), sources, AwsCalls(), machine.clock) as core:
        yield core.gateway


async def describe(core: Gateway, key: ExecutionKey, max_age_s: float) -> Execution:
    return await core.reader(AUDIT).describe(key, max_age_s=max_age_s, deadline=float("inf"))


@pytest.mark.parametrize("step_s", [-HOUR_S, 0.0, HOUR_S], ids=["set-back", "not-set", "set-forward"])
async def test_age_is_what_has_passed(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path, step_s: float
) -> None:
    """Setting the wall clock makes no snapshot older or younger."""
    machine, key = MadeUp(), place(world)
    async with core_of(machine, settings, accounts_file) as core:
        first = await describe(core, key, 10)
        machine.steps(step_s)
        machine.passes(9.9)
        assert await describe(core, key, 10) is first
        machine.steps(step_s)
        machine.passes(0.2)
        assert await describe(core, key, 10) is not first
    assert aws.calls.count(operation=DESCRIBE) == 2


@pytest.mark.parametrize("step_s", [-HOUR_S, 0.0, HOUR_S], ids=["set-back", "not-set", "set-forward"])
async def test_not_found_is_forgotten_after_5_s(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path, step_s: float
) -> None:
    """By the same clock."""
    machine, key = MadeUp(), place(world)
    world.remove(PLAIN, key.region, key.workflow_id, key.execution_id)
    async with core_of(machine, settings, accounts_file) as core:
        for asked, passes_s in ((1, 0.0), (1, 4.9), (2, 0.2)):
            machine.steps(step_s)
            machine.passes(passes_s)
            with pytest.raises(ExecutionNotFound):
                await describe(core, key, HOUR_S)
            assert aws.calls.count(operation=DESCRIBE) == asked


async def test_a_response_is_as_old_as_its_snapshots(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """A response is repeated for exactly as long as the request's `maxAge` allows."""
    machine, key, responses = MadeUp(), place(world), ResponseCache(100_000)
    async with core_of(machine, settings, accounts_file) as core:
        reader = core.reader(AUDIT)
        await reader.describe(key, max_age_s=10, deadline=float("inf"))
        asked_at = machine.clock.now()
        responses.keep(b"asked", reader, b"response")
        machine.steps(-HOUR_S)
        machine.passes(9.9)
        assert responses.get(b"asked", core.reader(AUDIT)) == b"response"
        machine.passes(0.2)
        assert responses.get(b"asked", core.reader(AUDIT)) is None
        assert responses.get(b"asked", core.reader(AUDIT), at=asked_at + 9.9) == b"response"


async def test_a_copy_of_a_snapshot_is_the_same(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """A snapshot that was stored and read again counts as the same; another answer of AWS does not, even if equal."""
    key, responses = place(world), ResponseCache(100_000)
    async with core_of(MadeUp(), settings, accounts_file) as core:
        reader = core.reader(AUDIT)
        execution = await reader.describe(key, max_age_s=10, deadline=float("inf"))
        responses.keep(b"asked", reader, b"response")
        kept = core._operations.executions._kept
        snapshot = kept.get(key)
        assert snapshot is not None
        kept.put(key, replace(snapshot, outcome=replace(execution)))
        assert responses.get(b"asked", core.reader(AUDIT)) == b"response"
        kept.put(key, replace(snapshot, outcome=replace(execution, aws_request_id="another")))
        assert responses.get(b"asked", core.reader(AUDIT)) is None
