"""What the gRPC server costs: GetExecution from a snapshot, compared with a bare grpc.aio echo of the same sizes.

The gateway writes no logs here, since the echo has none; `--logs` enables them, including the audit log. `uv run python
bench/grpc_overhead.py`. Both servers are separate processes pinned to one core, the client runs on another, and they
alternate. Prints calls per second and the server's CPU per call, as medians of the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import uvloop
from google.protobuf.json_format import ParseDict
from rig import rig

from transfer_api.v1 import execution_service_pb2 as pb

GET = "/transfer_api.v1.ExecutionService/GetExecution"
ROUNDS, ROUND_S, CONCURRENCY = 7, 2.0, 32

ECHO = """
import asyncio, sys, grpc, uvloop
answer = b"x" * int(sys.argv[1])

class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(self.answer)
    async def answer(self, request, context):
        return answer

async def main():
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

uvloop.run(main())
"""


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


async def load(address: str, request: bytes, for_s: float) -> int:
    """Send requests until the time is up. Returns: their number."""
    calls = 0
    async with grpc.aio.insecure_channel(address) as channel:
        get: Any = channel.unary_unary(GET)
        end = time.perf_counter() + for_s

        async def ask() -> None:
            nonlocal calls
            while time.perf_counter() < end:
                await get(request)
                calls += 1

        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONCURRENCY):
                tasks.create_task(ask())
    return calls


async def main() -> None:
    level, audit = ("info", "true") if "--logs" in sys.argv else ("warning", "false")
    async with rig(1, ["eu-west-1"], LOG_LEVEL=level, AUDIT_LOG=audit) as gateway:
        asked = ParseDict({"key": gateway.keys[0], "maxAge": "3600s"}, pb.GetExecutionRequest())
        request = asked.SerializeToString()
        async with grpc.aio.insecure_channel(gateway.grpc) as channel:
            get: Any = channel.unary_unary(GET)
            size = len(await get(request))
        echo = subprocess.Popen([sys.executable, "-c", ECHO, str(size)], stdout=subprocess.PIPE)  # noqa: ASYNC220  once, before anything runs
        assert echo.stdout is not None
        try:
            sides = {
                "gateway": (gateway.pid, gateway.grpc),
                "echo": (echo.pid, f"127.0.0.1:{int(echo.stdout.readline())}"),
            }
            for pid, _ in sides.values():
                pin(pid, 0)
            pin(os.getpid(), 1 % (os.cpu_count() or 1))
            await measure(sides, request, size)
        finally:
            echo.terminate()
            echo.wait()


async def measure(sides: dict[str, tuple[int, str]], request: bytes, size: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (pid, address) in sides.items():
            before = cpu_s(pid)
            calls = await load(address, request, ROUND_S)
            rates[name].append(calls / ROUND_S)
            cpus[name].append((cpu_s(pid) - before) / calls * 1e6)
    print(f"request {len(request)} bytes, answer {size} bytes, {CONCURRENCY} at a time")
    for name in sides:
        rate, cpu = statistics.median(rates[name]), statistics.median(cpus[name])
        print(f"{name:8} {rate:6.0f} calls/s  {cpu:4.0f} µs CPU a call")
    by_rate = statistics.median(rates["gateway"]) / statistics.median(rates["echo"])
    by_cpu = statistics.median(cpus["echo"]) / statistics.median(cpus["gateway"])
    print(f"gateway / echo: {by_rate:.2f} by rate, {by_cpu:.2f} by CPU (aim: at least 0.8)")


if __name__ == "__main__":
    uvloop.run(main())
