"""BatchGetExecutions for 271 accounts in 4 regions while one account hangs: when results arrive.

1,084 keys exceed the limit of one call, so two calls run concurrently. Also: a caller that leaves after ten results,
and how many AWS calls are made after that. Run: `uv run python bench/batch_stream.py`
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

import grpc
from google.protobuf.json_format import ParseDict
from rig import rig

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_emulator import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub

ACCOUNTS, REGIONS = 271, ("eu-west-1", "eu-central-1", "us-east-1", "ap-southeast-2")
AWS_LATENCY_S, DEADLINE_S, ROUNDS = 0.1, 10.0, 5
DESCRIBE, HANGS = "DescribeExecution", "000000000007"


def batch(keys: Sequence[dict[str, str]]) -> pb.BatchGetExecutionsRequest:
    return ParseDict({"keys": keys, "maxAge": "0s"}, pb.BatchGetExecutionsRequest())


async def results(
    stub: ExecutionServiceAsyncStub, keys: Sequence[dict[str, str]], started: float
) -> list[tuple[str, float]]:
    """The accounts of successful results and the codes of others, each with its time."""
    return [
        (answer.execution.account_id or str(answer.error.code), time.perf_counter() - started)
        async for answer in stub.BatchGetExecutions(batch(keys))
    ]


async def main() -> None:
    async with (
        rig(ACCOUNTS, REGIONS, LOG_LEVEL="error", TARGET_RATE_PER_S="1000") as gateway,
        grpc.aio.insecure_channel(gateway.grpc) as channel,
    ):
        stub = ExecutionServiceStub(channel)
        half = len(gateway.keys) // 2
        halves = (gateway.keys[:half], gateway.keys[half:])
        for keys in halves:  # sessions, and connections to AWS
            await results(stub, keys, 0)
        gateway.aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=AWS_LATENCY_S))
        gateway.aws.faults.add(Fault(FaultKind.HANG, account_id=HANGS, operation=DESCRIBE))
        firsts, lasts, ends = [], [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            both = await asyncio.gather(*(results(stub, keys, started) for keys in halves))
            came = [*both[0], *both[1]]
            good = [at_s for what, at_s in came if len(what) == 12]
            assert len(good) == (ACCOUNTS - 1) * len(REGIONS)
            assert len(came) == ACCOUNTS * len(REGIONS)
            firsts.append(min(good))
            lasts.append(max(good))
            ends.append(max(at_s for _, at_s in came))
        print(
            f"{ACCOUNTS} x {len(REGIONS)} targets, AWS at {AWS_LATENCY_S} s, account {HANGS} hangs, {ROUNDS} rounds"
        )
        for name, times in (("first", firsts), ("last healthy", lasts), ("end", ends)):
            print(f"{name:12} median {statistics.median(times):6.3f} s, worst {max(times):6.3f} s")

        before = gateway.aws.calls.count(operation=DESCRIBE)
        call = stub.BatchGetExecutions(batch(gateway.keys[half:]))
        for _ in range(10):
            await call.read()
        call.cancel()
        await asyncio.sleep(DEADLINE_S / 5)
        made = gateway.aws.calls.count(operation=DESCRIBE) - before
        print(f"cancelled after 10 of {half} results: {made} calls to AWS in all")


if __name__ == "__main__":
    asyncio.run(main())
