"""A soak test: 200 requests per second for 50 accounts while AWS fails, tokens expire and the configuration changes.

Half of the requests are GraphQL, half gRPC. Meanwhile one account after the other fails, in every way that the emulator
supports; tokens last 20 s and sessions 15; the issuer rotates its key and goes down; accounts file and policy are
rewritten, every second time invalid. Run: `uv run python bench/soak.py [--minutes 10]`. Exits with 1 if a rule is
violated. `--sabotage` violates one on purpose, to show that it is detected.

The rules: every response is correct, or explained by its account's failure at that moment; every kind of failure has
occurred, and an invalid file changes nothing; the log has no error except those of invalid files, and no token; memory
is flat after warm-up; no file descriptor is left once requests stop; after SIGTERM all requests in progress are
answered, no task is left, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import grpc
from rig import rig
from soak_plan import SICKNESSES, Configuration, Judge
from soak_rules import DESCRIPTORS_BOUND, End, answer_rules, end_rules, log_rules, print_seen, vital_rules
from soak_vitals import Watch

from transfer_emulator import Fault, FaultKind

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from soak_callers import GraphQLCaller, GrpcCaller, ask_steadily, groups

from issuer import AUDIENCE, LocalIssuer, SigningKey

if TYPE_CHECKING:
    from rig import Rig
    from soak_callers import Caller

REQUESTS_PER_S, ACCOUNTS = 200, 50
FALLS_SICK_EVERY_S, SICK_FOR_S, ALL_WELL_FOR_S = 2.0, 10.0, 16.0
SESSION_LIFE_S, RELOAD_S = 15.0, 1.0
WARM_UP = 0.4  # of the time: until the caches are full, which took four minutes
UNDER_WAY, SLOW_S, STALL_S = 40, 1.0, 0.5

NUMBERS = [f"{number + 1:012}" for number in range(ACCOUNTS)]
EVERYTHING = Configuration(frozenset(NUMBERS), frozenset(), guests_see_posix=True)
LESS = Configuration(frozenset(NUMBERS[:-5]), frozenset(NUMBERS[:5]), guests_see_posix=False)


@dataclass
class Soak:
    """One run against a gateway."""

    gateway: Rig
    issuer: LocalIssuer
    policy_file: Path
    judge: Judge
    seconds: float
    sabotage: str | None
    rewritten: Counter[str] = field(default_factory=Counter)
    held: list[asyncio.StreamWriter] = field(default_factory=list)

    async def make_sick(self) -> None:
        """One account after the other fails, each in another way, until it is time to recover."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds - ALL_WELL_FOR_S - SICK_FOR_S
        accounts = sorted(LESS.accounts)  # those that are there all the time
        random.shuffle(accounts)
        async with asyncio.TaskGroup() as tasks:
            number = 0
            while loop.time() < end:
                tasks.create_task(self._sicken(number, accounts[number % len(accounts)]))
                number += 1
                await asyncio.sleep(FALLS_SICK_EVERY_S)

    async def _sicken(self, number: int, account: str) -> None:
        loop, faults = asyncio.get_running_loop(), self.gateway.aws.faults
        sickness = SICKNESSES[number % len(SICKNESSES)]
        window = self.judge.begins(sickness, account, loop.time())
        added = [faults.add(fault) for fault in sickness.strike(account)]
        await asyncio.sleep(SICK_FOR_S)
        for fault_id in added:
            faults.remove(fault_id)
        self.judge.ends(window, sickness, loop.time())

    async def reconfigure(self, every_s: float) -> None:
        """Rewrite both files as Kubernetes does: by replacing them."""
        loop = asyncio.get_running_loop()
        for number in range(int((self.seconds - 2 * RELOAD_S) / every_s)):
            await asyncio.sleep(every_s)
            if number % 2:
                self._write("accounts: [", "rules: 3")
                self.rewritten["badly"] += 1
            else:
                version = EVERYTHING if number % 4 else LESS
                self.judge.changes(version, loop.time())
                self._write(version.accounts_yaml(), version.policy_yaml())
                self.rewritten["well"] += 1

    def _write(self, accounts: str, policy: str) -> None:
        for path, text in ((self.gateway.accounts_file, accounts), (self.policy_file, policy)):
            new = path.with_suffix(".new")
            new.write_text(text)
            new.replace(path)

    async def trouble_issuer(self) -> None:
        """Each minute: a new key, the issuer down for a while, the old key withdrawn. No caller may notice."""
        while True:
            await asyncio.sleep(15)
            old, new = self.issuer.keys[0], SigningKey(f"key-{time.time():.0f}")
            self.issuer.publish(new, old)
            await asyncio.sleep(15)
            self.issuer.down = True
            await asyncio.sleep(10)
            self.issuer.down = False
            self.issuer.publish(new)
            await asyncio.sleep(20)

    async def notice_stalls(self) -> None:
        """Detects when this process gets no CPU, which for the gateway looks like a hanging AWS."""
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            await asyncio.sleep(0.1)
            if loop.time() - since > STALL_S:
                self.judge.stood_still(since, loop.time())

    async def do_damage(self) -> None:
        """Violates a rule, for `--sabotage`."""
        await asyncio.sleep(self.seconds * 0.37)  # between two changes of the configuration
        if self.sabotage == "fault":
            self.gateway.aws.faults.add(
                Fault(FaultKind.DENY, account_id=NUMBERS[7], service="transfer", times=3)
            )
        elif self.sabotage == "config":
            other = EVERYTHING if self.judge.newest == LESS else LESS
            self._write(other.accounts_yaml(), other.policy_yaml())
        elif self.sabotage == "connections":  # each with a request that never ends
            host, _, port = self.gateway.url.rpartition("/")[2].partition(":")
            head = b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            head += b"content-length: 900000\r\n\r\n"
            while True:
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(head + b" " * 400_000)
                self.held.append(writer)
                await asyncio.sleep(self.seconds / 300)

    async def end(self, callers: list[Caller]) -> End:
        """SIGTERM while every response takes a second."""
        kind = FaultKind.HANG if self.sabotage == "end" else FaultKind.LATENCY
        self.gateway.aws.faults.add(Fault(kind, service="transfer", seconds=SLOW_S))
        async with asyncio.TaskGroup() as tasks:
            for number in range(UNDER_WAY):
                caller = callers[number % len(callers)]
                tasks.create_task(caller.look_up_slowly(self.gateway.keys[number]))
            await asyncio.sleep(SLOW_S / 3)
            since = time.monotonic()
            os.kill(self.gateway.pid, signal.SIGTERM)
        code = await asyncio.wait_for(self.gateway.process.wait(), 60)
        return End(code, time.monotonic() - since)


async def soak(minutes: float, sabotage: str | None, samples: Path | None) -> bool:
    """One run. Returns: whether every rule held."""
    seconds = minutes * 60
    reload_every_s = min(30.0, seconds / 6)
    judge = Judge(EVERYTHING, settles_s=RELOAD_S + 1.0)
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(LocalIssuer(time.time, SigningKey("key-0")))
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        policy_file = Path(directory, "policy.yaml")
        policy_file.write_text(EVERYTHING.policy_yaml())
        gateway = await stack.enter_async_context(
            rig(
                ACCOUNTS,
                ["eu-west-1"],
                session_lifetime_s=SESSION_LIFE_S,
                AUTH="oidc",
                OIDC_ISSUERS=issuer.url,
                OIDC_AUDIENCES=AUDIENCE,
                OIDC_LEEWAY_S="1",
                POLICY_FILE=str(policy_file),
                ACCOUNTS_RELOAD_S=str(RELOAD_S),
                REQUEST_TIMEOUT_S="4",
                AWS_READ_TIMEOUT_S="2",
                AWS_CONNECT_TIMEOUT_S="1",
                SHUTDOWN_DELAY_S="0.5",
                GRPC_MAX_CONNECTION_AGE_S="20",
                GRAPHQL_ANSWERS_MAX_BYTES=str(2**20),  # full before memory is judged
            )
        )
        run = Soak(gateway, issuer, policy_file, judge, seconds, sabotage)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3))
        )
        callers: list[Caller] = []
        for number, group in enumerate(groups()):
            alone = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own, as in another process
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(gateway.grpc, alone))
            callers.append(GraphQLCaller(f"web-{number}", group, issuer, judge, http=http, url=gateway.url))
            callers.append(GrpcCaller(f"service-{number}", group, issuer, judge, channel))
        watch, stop = Watch(gateway.pid, max(20.0, seconds * WARM_UP)), asyncio.Event()
        cpu_s, started = gateway.cpu_s(), time.monotonic()
        during = [
            asyncio.create_task(work)
            for work in (
                run.make_sick(),
                run.reconfigure(reload_every_s),
                run.trouble_issuer(),
                run.do_damage(),
                run.notice_stalls(),
                watch.look(stop),
            )
        ]
        asyncio.get_running_loop().call_later(seconds, stop.set)
        asked = await ask_steadily(callers, gateway.keys, REQUESTS_PER_S, stop)
        took_s = time.monotonic() - started
        cpu_s, aws_calls = gateway.cpu_s() - cpu_s, gateway.aws.calls.count()
        for task in during:
            if task.done():
                task.result()
            task.cancel()
        descriptors_left = await watch.descriptors_left(DESCRIPTORS_BOUND)
        ends = await run.end(callers)
        log = gateway.log.read_text(encoding="utf-8")
    print(
        f"{asked / seconds:.0f} requests/s for {seconds:.0f} s, gateway {cpu_s / took_s:.0%} of a core, "
        f"{aws_calls / took_s:.0f} calls to AWS/s, the machine's load {os.getloadavg()[0]:.1f}"
    )
    print_seen(judge)
    if samples is not None:
        samples.write_text("".join(f"{vitals}\n" for vitals in watch.seen))
    rules = [
        (f"{asked / seconds:.0f} requests/s", asked / seconds > 0.95 * REQUESTS_PER_S),
        *answer_rules(judge),
        *log_rules(log, run.rewritten),
        *vital_rules(watch, descriptors_left),
        *end_rules(ends, log),
    ]
    for said, held in rules:
        print(f"{'ok    ' if held else 'BROKEN'} {said}")
    for one in judge.unexplained[:30]:
        print(f"  {one}")
    return all(held for _, held in rules)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sabotage", choices=("fault", "config", "connections", "end"))
    parser.add_argument("--samples", type=Path, help="where to write what memory was at each second")
    asked = parser.parse_args()
    sys.exit(0 if asyncio.run(soak(asked.minutes, asked.sabotage, asked.samples)) else 1)


if __name__ == "__main__":
    main()
