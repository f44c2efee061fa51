"""How many signed DescribeExecution calls per second the emulator answers on one core, with signature verification.

    uv run python bench/emulator_throughput.py [--seconds 3] [--runs 5] [--connections 16]

The emulator is a separate process, pinned to one core; this process loads it from another, over raw keep-alive
connections with requests signed in advance, so that the emulator is what is measured. Every response is checked to be a
200.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, cast

from boto3 import Session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from transfer_emulator import Emulator, World

if sys.platform == "win32":  # has no uvloop
    from asyncio import run
else:
    from uvloop import run

ACCOUNTS = ("111111111111", "222222222222", "333333333333")
REGION = "eu-west-1"
EXECUTIONS_PER_ACCOUNT = 200


async def serve() -> None:
    """Run the emulator: print what the driver needs, and continue until stdin closes."""
    world = World("999999999999", (REGION,))
    placed = []
    for account_id in ACCOUNTS:
        world.add_account(account_id)
        workflow_id = world.add_workflow(account_id, REGION)
        executions = [world.place(account_id, REGION, workflow_id) for _ in range(EXECUTIONS_PER_ACCOUNT)]
        placed.append({"account_id": account_id, "workflow_id": workflow_id, "executions": executions})
    async with Emulator(world) as emulator:
        print(json.dumps({"url": emulator.url, "env": emulator.environment(), "placed": placed}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def emulator_on(core: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, __file__, "--serve", "--core", str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield {**json.loads(process.stdout.readline()), "pid": process.pid}
        finally:
            process.stdin.close()


def signed_requests(started: dict[str, Any]) -> list[bytes]:
    """One request for each placed execution, as bytes, signed by a session of its account."""
    environment = started["env"]
    session = Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=REGION,
    )
    sts = session.client("sts", endpoint_url=started["url"])
    requests = []
    for placed in started["placed"]:
        role_arn = f"arn:aws:iam::{placed['account_id']}:role/TransferGatewayReader"
        answer = sts.assume_role(RoleArn=role_arn, RoleSessionName="throughput")["Credentials"]
        credentials = Credentials(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        requests += [
            signed(started["url"], credentials, placed["workflow_id"], execution_id)
            for execution_id in placed["executions"]
        ]
    return requests


def signed(url: str, credentials: Credentials, workflow_id: str, execution_id: str) -> bytes:
    request = AWSRequest(
        method="POST",
        url=url,
        data=json.dumps({"WorkflowId": workflow_id, "ExecutionId": execution_id}),
        headers={
            "Host": url.removeprefix("http://"),
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "TransferService.DescribeExecution",
        },
    )
    SigV4Auth(credentials, "transfer", REGION).add_auth(request)
    prepared = request.prepare()
    head = "".join(
        f"{name}: {value.decode() if isinstance(value, bytes) else value}\r\n"
        for name, value in prepared.headers.items()
    )
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
    return f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body


@dataclass
class Tally:
    answered: int = 0
    ends_at: float = 0.0


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the last one is answered, until the time is up."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self.requests, self.tally, self.done = requests, tally, done
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by duck-typing only
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or len(body) < int(
            head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0]
        ):
            return
        assert head.startswith(b"HTTP/1.1 200"), self.received
        self.received = b""
        self.tally.answered += 1
        if time.perf_counter() < self.tally.ends_at:
            self.transport.write(next(self.requests))
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def drive(url: str, requests: list[bytes], connections: int, seconds: float) -> tuple[int, float]:
    """The number of responses over all connections, and the seconds that they took."""
    host, _, port = url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    started_at = time.perf_counter()
    tally, endless = Tally(ends_at=started_at + seconds), cycle(requests)
    finished = [loop.create_future() for _ in range(connections)]
    for done in finished:
        await loop.create_connection(partial(Connection, endless, tally, done), host, int(port))
    async with asyncio.timeout(seconds + 10):
        await asyncio.wait(finished)
    return tally.answered, time.perf_counter() - started_at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--core", type=int, default=0, help="the emulator's")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if arguments.serve:
        os.sched_setaffinity(0, {arguments.core})
        run(serve())
        return
    os.sched_setaffinity(0, {cores[-1]})
    with emulator_on(cores[0]) as started:
        requests = signed_requests(started)
        measured = [
            measure(started, requests, arguments.connections, arguments.seconds)
            for _ in range(arguments.runs)
        ]
    for name, figures in zip(
        ("signed DescribeExecution a second, one core", "µs of the emulator's CPU for each"),
        zip(*measured, strict=True),
        strict=True,
    ):
        shown = ", ".join(f"{figure:,.0f}" for figure in figures)
        print(f"{name}: median {statistics.median(figures):,.0f} ({shown})")


def measure(
    started: dict[str, Any], requests: list[bytes], connections: int, seconds: float
) -> tuple[float, float]:
    """Responses per second, and the CPU time of each, which depends less on other work on the machine."""
    before = cpu_s(started["pid"])
    answered, took_s = run(drive(started["url"], requests, connections, seconds))
    return answered / took_s, (cpu_s(started["pid"]) - before) / answered * 1_000_000


def cpu_s(pid: int) -> float:
    """CPU time used so far, in user and kernel mode. Source: proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
