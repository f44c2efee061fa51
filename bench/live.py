"""Subscriptions: what each and each delivery costs, and how late changes are, with thousands of subscribers.

Some subscribe over WebSocket, some as server-sent events, some over gRPC. The gateway runs on one core, with a writer
in its process that appends changes to its history as followers do; clients and the emulated AWS run on the others. Of
a change its text has the time at which it was appended. Run: `uv run python bench/live.py`
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import re
import resource
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import grpc
import websockets

from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Emulator, Role, World
from transfer_gateway import server
from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
from transfer_gateway.domain.execution import FileLocation, S3FileLocation, Source, StepType
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId
from transfer_gateway.settings import Settings
from transfer_gateway.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from multiprocessing.queues import Queue

    from transfer_gateway.history.store import HistoryStore

HOME, ACCOUNT, REGION, WORKFLOW = "999999999999", "111111111111", "eu-west-1", "w-1a2b3c4d5e6f7a8b9"
AIMS = {"p99_s": 1.0, "subscriber_kb": 20.0, "delivery_us": 40.0}
TRANSPORTS = ("sse", "websocket", "grpc")
DOCUMENT = (
    "subscription ($key: ExecutionKey!) { executionChanged(key: $key) { cursor "
    "execution { id status startedAt initialFileLocation { s3FileLocation { bucket key } } } "
    "events { kind occurredAt stepName } } }"
)
ALL_DOCUMENT = DOCUMENT.replace("($key: ExecutionKey!)", "($ids: [ExecutionId!]!)").replace(
    "executionChanged(key: $key)", "executionsChanged(filter: { executionIds: $ids })"
)
UNREAD_EXECUTIONS = 20
APPENDED = re.compile(rb"at ([0-9]{10}\.[0-9]{6})")
METHOD = "/transfer_api.v1.ExecutionService/WatchExecution"
STREAMS_PER_CHANNEL = 80
SETTLE_S, GATHERED_EVERY_S = 4.0, 0.05
UNREAD_SETTLE_S = 6.0  # what runs is listed for each; they are ended after half a minute
START_EVERY_S = 0.03  # subscribers of a transport, so that one core can begin with all of them in time


def key_of(number: int) -> ExecutionKey:
    execution_id = ExecutionId(f"{number:08x}-0000-4000-8000-000000000000")
    return ExecutionKey(AccountId(ACCOUNT), Region(REGION), WorkflowId(WORKFLOW), execution_id)


# The gateway's process


def event_of(number: int, count: int, kind: EventKind) -> ExecutionEvent:
    now = time.time()
    return ExecutionEvent(
        key=key_of(number),
        event_id=f"{number:028d}{count:028d}",
        occurred_at=datetime.fromtimestamp(now, UTC),
        observed_at=datetime.fromtimestamp(now, UTC),
        source=Source.LOG,
        kind=kind,
        raw_kind=kind.value,
        step_type=StepType.COPY if count else None,
        raw_step_type="COPY" if count else None,
        step_name=f"at {now:.6f}" if count else None,
        file_location=FileLocation(
            S3FileLocation("inbox", "claims/2026/claims-4711.csv", None, "etag"), None
        ),
        error=None,
        upload=Upload("ada", "s-0123456789abcdef0", "session-1"),
        details="{}",
    )


async def write(store: HistoryStore, executions: int, per_s: float, seconds: float, counts: list[int]) -> int:
    """Append so many changes a second, each of another execution. Returns: how many."""
    started, written = time.perf_counter(), 0
    numbers = itertools.cycle(range(executions))
    while (passed := time.perf_counter() - started) < seconds:
        due = int(passed * per_s) - written
        events = []
        for number in itertools.islice(numbers, due):
            counts[number] += 1
            events.append(event_of(number, counts[number], EventKind.STEP_STARTED))
        if events:
            await store.append(events)
        written += due
        await asyncio.sleep(GATHERED_EVERY_S)
    return written


async def serve(executions: int, accounts_file: str, directory: str) -> None:
    """The gateway. Each line of input is a command, each line of output its answer, in JSON."""
    settings = Settings.from_environment(
        accounts_file=accounts_file,
        history_url=f"sqlite://{directory}/history.db",
        history_backfill_hours=0,
        auth="none",
        http_port=0,
        grpc_port=0,
        http_max_connections=20_000,
        http_max_connections_per_address=20_000,
        grpc_max_concurrent_rpcs=20_000,
        live_max_subscriptions=20_000,
        log_level="error",
        audit_log=False,
        shutdown_delay_s=0,
        shutdown_grace_s=1,
    )
    configure_logging("error", "json")
    counts = [0] * executions
    async with server.running(settings) as service:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)  # as `transfer-gateway serve` does
        history = service.gateway._history  # noqa: SLF001  what followers write to
        assert history is not None
        for number in range(executions):
            await history.store.append([event_of(number, 0, EventKind.EXECUTION_STARTED)])
        answer({"url": service.url, "grpc": service.grpc})
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, *arguments = line.split()
            if command == "write":
                cpu_s, started = time.process_time(), time.perf_counter()
                per_s, seconds = map(float, arguments)
                written = await write(history.store, executions, per_s, seconds, counts)
                await asyncio.sleep(1)  # for what is under way
                used_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - started
                answer({"written": written, "cpu_s": used_s, "wall_s": wall_s, "rss_kb": rss_kb()})
            else:
                gc.collect()
                answer({"rss_kb": rss_kb()})


def answer(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def rss_kb() -> int:
    return (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() // 1024
    )


# The clients' processes


def variables_of(number: int) -> dict[str, Any]:
    key = key_of(number)
    names = ("accountId", "region", "workflowId", "executionId")
    return {"key": dict(zip(names, key, strict=True))}


async def sse(url: str, number: int, on_bytes: Callable[[bytes], None]) -> None:
    reader, _writer = await stream_of(url, DOCUMENT, variables_of(number))
    while text := await reader.read(65_536):
        on_bytes(text)


async def unread(url: str, *_: object) -> None:
    """Asks for many changes, and takes none but the first into a small buffer."""
    execution_ids = [key_of(number).execution_id for number in range(UNREAD_EXECUTIONS)]
    _open = await stream_of(url, ALL_DOCUMENT, {"ids": execution_ids}, buffer=4096)
    await asyncio.Event().wait()


async def stream_of(
    url: str, document: str, variables: dict[str, Any], *, buffer: int = 2**20
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Subscribe. Whoever drops the writer closes the connection."""
    address = urlsplit(url)
    body = json.dumps({"query": document, "variables": variables}).encode()
    with socket.socket() as connecting:
        connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connecting.setblocking(False)  # noqa: FBT003  the only argument
        await asyncio.get_running_loop().sock_connect(connecting, (address.hostname, address.port))
        reader, writer = await asyncio.open_connection(sock=connecting.dup(), limit=buffer)
    writer.write(
        b"POST /graphql HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    return reader, writer


async def websocket(url: str, number: int, on_bytes: Callable[[bytes], None]) -> None:
    address = url.replace("http", "ws", 1) + "/graphql"
    protocols = [websockets.Subprotocol("graphql-transport-ws")]
    async with websockets.connect(
        address, subprotocols=protocols, compression=None, open_timeout=60
    ) as client:
        await client.send(json.dumps({"type": "connection_init"}))
        await client.recv()
        payload = {"query": DOCUMENT, "variables": variables_of(number)}
        await client.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
        async for text in client:
            if '"ping"' in text[:20]:
                await client.send('{"type":"pong"}')
            on_bytes(text.encode())  # type: ignore[union-attr]  # as above


async def watch(channel: grpc.aio.Channel, number: int, on_bytes: Callable[[bytes], None]) -> None:
    key = execution_pb2.ExecutionKey(**key_of(number)._asdict())
    call: Any = channel.unary_stream(METHOD, request_serializer=pb.WatchExecutionRequest.SerializeToString)
    async for message in call(pb.WatchExecutionRequest(key=key)):  # bytes
        # The execution has the names of earlier steps, too.
        change = pb.WatchExecutionResponse.FromString(message).change
        on_bytes(" ".join(event.step_name for event in change.events).encode())


async def subscribe(
    transport: str, gateway: dict[str, str], numbers: Sequence[int], executions: int, results: Queue[Any]
) -> None:
    """Subscribe, and report the times that changes took, whenever they are asked for."""
    took_s: list[float] = []
    heard = set[int]()

    def listener(number: int) -> Callable[[bytes], None]:
        def on_bytes(text: bytes) -> None:
            heard.add(number)
            now = time.time()
            took_s.extend(now - float(at) for at in APPENDED.findall(text))

        return on_bytes

    channels = [
        grpc.aio.insecure_channel(gateway["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(-(-len(numbers) // STREAMS_PER_CHANNEL) if transport == "grpc" else 0)
    ]
    tasks = []
    works: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "sse": lambda _, *of: sse(gateway["url"], *of),
        "unread": lambda _, *of: unread(gateway["url"], *of),
        "websocket": lambda _, *of: websocket(gateway["url"], *of),
        "grpc": lambda at, *of: watch(channels[at // STREAMS_PER_CHANNEL], *of),
    }
    for at, number in enumerate(numbers):
        work = works[transport](at, number % executions, listener(number))
        tasks.append(asyncio.create_task(work))
        await asyncio.sleep(START_EVERY_S)
    while transport != "unread" and len(heard) < len(numbers):
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    results.put((transport, "subscribed", len(heard)))
    took_s.clear()
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        results.put((transport, "took", list(took_s)))
        took_s.clear()


def client(asked: Any, *arguments: Any) -> None:  # noqa: ANN401  a connection, and those of `subscribe`
    os.sched_setaffinity(0, others())
    sys.stdin = os.fdopen(asked.fileno(), closefd=False)
    gc.freeze()
    asyncio.run(subscribe(*arguments))


def others() -> set[int]:
    """The cores that the gateway leaves."""
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[1:] or cores)


# The benchmark


class Gateway:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.at: dict[str, str] = {}

    async def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    async def ask(self, *command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write((" ".join(map(str, command)) + "\n").encode())
        return await self.answer()


@asynccontextmanager
async def gateway_of(executions: int) -> AsyncIterator[tuple[Gateway, Emulator]]:
    world = World(HOME, (REGION,))
    world.add_account(ACCOUNT, [Role("TransferGatewayReader", (f"arn:aws:iam::{HOME}:root",))])
    with tempfile.TemporaryDirectory() as directory:
        accounts_file = Path(directory, "accounts.yaml")
        accounts_file.write_text(
            f'defaults: {{ regions: [{REGION}] }}\naccounts:\n  - {{ id: "{ACCOUNT}" }}\n'
        )
        async with Emulator(world) as aws:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            environment |= aws.environment() | {"AWS_EC2_METADATA_DISABLED": "true"}
            process = await asyncio.create_subprocess_exec(
                "taskset",
                "-c",
                str(min(os.sched_getaffinity(0))),
                sys.executable,
                __file__,
                "--serve",
                str(executions),
                str(accounts_file),
                directory,
                env=environment,
                stdin=PIPE,
                stdout=PIPE,
            )
            gateway = Gateway(process)
            try:
                gateway.at = await gateway.answer()
                yield gateway, aws
            finally:
                process.terminate()
                await process.wait()


class Clients:
    """A process for each transport."""

    def __init__(self, gateway: Gateway, executions: int) -> None:
        self._gateway, self._executions = gateway, executions
        self._context = get_context("spawn")
        self._results: Queue[Any] = self._context.Queue()
        self._asked: dict[str, Any] = {}
        self._processes: list[Any] = []

    async def add(self, transport: str, numbers: Sequence[int]) -> None:
        reader, writer = self._context.Pipe(duplex=False)
        arguments = (reader, transport, self._gateway.at, numbers, self._executions, self._results)
        process = self._context.Process(target=client, args=arguments)
        await asyncio.to_thread(process.start)
        self._processes.append(process)
        self._asked[transport] = writer

    async def subscribed(self, count: int) -> None:
        """Wait until so many more processes have subscribed."""
        for _ in range(count):
            await asyncio.to_thread(self._results.get)

    async def took(self) -> dict[str, list[float]]:
        for asked in self._asked.values():
            os.write(asked.fileno(), b"\n")
        found = [await asyncio.to_thread(self._results.get) for _ in self._asked]
        return {transport: took_s for transport, _, took_s in found}

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


class Writing(NamedTuple):
    """What the gateway needed while changes were written."""

    changes_per_s: float
    cores: float
    wall_s: float
    rss_mb: float
    aws_calls: int


async def writing(gateway: Gateway, aws: Emulator, options: argparse.Namespace) -> Writing:
    aws.calls.reset()
    found = await gateway.ask("write", options.changes_per_s, options.seconds)
    return Writing(
        found["written"] / options.seconds,
        found["cpu_s"] / found["wall_s"],
        found["wall_s"],
        found["rss_kb"] / 1024,
        aws.calls.count(),
    )


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)] if values else float("nan")


async def measure(options: argparse.Namespace) -> None:
    """Without and with subscribers that never read, each with a gateway of its own: executions grow with changes."""
    for unread in sorted({0, options.unread}):
        print(f"with {unread} subscribers that never read:")
        async with AsyncExitStack() as stack:
            gateway, aws = await stack.enter_async_context(gateway_of(options.executions))
            alone = await writing(gateway, aws, options)
            print(
                f"  without subscribers: {alone.changes_per_s:.0f} changes/s, {alone.cores:.2f} of a core; "
                f"{alone.aws_calls} AWS calls"
            )
            before = await gateway.ask("memory")
            clients = Clients(gateway, options.executions)
            stack.callback(clients.end)
            transports = options.only or TRANSPORTS
            each = options.subscribers // len(transports)
            started = time.perf_counter()
            for at, transport in enumerate(transports):
                await clients.add(transport, range(at * each, (at + 1) * each))
            await clients.subscribed(len(transports))
            print(f"  {each * len(transports):,} subscribers in {time.perf_counter() - started:.1f} s")
            await asyncio.sleep(SETTLE_S)
            memory = await gateway.ask("memory")
            grown = (memory["rss_kb"] - before["rss_kb"]) / (each * len(transports))
            print(f"  memory of a subscriber: {grown:.1f} KB (aim {AIMS['subscriber_kb']:.0f})")
            if unread:
                await clients.add("unread", range(unread))
                await clients.subscribed(1)
                await asyncio.sleep(UNREAD_SETTLE_S)
            await report(gateway, clients, aws, options, alone)


async def report(
    gateway: Gateway, clients: Clients, aws: Emulator, options: argparse.Namespace, alone: Writing
) -> None:
    await clients.took()
    found = await writing(gateway, aws, options)
    await asyncio.sleep(SETTLE_S)
    took = {transport: took_s for transport, took_s in (await clients.took()).items() if took_s}
    everything = [each for took_s in took.values() for each in took_s]
    each_us = (found.cores - alone.cores) * found.wall_s / max(1, len(everything)) * 1e6
    print(
        f"  {len(everything) / options.seconds:.0f} deliveries/s of {found.changes_per_s:.0f} changes/s, "
        f"{found.cores:.2f} of a core: {each_us:.0f} µs a delivery (aim {AIMS['delivery_us']:.0f}); "
        f"{found.rss_mb:.0f} MB; {found.aws_calls} AWS calls ({alone.aws_calls} without subscribers)"
    )
    for transport, took_s in {**took, "all": everything}.items():
        quantiles = ", ".join(
            f"p{share * 100:.0f} {quantile(took_s, share):.3f} s" for share in (0.5, 0.95, 0.99)
        )
        print(f"  {transport:>9}: {len(took_s):,} in {quantiles} (aim p99 {AIMS['p99_s']} s)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subscribers", type=int, default=5000)
    parser.add_argument("--executions", type=int, default=500)
    parser.add_argument("--changes-per-s", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--unread", type=int, default=100, help="subscribers that never read, in the second part"
    )
    parser.add_argument("--only", action="append", choices=TRANSPORTS)
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        executions, accounts_file, directory = options.serve
        asyncio.run(serve(int(executions), accounts_file, directory))
        return
    os.sched_setaffinity(0, others() | {min(os.sched_getaffinity(0))})
    asyncio.run(measure(options))


if __name__ == "__main__":
    main()
