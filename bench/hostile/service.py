"""A gateway to attack, with authentication and default settings; and its attackers and bystanders."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
from comparison.documents import MANY
from google.protobuf.json_format import ParseDict
from rig import rig

from hostile.bystanders import GRPC, HTTP, LIVEZ, Sample

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from issuer import AUDIENCE, LocalIssuer, SigningKey
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from rig import Rig

SHUTDOWN_DELAY_S, REGION = 0.5, "eu-west-1"
ACCOUNTS, EXECUTIONS = 25, 40  # 1,000 in all, within each target's burst
_WARM_UP_ROUNDS, _EXIT_PATIENCE_S = 3, 60.0
_BEGIN_PATIENCE_S = 30.0  # with a process of ours
_TOKEN_BEGINS = "eyJ"  # noqa: S105  no token
_VARIES = re.compile(r"eyJ\S+|[\d.:]{4,}")  # from line to line: tokens, times and addresses
_HERE = Path(__file__).parent
_POLICY = "rules:\n  - callers: { groups: [staff] }\n    accounts: { all: true }\n"


@dataclass
class Bystanders:
    """What the bystanders have seen."""

    seen: list[Sample] = field(default_factory=list)

    def between(self, since: float, until: float) -> list[Sample]:
        return [sample for sample in self.seen if since <= sample.at < until]

    def slowest_probe_ms(self, since: float, until: float) -> float:
        return max((1000 * one.took_s for one in self.between(since, until) if one.who == LIVEZ), default=0.0)

    def p99_ms(self, who: str, since: float, until: float) -> float:
        took = [1000 * one.took_s for one in self.between(since, until) if one.who == who]
        return statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0

    def wrong(self, since: float, until: float) -> Counter[str]:
        return Counter(f"{one.who}: {one.wrong}" for one in self.between(since, until) if one.wrong)


@dataclass(frozen=True)
class Exit:
    """The gateway's process, after SIGTERM. `code` is None if it had to be killed."""

    code: int | None
    took_s: float
    tasks_left: list[str] | None
    errors: Counter[str]  # in its log
    tokens: int  # in its log


@dataclass
class Service:
    """A gateway under attack."""

    rig: Rig
    issuer: LocalIssuer

    @property
    def pid(self) -> int:
        return self.rig.pid

    @property
    def keys(self) -> list[dict[str, str]]:
        """1,000 executions, all in one region."""
        return [key for key in self.rig.keys if key["region"] == REGION]

    def token(self, who: str) -> str:
        return self.issuer.token(sub=who, groups=["staff"])

    def forget_peak(self) -> None:
        """Reset VmHWM. Source: proc(5), clear_refs."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    async def warm_up(self) -> None:
        """Make every execution a snapshot, and allocate what a legitimate request for 1,000 keys costs."""
        token = self.token("warm-up")
        asked = ParseDict({"keys": self.keys, "maxAge": "3600s"}, pb.BatchGetExecutionsRequest())
        async with grpc.aio.insecure_channel(self.rig.grpc) as channel:
            stub: Any = ExecutionServiceStub(channel)
            for _ in range(_WARM_UP_ROUNDS):
                found = await self.graphql(MANY, {"keys": self.keys, "maxAge": 3600}, token)
                assert all("id" in one for one in found["executions"]), found["executions"][:3]
                stream = stub.BatchGetExecutions(asked, metadata=[("authorization", f"Bearer {token}")])
                assert len([one async for one in stream]) == len(self.keys)

    async def graphql(self, query: str, variables: object, token: str) -> Any:  # noqa: ANN401  JSON
        """The data. Raises: LookupError, with the response."""
        headers = {"authorization": f"Bearer {token}"}
        timeout, body = aiohttp.ClientTimeout(30), {"query": query, "variables": variables}
        text = "no answer"
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as http,
                http.post(f"{self.rig.url}/graphql", json=body, headers=headers) as answer,
            ):
                text = await answer.text()
            return json.loads(text)["data"]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            raise LookupError(f"{type(error).__name__}: {text[:300]}") from error

    @asynccontextmanager
    async def attacked(self, name: str, wave: int) -> AsyncIterator[Counter[str]]:
        """Attack while the context lasts. Each wave is another caller, with its own quota."""
        target = {
            "url": self.rig.url,
            "grpc": self.rig.grpc,
            "token": self.token(f"attacker-{wave}"),
            "keys": self.keys,
        }
        done: Counter[str] = Counter()

        begun = asyncio.Event()

        def hear(line: bytes) -> None:
            done.clear()
            done.update(json.loads(line))
            begun.set()

        async with _process("attacks.py", name, target, hear):
            await asyncio.wait_for(begun.wait(), _BEGIN_PATIENCE_S)
            yield done

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Bystanders]:
        place = {
            "url": self.rig.url,
            "grpc": self.rig.grpc,
            "tokens": [self.token(f"bystander-{number}") for number in range(3)],
            "keys": self.keys[:5],
        }
        bystanders, begun = Bystanders(), asyncio.Event()

        def hear(line: bytes) -> None:
            bystanders.seen.append(Sample(*json.loads(line)))
            if not begun.is_set() and {HTTP, GRPC, LIVEZ} <= {one.who for one in bystanders.seen[-100:]}:
                begun.set()

        async with (
            _process("bystanders.py", "callers", place, hear),
            _process("bystanders.py", "prober", place, hear),
        ):
            await asyncio.wait_for(begun.wait(), _BEGIN_PATIENCE_S)
            yield bystanders

    async def end(self) -> Exit:
        """Send SIGTERM."""
        since = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        code: int | None = None
        try:
            code = await asyncio.wait_for(self.rig.process.wait(), _EXIT_PATIENCE_S)
        except TimeoutError:
            self.rig.process.kill()
        took_s = time.monotonic() - since
        log = self.rig.log.read_text(encoding="utf-8", errors="replace")
        tasks_left, errors = None, Counter[str]()
        for line in log.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                event = {"level": "error", "event": f"no JSON: {line}"}
            if event["event"] == "stopped":
                tasks_left = event["tasks_left"]
            if event["level"] in {"error", "critical"}:
                errors[
                    _VARIES.sub("…", f"{event['event']} {event.get('action', '')} {event.get('member', '')}")[
                        :100
                    ]
                ] += 1
        return Exit(code, took_s, tasks_left, errors, log.count(_TOKEN_BEGINS))


@asynccontextmanager
async def serving(
    regions: Sequence[str] = (REGION,),
    *,
    descriptors: int | None = None,
    transfer_url: str | None = None,
    **settings: str,
) -> AsyncIterator[Service]:
    """A gateway with that many descriptors, in front of the emulated AWS or another Transfer.

    `settings` are those without defaults here, without their prefix.
    """
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(LocalIssuer(time.time, SigningKey("key-0")))
        policy = Path(stack.enter_context(tempfile.TemporaryDirectory()), "policy.yaml")
        policy.write_text(_POLICY, encoding="utf-8")
        gateway = await stack.enter_async_context(
            rig(
                ACCOUNTS,
                regions,
                executions=EXECUTIONS,
                transfer_url=transfer_url,
                prefix=("prlimit", f"--nofile={descriptors}:{descriptors}") if descriptors else (),
                AUTH="oidc",
                OIDC_ISSUERS=issuer.url,
                OIDC_AUDIENCES=AUDIENCE,
                POLICY_FILE=str(policy),
                SHUTDOWN_DELAY_S=str(SHUTDOWN_DELAY_S),
                **settings,  # type: ignore[arg-type]  # its other parameters are in lower case
            )
        )
        yield Service(gateway, issuer)


@asynccontextmanager
async def hostile_transfer() -> AsyncIterator[str]:
    """The URL of bench/hostile/aws.py."""
    started: asyncio.Queue[str] = asyncio.Queue()
    async with _process("aws.py", "", {}, lambda line: started.put_nowait(line.decode().strip())):
        yield await asyncio.wait_for(started.get(), _BEGIN_PATIENCE_S)


@asynccontextmanager
async def _process(
    script: str, what: str, told: Mapping[str, object], hear: Callable[[bytes], object]
) -> AsyncIterator[None]:
    """Run a script of this directory with JSON on stdin, and pass on each line that it prints; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, _HERE / script, what, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    printed = process.stdout

    async def listen() -> None:
        async for line in printed:
            hear(line)

    listening = asyncio.create_task(listen())
    try:
        process.stdin.write(json.dumps(told).encode())
        process.stdin.close()
        yield
        assert process.returncode is None, f"{script} {what} ended by itself"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening
