"""The log and audit lines of a request with many failures, at both servers."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from command import started
from doors import both_doors
from transfer_emulator import Fault, FaultKind
from wire import place, to_input

if TYPE_CHECKING:
    from pathlib import Path

    from transfer_emulator import Emulator, World

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FEW = 5


@pytest.fixture
def many_targets(world: World, accounts_file: Path) -> str:
    """1,200 of them: 300 accounts in 4 regions. Returns: the first account's id."""
    ids = [f"{number + 1:012}" for number in range(300)]
    for account_id in ids:
        world.add_account(account_id)
    listed = "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in ids)
    accounts_file.write_text(
        f"defaults: {{ regions: [eu-west-1, eu-west-2, us-east-1, us-east-2] }}\naccounts:\n{listed}"
    )
    return ids[0]


@pytest.mark.thorough
async def test_a_search_that_fails_nearly_everywhere(
    aws: Emulator, accounts_file: Path, many_targets: str
) -> None:
    """A few lines per code, one line with all counts, and one audit line that names at most 1,000."""
    aws.faults.add(
        Fault(FaultKind.ERROR, account_id=many_targets, service="transfer", code="AccessDeniedException")
    )
    aws.faults.add(Fault(FaultKind.HANG, service="transfer"))
    environment = {
        "TRANSFER_GATEWAY_AUTH": "none",
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_REQUEST_TIMEOUT_S": "3",
    }
    async with started("serve", "--http-port", "0", **environment) as serving:
        async with both_doors(serving) as doors:
            for door in doors:
                found = await door.find(UNKNOWN)
                assert len(found["targetFailures"]) == 1000
        _, log = await serving.stop()
    events = [json.loads(line) for line in log.splitlines()]
    for name in ("graphql", "grpc"):
        (searched,) = [event for event in events if event["event"] == "lookup" and event["door"] == name]
        about = [event for event in events if event.get("request_id") == searched["request_id"]]
        assert len(searched["target_failures"]) == 1000
        assert searched["target_failures"][-1].endswith("and 200 more targets")
        lines = Counter(event["code"] for event in about if event["event"] == "lookup_failed")
        assert lines
        assert all(count <= FEW for count in lines.values())
        (counted,) = [event for event in about if event["event"] == "lookups_failed"]
        assert (counted["door"], sum(counted["failures"].values())) == (name, 1000)
        assert counted["failures"].keys() == lines.keys() > {"ACCESS_DENIED"}


async def test_unknown_ids_are_no_news(aws: Emulator, world: World, accounts_file: Path) -> None:
    """A request for a hundred nonexistent ids causes no such line."""
    keys = [to_input(place(world)) | {"executionId": UNKNOWN[:-3] + f"{number:03}"} for number in range(100)]
    environment = {
        "TRANSFER_GATEWAY_AUTH": "none",
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_TARGET_BURST": "200",
        "TRANSFER_GATEWAY_TARGET_MAX_IN_FLIGHT": "100",
    }
    async with started("serve", "--http-port", "0", **environment) as serving:
        async with both_doors(serving) as doors:
            for door in doors:
                assert {found["code"] for found in await door.batch(keys)} == {"EXECUTION_NOT_FOUND"}
        _, log = await serving.stop()
    assert "lookup_failed" not in log
    assert "lookups_failed" not in log
