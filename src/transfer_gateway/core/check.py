"""Can the gateway do its work in a target? Found out by doing a bit of it."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, WorkflowId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region

_MAX_CONCURRENCY = 64
_NO_WORKFLOW = WorkflowId("w-00000000000000000")


@dataclass(frozen=True, slots=True)
class Checked:
    """A target, and what stands in the way there, if anything."""

    account: Account
    region: Region
    failure: GatewayError | None


async def check_targets(
    accounts: Iterable[Account], transfer: Transfer, *, on_checked: Callable[[Checked], None]
) -> list[Checked]:
    """Try every region of every account, some at a time; `on_checked` hears of each as soon as it is known.

    Returns: all, in the order of the accounts and of their regions.
    """
    places = asyncio.Semaphore(_MAX_CONCURRENCY)

    async def check(account: Account, region: Region) -> Checked:
        async with places:
            checked = Checked(account, region, await _find_failure(transfer, account, region))
        on_checked(checked)
        return checked

    async with asyncio.TaskGroup() as tasks:
        checks = [
            tasks.create_task(check(account, region)) for account in accounts for region in account.regions
        ]
    return [task.result() for task in checks]


async def _find_failure(transfer: Transfer, account: Account, region: Region) -> GatewayError | None:
    """Ask for an execution that can't be: where AWS says that there is none, role and permission are good."""
    key = ExecutionKey(account.id, region, _NO_WORKFLOW, ExecutionId(str(uuid.uuid4())))
    try:
        await transfer.describe_execution(account, key)
    except ExecutionNotFound:
        return None
    except GatewayError as error:
        return error
    return None
