"""What callers see, and the log shows, during an outage of one part: one row each, as in docs/operations.md.

Two accounts in two regions are looked up four times per second each, with `maxAge: 0`. Then one part fails for a while.
Prints when and what its callers saw, how long that lasted after the end, what other targets saw meanwhile, and which
events were logged. Sessions last 12 s here, so that an outage of STS shows soon; in AWS an hour. Run: `uv run python
bench/outages.py [name...]`; all rows take four minutes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from rig import rig

from transfer_emulator import Fault, FaultKind

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from issuer import AUDIENCE, LocalIssuer, SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from rig import Rig

ONE, REGION = "000000000001", "eu-west-1"
SESSION_LIFE_S, BROKEN_FOR_S, HEALS_WITHIN_S = 12.0, 18.0, 22.0
QUERY = "query Q($key: ExecutionKey!) { execution(key: $key, maxAge: 0) { id } }"


@dataclass
class World:
    """An outage."""

    gateway: Rig
    issuer: LocalIssuer
    _http: aiohttp.ClientSession

    @asynccontextmanager
    async def fault(self, *faults: Fault) -> AsyncIterator[None]:
        added = [self.gateway.aws.faults.add(fault) for fault in faults]
        yield
        for fault_id in added:
            self.gateway.aws.faults.remove(fault_id)

    @asynccontextmanager
    async def no_network(self) -> AsyncIterator[None]:
        await self.gateway.aws.stop()
        yield
        await self.gateway.aws.start()

    @asynccontextmanager
    async def no_issuer(self, *, new_key: bool) -> AsyncIterator[None]:
        """`new_key`: one that the gateway has not seen; otherwise known ones."""
        self.issuer.down = True
        if new_key:
            self.issuer.publish(SigningKey(f"key-{time.time()}"))
        yield
        self.issuer.down = False

    async def ask(self, key: dict[str, str]) -> str:
        body = {"query": QUERY, "variables": {"key": key}}
        headers = {"authorization": f"Bearer {self.issuer.token()}"}
        async with self._http.post(f"{self.gateway.url}/graphql", json=body, headers=headers) as response:
            answer = await response.json()
        return "OK" if "errors" not in answer else str(answer["errors"][0]["extensions"]["code"])


@dataclass(frozen=True)
class Outage:
    name: str
    breaks: Callable[[World], AbstractAsyncContextManager[None]]
    strikes: Callable[[dict[str, str]], bool]  # which targets


def _one(key: dict[str, str]) -> bool:
    return key["accountId"] == ONE


def _region(key: dict[str, str]) -> bool:
    return key["region"] == REGION


def _all(_key: dict[str, str]) -> bool:
    return True


def _account(name: str, kind: FaultKind) -> Outage:
    fault = Fault(kind, account_id=ONE, service="transfer")
    return Outage(name, lambda world: world.fault(fault), _one)


OUTAGES = (
    Outage("STS fails", lambda world: world.fault(Fault(FaultKind.SERVER_ERROR, service="sts")), _all),
    Outage("STS hangs", lambda world: world.fault(Fault(FaultKind.HANG, service="sts")), _all),
    Outage(
        "role refused",
        lambda world: world.fault(
            Fault(FaultKind.REVOKED, account_id=ONE, service="transfer"),
            Fault(FaultKind.DENY, account_id=ONE, service="sts"),
        ),
        _one,
    ),
    _account("permission missing", FaultKind.DENY),
    _account("account throttled", FaultKind.THROTTLE),
    _account("account fails", FaultKind.SERVER_ERROR),
    _account("account hangs", FaultKind.HANG),
    _account("sessions revoked", FaultKind.REVOKED),
    Outage(
        "region's Transfer fails",
        lambda world: world.fault(Fault(FaultKind.SERVER_ERROR, region=REGION, service="transfer")),
        _region,
    ),
    Outage(
        "region fails, STS's",
        lambda world: world.fault(Fault(FaultKind.SERVER_ERROR, region=REGION)),
        _region,
    ),
    Outage("no network to AWS", lambda world: world.no_network(), _all),
    Outage("issuer down", lambda world: world.no_issuer(new_key=False), _all),
    Outage("issuer down, new key", lambda world: world.no_issuer(new_key=True), _all),
)


@dataclass
class Seen:
    """The codes of one kind of target, with the time since the outage's start at which each was first and last seen."""

    codes: Counter[str] = field(default_factory=Counter)
    first_s: dict[str, float] = field(default_factory=dict)
    last_failed_s: float | None = None
    longest_s: float = 0.0

    def add(self, code: str, asked_s: float, took_s: float) -> None:
        self.codes[code] += 1
        self.first_s.setdefault(code, asked_s)
        self.longest_s = max(self.longest_s, took_s)
        if code != "OK":
            self.last_failed_s = max(self.last_failed_s or 0.0, asked_s)

    def __str__(self) -> str:
        codes = ", ".join(
            f"{times} {code} (from {self.first_s[code]:.1f} s)" for code, times in self.codes.items()
        )
        return f"{codes}; longest answer {self.longest_s:.1f} s"


async def suffer(world: World, outage: Outage) -> None:
    """Start the outage, end it, and report."""
    loop, seen = asyncio.get_running_loop(), {True: Seen(), False: Seen()}
    logged = world.gateway.log.stat().st_size
    began = loop.time()

    async def ask(key: dict[str, str]) -> None:
        asked = loop.time()
        code = await world.ask(key)
        seen[outage.strikes(key)].add(code, asked - began, loop.time() - asked)

    async def ask_steadily(stop_at: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            while loop.time() < stop_at:
                for key in world.gateway.keys:
                    tasks.create_task(ask(key))
                await asyncio.sleep(0.25)

    async with outage.breaks(world):
        asking = asyncio.create_task(ask_steadily(began + BROKEN_FOR_S + HEALS_WITHIN_S))
        await asyncio.sleep(BROKEN_FOR_S)
    mended_s = loop.time() - began
    await asking
    with world.gateway.log.open("rb") as log:
        log.seek(logged)
        events = Counter(
            f"{event['level']} {event['event']}"
            for event in map(json.loads, log)
            if event["event"] not in {"lookup", "role_assumed"}
        )
    struck, others = seen[True], seen[False]
    last = struck.last_failed_s
    after = "never failed" if last is None else f"well {max(0.0, last - mended_s):.1f} s after it was mended"
    print(
        f"{outage.name}\n  struck: {struck}; {after}\n  others: {others}\n  log: {dict(events)}", flush=True
    )


async def main(names: list[str]) -> None:
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(LocalIssuer(time.time, SigningKey("key-0")))
        policy = Path(stack.enter_context(tempfile.TemporaryDirectory()), "policy.yaml")
        policy.write_text("rules: [{ callers: { any: true }, accounts: { all: true } }]")
        gateway = await stack.enter_async_context(
            rig(
                2,
                [REGION, "us-east-1"],
                session_lifetime_s=SESSION_LIFE_S,
                AUTH="oidc",
                OIDC_ISSUERS=issuer.url,
                OIDC_AUDIENCES=AUDIENCE,
                POLICY_FILE=str(policy),
            )
        )
        world = World(
            gateway,
            issuer,
            await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))),
        )
        for key in gateway.keys:
            assert await world.ask(key) == "OK"
        for outage in OUTAGES:
            if not names or outage.name in names:
                await suffer(world, outage)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
