"""1,000 lookups a second of 100 executions for 10 s at the default `maxAge`: how often AWS is asked.

And: what one throttled account under load costs the others' throughput, and how its breaker comes back.
Run: `uv run python bench/steady_load.py`
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

from rig import rig

from transfer_emulator import Fault, FaultKind

if TYPE_CHECKING:
    from rig import Rig

SECONDS, PER_S, EXECUTIONS = 10, 1000, 100


async def coalescing(gateway: Rig) -> None:
    """Ten requests for 100 executions each in every tenth of a second."""
    started, lookups = time.perf_counter(), 0
    async with asyncio.TaskGroup() as tasks:
        for tick in range(SECONDS * 10):
            await asyncio.sleep(max(0.0, started + tick / 10 - time.perf_counter()))
            tasks.create_task(gateway.look_up(gateway.keys[:EXECUTIONS], max_age=1.0))
            lookups += EXECUTIONS
    took_s = time.perf_counter() - started
    calls = gateway.aws.calls.count(operation="DescribeExecution")
    print(
        f"{lookups / took_s:.0f} lookups/s of {EXECUTIONS} executions: {calls / took_s:.0f} AWS calls/s (aim 100)"
    )


async def throttled_neighbour(gateway: Rig) -> None:
    """Throughput of 99 accounts beside one more under the same load, well and throttled; then its recovery."""
    sick, healthy = gateway.keys[0], gateway.keys[1:]
    throttle = Fault(FaultKind.THROTTLE, account_id=sick["accountId"], service="transfer")
    ratios = []
    for _ in range(5):
        alone = await throughput(gateway, healthy)
        number = gateway.aws.faults.add(throttle)
        pest = asyncio.create_task(ask_for_ever(gateway, sick))
        beside = await throughput(gateway, healthy)
        pest.cancel()
        gateway.aws.faults.remove(number)
        ratios.append(beside / alone)
    print(
        f"healthy throughput beside a throttled account: {statistics.median(ratios):.2f} of alone (aim 0.90)"
    )
    seen, started = Counter[str](), time.perf_counter()
    while (item := (await gateway.look_up([sick]))[0])["__typename"] != "Execution":
        seen[item["code"]] += 1
        await asyncio.sleep(0.05)
    print(f"it answers again {time.perf_counter() - started:.1f} s after AWS does; until then {dict(seen)}")


async def throughput(gateway: Rig, keys: list[dict[str, str]]) -> float:
    """Lookups a second, in requests of one, eight at a time, for two seconds."""
    done, until = 0, time.perf_counter() + 2

    async def caller(at: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            at = (at + 8) % len(keys)
            await gateway.look_up([keys[at]])
            done += 1

    async with asyncio.TaskGroup() as tasks:
        for at in range(8):
            tasks.create_task(caller(at))
    return done / 2


async def ask_for_ever(gateway: Rig, key: dict[str, str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(_ask_for_ever(gateway, key))


async def _ask_for_ever(gateway: Rig, key: dict[str, str]) -> None:
    while True:
        await gateway.look_up([key])
        await asyncio.sleep(0.01)


async def main() -> None:
    async with rig(EXECUTIONS, ["eu-west-1"], TARGET_RATE_PER_S="1000", TARGET_BURST="1000") as gateway:
        await coalescing(gateway)
        await throttled_neighbour(gateway)


if __name__ == "__main__":
    asyncio.run(main())
