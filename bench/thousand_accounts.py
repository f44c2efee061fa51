"""1,000 accounts with one execution each, one request, AWS at 50 ms: wall time, CPU, memory, calls.

Cold includes 1,000 AssumeRole calls. The emulated AWS runs on the same machine, in the client's process. Run: `uv run
python bench/thousand_accounts.py`
"""

from __future__ import annotations

import asyncio
import statistics
import time

from rig import codes, rig

from transfer_emulator import Fault, FaultKind

ACCOUNTS, WARM_RUNS = 1000, 5
AIMS = {"cold": 4.0, "warm": 2.0, "memory": 150.0}


async def main() -> None:
    async with rig(ACCOUNTS, ["eu-west-1"]) as gateway:
        gateway.aws.faults.add(Fault(FaultKind.LATENCY, seconds=0.05))
        idle_mb, warm = gateway.memory_mb(), []
        for run in range(1 + WARM_RUNS):
            gateway.aws.calls.reset()
            cpu_s, started = gateway.cpu_s(), time.perf_counter()
            found = await gateway.look_up(gateway.keys)
            wall_s = time.perf_counter() - started
            calls = gateway.aws.calls
            print(
                f"{'cold' if run == 0 else 'warm'}  {wall_s:5.2f} s wall  {gateway.cpu_s() - cpu_s:5.2f} s CPU  "
                f"{calls.count(operation='AssumeRole')} AssumeRole  "
                f"{calls.count(operation='DescribeExecution')} DescribeExecution  {codes(found)}"
            )
            if run == 0:
                cold_s = wall_s
            else:
                warm.append(wall_s)
        peak_mb = gateway.memory_mb("VmHWM")
    print(
        f"cold {cold_s:.2f} s (aim {AIMS['cold']}), warm {statistics.median(warm):.2f} s (aim {AIMS['warm']})"
    )
    print(f"memory {idle_mb:.0f} MB idle, {peak_mb:.0f} MB at its peak (aim {AIMS['memory']:.0f})")


if __name__ == "__main__":
    asyncio.run(main())
