"""1,000 lookups per second of 100 executions for 10 s at the default `maxAge`: how often AWS is called.

Also: the effect of a throttled account on the others' throughput, compared with a healthy one at the same rate, in
alternating rounds; and how its breaker recovers. The result is the ratio of the medians. Run: `uv run python
bench/steady_load.py`
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
ROUNDS, NEIGHBOUR_PER_S = 7, 50


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
    """Throughput of 99 accounts beside one at a fixed rate, healthy and throttled; then its recovery."""
    sick, healthy = gateway.keys[0], gateway.keys[1:]
    throttle = Fault(FaultKind.THROTTLE, account_id=sick["accountId"], service="transfer")
    per_s: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS):
        for throttled in (False, True) if number % 2 else (True, False):  # so that no drift favours either
            fault = gateway.aws.faults.add(throttle) if throttled else None
            asking = asyncio.create_task(ask_steadily(gateway, sick))
            per_s[throttled].append(await throughput(gateway, healthy))
            asking.cancel()
            await asyncio.wait([asking])
            if fault is not None:
                gateway.aws.faults.remove(fault)
                await until_well(gateway, sick)
    well, beside = (statistics.median(per_s[throttled]) for throttled in (False, True))
    print(
        f"{well:.0f} lookups/s beside a healthy account, {beside:.0f} beside a throttled one: "
        f"{beside / well:.2f} (aim 0.90)"
    )
    fault = gateway.aws.faults.add(throttle)
    asking = asyncio.create_task(ask_steadily(gateway, sick))
    await asyncio.sleep(2)
    asking.cancel()
    gateway.aws.faults.remove(fault)
    started = time.perf_counter()
    seen = await until_well(gateway, sick)
    print(f"it answers again {time.perf_counter() - started:.1f} s after AWS does; until then {dict(seen)}")


async def until_well(gateway: Rig, key: dict[str, str]) -> Counter[str]:
    """Look up until it succeeds. Returns: the codes until then."""
    seen = Counter[str]()
    while (item := (await gateway.look_up([key]))[0])["__typename"] != "Execution":
        seen[item["code"]] += 1
        await asyncio.sleep(0.05)
    return seen


async def throughput(gateway: Rig, keys: list[dict[str, str]]) -> float:
    """Lookups per second, in requests of one, eight at a time, for two seconds."""
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


async def ask_steadily(gateway: Rig, key: dict[str, str]) -> None:
    """At a fixed rate, whatever the latency."""
    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(gateway.look_up([key]))
            await asyncio.sleep(1 / NEIGHBOUR_PER_S)


async def main() -> None:
    async with rig(EXECUTIONS, ["eu-west-1"], TARGET_RATE_PER_S="1000", TARGET_BURST="1000") as gateway:
        await coalescing(gateway)
        await throttled_neighbour(gateway)


if __name__ == "__main__":
    asyncio.run(main())
