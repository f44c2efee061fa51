"""Counts what the gateway's work costs, independent of other work on the machine; costs.toml has the limits.

    uv run python bench/costs.py            measure; exits with 1 if a figure exceeds its limit
    uv run python bench/costs.py --write    write new limits: the measured figures and a margin

A lookup of an execution in progress may cost 3 % more with the history than without: both are measured, with one
account, whose follower does next to nothing meanwhile.

Counted per request: Python's instructions and the C functions that they call, in the gateway's own process, and AWS
calls; per account of a fan-out also the objects that stay in memory. No time is measured. Each Python version has its
own limits, since it compiles to other instructions.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import tempfile
import tomllib
import uuid
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import orjson
import uvloop
from comparison.documents import LOOKUP, MANY, selections
from google.protobuf.json_format import ParseDict

from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Emulator, World
from transfer_gateway import server
from transfer_gateway.settings import Settings
from transfer_gateway.telemetry import configure_logging, lines_queued

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import FrameType

HOME, REGION = "999999999999", "eu-west-1"
ACCOUNTS, FANOUT, REQUESTS = 100, 30, 40
GET = "/transfer_api.v1.ExecutionService/GetExecution"
BOUNDS = Path(__file__).with_name("costs.toml")
VERSION = f"python-{sys.version_info.major}.{sys.version_info.minor}"
MARGINS = {"aws_calls": 1.0, "kept_objects": 1.15}  # depends on which responses overlap
USUAL_MARGIN = 1.05
HISTORY_RATIO, SETTLE_S = 1.03, 5.0
REPEATS = 2  # if a limit is exceeded
Costs = dict[str, float]


class Counter:
    """Counts this process's work between two signals, and prints it after each."""

    def __init__(self) -> None:
        self._instructions = self._c_calls = 0
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._start)
        loop.add_signal_handler(signal.SIGUSR2, self._stop)

    def _start(self) -> None:
        gc.collect()
        gc.disable()  # garbage collection belongs to no request
        self._instructions = self._c_calls = 0
        sys.setprofile(self._profile)
        sys.settrace(self._trace)
        self._tell()

    def _stop(self) -> None:
        sys.settrace(None)
        sys.setprofile(None)
        gc.enable()
        gc.collect()
        self._tell()

    def _tell(self) -> None:
        figures = (self._instructions, self._c_calls, sys.getallocatedblocks())
        print(json.dumps(figures), flush=True)

    def _trace(self, frame: FrameType, event: str, _value: object) -> Callable[..., Any]:
        if event == "opcode":
            self._instructions += 1
        else:
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._trace

    def _profile(self, _frame: FrameType, event: str, _value: object) -> None:
        if event == "c_call":
            self._c_calls += 1


def serve() -> None:
    """As `transfer-gateway serve` does."""
    settings = Settings.from_environment(http_port=0, grpc_port=0)
    configure_logging(settings.log_level, settings.log_format, audit=settings.audit_log)

    def ready(service: server.Service) -> None:
        Counter()
        print(json.dumps([service.url, service.grpc]), flush=True)

    with lines_queued(settings.log_queue_max_bytes):
        uvloop.run(server.serve(settings, on_ready=ready))


@dataclass(frozen=True)
class Counted:
    """A gateway that counts, and its client."""

    process: Process
    aws: Emulator
    url: str
    grpc: str
    http: aiohttp.ClientSession

    async def costs(
        self, requests: int, ask: Callable[[int], Awaitable[None]], share: int = 1, *, keeps: bool = False
    ) -> Costs:
        """The cost of each of that many sequential requests, or a share of it. `keeps`: also what stays in memory."""
        self.aws.calls.reset()
        *_, before = await self._signal(signal.SIGUSR1)
        for number in range(requests):
            await ask(number)
        instructions, c_calls, after = await self._signal(signal.SIGUSR2)
        found = {"instructions": instructions, "c_calls": c_calls, "aws_calls": self.aws.calls.count()}
        if keeps:
            found["kept_objects"] = after - before
        return {name: figure / requests / share for name, figure in found.items()}

    async def _signal(self, number: signal.Signals) -> list[int]:
        assert self.process.stdout is not None
        self.process.send_signal(number)
        figures: list[int] = json.loads(await self.process.stdout.readline())
        return figures

    async def look_up(self, document: str, **variables: object) -> None:
        body = orjson.dumps({"query": document, "variables": variables})
        async with self.http.post(
            self.url, data=body, headers={"content-type": "application/json"}
        ) as answer:
            told = await answer.read()
            assert b'"Execution"' in told, told
            assert b'"code"' not in told, told


def sample(accounts: int) -> tuple[World, list[dict[str, str]]]:
    """A world with that many accounts, and the keys of its executions."""
    world, keys = World(HOME, (REGION,)), []
    for number in range(ACCOUNTS + FANOUT):
        account_id, workflow_id = f"{number % accounts + 1:012}", f"w-{number % accounts:017}"
        if number < accounts:
            world.add_account(account_id)
            world.add_workflow(account_id, REGION, workflow_id)
        execution_id = world.place(account_id, REGION, workflow_id, execution_id=str(uuid.UUID(int=number)))
        key = {
            "accountId": account_id,
            "region": REGION,
            "workflowId": workflow_id,
            "executionId": execution_id,
        }
        keys.append(key)
    return world, keys


async def measure() -> dict[str, Costs]:
    world, keys = sample(ACCOUNTS + FANOUT)
    async with counted(world, history=False) as gateway:
        return await _measure(gateway, keys[:ACCOUNTS], keys[ACCOUNTS:])


async def compare_history() -> bool:
    """Print what lookups cost with and without the history. Returns: whether the ratios are within their limit."""
    found: dict[bool, dict[str, Costs]] = {}
    for history in (False, True):
        world, keys = sample(1)
        async with counted(world, history=history) as gateway:
            found[history] = await _measure_lookups(gateway, keys[:REQUESTS])
    within = True
    for job, costs in found[True].items():
        before, after = found[False][job]["instructions"], costs["instructions"]
        grown = after > before * HISTORY_RATIO
        within &= not grown
        print(
            f"{job:24} instructions   {after:12,.2f}  with history, {after / before:.3f} of {before:,.2f} without  "
            f"{'GROWN past ' + str(HISTORY_RATIO) if grown else 'ok'}"
        )
    return within


async def _measure_lookups(gateway: Counted, keys: list[dict[str, str]]) -> dict[str, Costs]:
    async def hot(_: int) -> None:
        await gateway.look_up(LOOKUP, key=keys[0], maxAge=3600)

    async def distinct(number: int) -> None:
        await gateway.look_up(LOOKUP, key=keys[number], maxAge=0)

    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call: Any = channel.unary_unary(GET)
        request = ParseDict({"key": keys[0], "maxAge": "3600s"}, pb.GetExecutionRequest()).SerializeToString()

        async def grpc_hot(_: int) -> None:
            await call(request)

        for ask in (distinct, hot, grpc_hot):
            for number in range(REQUESTS):
                await ask(number)
        await asyncio.sleep(SETTLE_S)  # until the follower has read for the first time
        return {
            "hot": await gateway.costs(REQUESTS, hot),
            "grpc_hot": await gateway.costs(REQUESTS, grpc_hot),
            "distinct": await gateway.costs(REQUESTS, distinct),
        }


async def _measure(
    gateway: Counted, known: list[dict[str, str]], others: list[dict[str, str]]
) -> dict[str, Costs]:
    async def hot(_: int) -> None:
        await gateway.look_up(LOOKUP, key=known[0], maxAge=3600)

    documents = selections(REQUESTS)

    async def selected(number: int, shift: int = 0) -> None:
        key = known[(number + shift) % ACCOUNTS]
        await gateway.look_up(documents[number % REQUESTS], key=key, maxAge=3600)

    async def distinct(number: int) -> None:
        await gateway.look_up(LOOKUP, key=known[number % ACCOUNTS], maxAge=0)

    async def fanout(_: int) -> None:
        await gateway.look_up(MANY, keys=others, maxAge=0)

    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call: Any = channel.unary_unary(GET)
        request = ParseDict(
            {"key": known[0], "maxAge": "3600s"}, pb.GetExecutionRequest()
        ).SerializeToString()

        async def grpc_hot(_: int) -> None:
            await call(request)

        for ask in (distinct, hot, grpc_hot, selected):
            for number in range(ACCOUNTS):
                await ask(number)
        return {
            "hot": await gateway.costs(REQUESTS, hot),
            # Pairs that have not been requested, so that no response can be reused.
            "selected": await gateway.costs(REQUESTS, partial(selected, shift=ACCOUNTS // 2)),
            "grpc_hot": await gateway.costs(REQUESTS, grpc_hot),
            "distinct": await gateway.costs(REQUESTS, distinct),
            "fanout_cold_an_account": await gateway.costs(1, fanout, FANOUT, keeps=True),
            "fanout_warm_an_account": await gateway.costs(1, fanout, FANOUT),
        }


@asynccontextmanager
async def counted(world: World, *, history: bool) -> AsyncIterator[Counted]:
    listed = "".join(f'  - {{ id: "{account.account_id}" }}\n' for account in world.accounts())
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(f"defaults: {{ regions: [{REGION}] }}\naccounts:\n{listed}")
        file.flush()
        async with Emulator(world) as aws, aiohttp.ClientSession() as http:
            environment = {
                "PATH": os.environ["PATH"],
                "PYTHONHASHSEED": "0",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            environment |= {"TRANSFER_GATEWAY_ACCOUNTS_FILE": file.name, "TRANSFER_GATEWAY_AUTH": "none"}
            # Counting takes its time: nothing may come of that.
            environment |= {
                "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "300",
                "TRANSFER_GATEWAY_ACCOUNTS_RELOAD_S": "3600",
                "TRANSFER_GATEWAY_HISTORY_URL": "sqlite://" if history else "off",
            }
            environment |= {
                "TRANSFER_GATEWAY_AWS_CONNECT_TIMEOUT_S": "60",
                "TRANSFER_GATEWAY_AWS_READ_TIMEOUT_S": "300",
                "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0",
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                __file__,
                "--serve",
                env=environment | aws.environment(),
                stdout=PIPE,
                stderr=DEVNULL,
            )
            assert process.stdout is not None
            try:
                url, address = json.loads(await process.stdout.readline())
                yield Counted(process, aws, f"{url}/graphql", address, http)
            finally:
                process.terminate()
                await process.communicate()


def compare(found: dict[str, Costs], bounds: dict[str, Costs]) -> bool:
    """Print measured figures and limits. Returns: whether all are within their limits."""
    within = True
    for job, costs in found.items():
        for name, figure in costs.items():
            bound = bounds[job][name]
            grown = figure > bound
            within &= not grown
            told = (
                f"GROWN by {figure / bound - 1:.0%} past its bound"
                if grown and bound
                else "GROWN"
                if grown
                else "ok"
            )
            print(f"{job:24} {name:14} {figure:12,.2f}  bound {bound:12,.2f}  {told}")
    return within


def least(one: dict[str, Costs], other: dict[str, Costs]) -> dict[str, Costs]:
    """Of each figure the smaller: a busy machine adds timers and wake-ups to a cost, and takes nothing away."""
    return {
        name: {unit: min(cost, other[name][unit]) for unit, cost in of.items()} for name, of in one.items()
    }


def write(found: dict[str, Costs]) -> None:
    """The limits of other Python versions are kept."""
    kept = tomllib.loads(BOUNDS.read_text()) if BOUNDS.exists() else {}
    kept[VERSION] = {
        job: {name: round(figure * MARGINS.get(name, USUAL_MARGIN), 1) for name, figure in costs.items()}
        for job, costs in found.items()
    }
    lines = [
        "# The limits of bench/costs.py. `uv run python bench/costs.py --write` measures again and adds 5 %."
    ]
    for python, jobs in sorted(kept.items()):
        for job, costs in jobs.items():
            lines += ["", f'["{python}".{job}]', *(f"{name} = {figure}" for name, figure in costs.items())]
    BOUNDS.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    found = uvloop.run(measure())
    if arguments.write:
        write(found)
    bounds = tomllib.loads(BOUNDS.read_text()).get(VERSION)
    if bounds is None:
        print(f"{BOUNDS.name} has no bounds for {VERSION}")
        return
    within = compare(found, bounds)
    for _ in range(REPEATS):
        if within:
            break
        print("again, for the least of each:")
        found = least(found, uvloop.run(measure()))
        within = compare(found, bounds)
    if not (uvloop.run(compare_history()) and within):
        sys.exit(1)


if __name__ == "__main__":
    main()
