"""Shared by the benchmarks: an emulated AWS in this process, the gateway in another, and its client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from comparison.documents import MANY

from transfer_emulator import Emulator, Role, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

HOME = "999999999999"


@dataclass(frozen=True)
class Rig:
    """A gateway in front of an emulated AWS with one execution in every target."""

    aws: Emulator
    keys: list[dict[str, str]]
    pid: int
    grpc: str
    environment: dict[str, str]  # the gateway's, for another that looks into the same AWS
    url: str
    _http: aiohttp.ClientSession
    process: Process
    accounts_file: Path
    log: Path

    async def look_up(self, keys: Sequence[dict[str, str]], max_age: float = 0.0) -> list[dict[str, Any]]:
        body = {"query": MANY, "variables": {"keys": keys, "maxAge": max_age}}
        async with self._http.post(f"{self.url}/graphql", json=body) as answer:
            found: list[dict[str, Any]] = json.loads(await answer.read())["data"]["executions"]
            return found

    async def post(self, body: str) -> None:
        """Send a GraphQL request, and read its answer."""
        headers = {"content-type": "application/json"}
        async with self._http.post(f"{self.url}/graphql", data=body, headers=headers) as answer:
            await answer.read()

    def cpu_s(self) -> float:
        """CPU seconds that the gateway has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Resident memory of the gateway, now, or at its peak (`VmHWM`)."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{which}:"):
                return int(line.split()[1]) / 1024
        raise LookupError(which)


@asynccontextmanager
async def rig(
    accounts: int,
    regions: Sequence[str],
    *,
    executions: int = 1,
    session_lifetime_s: float | None = None,
    transfer_url: str | None = None,
    prefix: Sequence[str] = (),
    world: World | None = None,
    **settings: str,
) -> AsyncIterator[Rig]:
    """Start both. `settings` are the gateway's, without their prefix; `session_lifetime_s` is the emulator's.

    Every target has that many `executions`, unless there is a `world`. `transfer_url` replaces the emulator's Transfer.
    `prefix` precedes the gateway's command, as in `prlimit --nofile=256 transfer-gateway serve`.
    """
    if world is None:
        world, keys = _sample(accounts, regions, executions)
    else:
        keys = []
    listed = "".join(f'  - {{ id: "{account.account_id}" }}\n' for account in world.accounts())
    with tempfile.TemporaryDirectory() as directory:
        accounts_file, log = Path(directory, "accounts.yaml"), Path(directory, "log")
        accounts_file.write_text(f"defaults: {{ regions: [{', '.join(regions)}] }}\naccounts:\n{listed}")
        async with Emulator(world, session_lifetime_s=session_lifetime_s) as aws:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            environment |= aws.environment()
            settings = {
                "SHUTDOWN_DELAY_S": "0",
                "AUTH": "none",
                "HISTORY_URL": "off",  # bench/history.py is about it
                "ACCOUNTS_FILE": str(accounts_file),
            } | settings
            environment |= {f"TRANSFER_GATEWAY_{name}": value for name, value in settings.items()}
            environment |= {"AWS_EC2_METADATA_DISABLED": "true"}
            if transfer_url is not None:
                environment["AWS_ENDPOINT_URL_TRANSFER"] = transfer_url
            with log.open("wb") as logged:
                process = await asyncio.create_subprocess_exec(
                    *prefix,
                    Path(sys.executable).with_name("transfer-gateway"),
                    "serve",
                    "--http-port",
                    "0",
                    "--grpc-port",
                    "0",
                    env=environment,
                    stdout=PIPE,
                    stderr=logged,
                )
            assert process.stdout is not None
            try:
                url = (await process.stdout.readline()).decode().split()[-1].removesuffix("/graphql")
                grpc = (await process.stdout.readline()).decode().split()[-1]
                async with aiohttp.ClientSession() as http:
                    yield Rig(
                        aws, keys, process.pid, grpc, environment, url, http, process, accounts_file, log
                    )
            finally:
                if process.returncode is None:
                    process.terminate()
                await process.wait()


def _sample(accounts: int, regions: Sequence[str], executions: int) -> tuple[World, list[dict[str, str]]]:
    world, keys = World(HOME, tuple(regions)), []
    for number in range(accounts):
        account_id = f"{number + 1:012}"
        world.add_account(account_id, [Role("TransferGatewayReader", (f"arn:aws:iam::{HOME}:root",))])
        for region in regions:
            workflow_id = world.add_workflow(account_id, region)
            keys += [
                {
                    "accountId": account_id,
                    "region": region,
                    "workflowId": workflow_id,
                    "executionId": world.place(account_id, region, workflow_id),
                }
                for _ in range(executions)
            ]
    return world, keys


def codes(found: Sequence[dict[str, Any]]) -> str:
    """The number of each outcome."""
    counted = Counter(item.get("code", item["__typename"]) for item in found)
    return ", ".join(f"{count} {code}" for code, count in sorted(counted.items()))
