"""The emulated AWS, as a separate process: every account has one workflow and some executions in progress.

    python bench/comparison/aws.py ACCOUNTS EXECUTIONS FILE

Writes the keys of all executions to FILE, and prints the environment for AWS's clients.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import uvloop

from transfer_emulator import Emulator, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comparison.processes import Running

HOME, REGION = "999999999999", "eu-west-1"
Key: TypeAlias = dict[str, str]


@dataclass(frozen=True)
class Aws:
    """The emulated AWS that all programs call."""

    process: Running
    environment: dict[str, str]
    keys: list[Key]  # execution by execution, each time through all accounts
    accounts_file: Path

    def calls(self, operation: str) -> int:
        """The number of calls since the last `reset`."""
        told = self._control("GET", "calls")["calls"]
        return sum(call["count"] for call in told if call["operation"] == operation)

    def reset(self) -> None:
        """Remove faults, and reset the counts."""
        self._control("DELETE", "faults")
        self._control("DELETE", "calls")

    def fault(self, **fault: object) -> None:
        self._control("POST", "faults", fault)

    def _control(self, method: str, name: str, body: object = None) -> Any:  # noqa: ANN401  JSON
        url = f"{self.environment['AWS_ENDPOINT_URL_STS']}/_emulator/{name}"
        request = urllib.request.Request(url, json.dumps(body).encode(), method=method)  # noqa: S310  our own
        with urllib.request.urlopen(request) as answer:  # noqa: S310  our own
            return json.load(answer)


@contextmanager
def emulated_aws(accounts: int, executions: int) -> Iterator[Aws]:
    from comparison.processes import OTHER_CORE, running  # noqa: PLC0415  not as a script

    with tempfile.TemporaryDirectory() as directory:
        keys_file, accounts_file = Path(directory, "keys.json"), Path(directory, "accounts.yaml")
        listed = "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in _account_ids(accounts))
        accounts_file.write_text(f"defaults: {{ regions: [{REGION}] }}\naccounts:\n{listed}")
        command = (sys.executable, __file__, str(accounts), str(executions), str(keys_file))
        with running("AWS", command, {}, core=OTHER_CORE) as process:
            environment = json.loads(process.lines[0]) | {"AWS_EC2_METADATA_DISABLED": "true"}
            yield Aws(process, environment, json.loads(keys_file.read_text()), accounts_file)


def _account_ids(accounts: int) -> list[str]:
    return [f"{number + 1:012}" for number in range(accounts)]


async def _serve(accounts: int, executions: int, keys_file: Path) -> None:
    world = World(HOME, (REGION,))
    workflows = {}
    for account_id in _account_ids(accounts):
        world.add_account(account_id)
        workflows[account_id] = world.add_workflow(account_id, REGION)
    keys = [
        {
            "accountId": account_id,
            "region": REGION,
            "workflowId": workflow_id,
            "executionId": world.place(account_id, REGION, workflow_id),
        }
        for _ in range(executions)
        for account_id, workflow_id in workflows.items()
    ]
    keys_file.write_text(json.dumps(keys))
    async with Emulator(world) as aws:
        print(json.dumps(aws.environment()), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
