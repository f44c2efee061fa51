"""271 accounts in 4 regions, of which five fail in five ways: their effect on healthy accounts.

Each round looks up every target in a request of its own, so that the client sees each one's latency. Rounds with and
without faults alternate; the result is the ratio of the medians of healthy targets' p99. Run: `uv run python
bench/bad_neighbours.py`
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

from rig import codes, rig

from transfer_emulator import Fault, FaultKind

if TYPE_CHECKING:
    from rig import Rig

REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2")
ACCOUNTS, ROUNDS, LATENCY_S, AT_ONCE = 271, 7, 0.05, 64
SICK = {
    "000000000010": Fault(FaultKind.HANG, account_id="000000000010"),
    "000000000050": Fault(FaultKind.THROTTLE, account_id="000000000050", service="transfer"),
    "000000000100": Fault(FaultKind.DENY, account_id="000000000100", service="transfer"),
    "000000000150": Fault(FaultKind.TRUNCATED_BODY, account_id="000000000150", service="transfer"),
    "000000000200": Fault(FaultKind.RESET, account_id="000000000200", service="transfer"),
}


async def round_of(gateway: Rig) -> tuple[float, dict[str, list[dict[str, Any]]], list[dict[str, Any]]]:
    """The p99 of healthy targets in ms, the responses of failing accounts, and those of healthy ones."""
    semaphore, times_ms = asyncio.Semaphore(AT_ONCE), []
    sick: dict[str, list[dict[str, Any]]] = {account_id: [] for account_id in SICK}
    healthy: list[dict[str, Any]] = []

    async def healthy_one(key: dict[str, str]) -> None:
        async with semaphore:
            started = time.perf_counter()
            healthy.extend(await gateway.look_up([key]))
            times_ms.append((time.perf_counter() - started) * 1000)

    async def sick_one(key: dict[str, str]) -> None:
        sick[key["accountId"]].extend(await gateway.look_up([key]))

    async with asyncio.TaskGroup() as tasks:
        for key in gateway.keys:
            tasks.create_task(sick_one(key) if key["accountId"] in SICK else healthy_one(key))
    return statistics.quantiles(times_ms, n=100)[98], sick, healthy


async def main() -> None:
    p99_ms: dict[bool, list[float]] = {False: [], True: []}
    async with rig(ACCOUNTS, REGIONS, REQUEST_TIMEOUT_S="3", AWS_READ_TIMEOUT_S="2") as gateway:
        gateway.aws.faults.add(Fault(FaultKind.LATENCY, seconds=LATENCY_S))
        await round_of(gateway)  # assumes every role
        for _ in range(ROUNDS):
            for faulty in (False, True):
                added = [gateway.aws.faults.add(fault) for fault in SICK.values()] if faulty else []
                p99, sick, healthy = await round_of(gateway)
                for number in added:
                    gateway.aws.faults.remove(number)
                p99_ms[faulty].append(p99)
                if faulty:
                    last = sick
                    assert {item["__typename"] for item in healthy} == {"Execution"}, codes(healthy)
            await asyncio.sleep(1.5)  # breakers close
    for account_id, answers in last.items():
        print(f"{SICK[account_id].kind:15} {codes(answers)}")
    alone, beside = (statistics.median(p99_ms[faulty]) for faulty in (False, True))
    print(
        f"healthy targets' p99: {alone:.0f} ms alone, {beside:.0f} ms beside the sick: {beside / alone:.2f} (aim 1.2)"
    )


if __name__ == "__main__":
    asyncio.run(main())
