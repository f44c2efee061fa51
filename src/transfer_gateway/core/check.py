"""Can the gateway do its work in a target? Found out by doing a bit of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.domain.errors import AccessDenied, ExecutionNotFound, GatewayError, WorkflowNotFound
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, Target, WorkflowId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region

_MAX_CONCURRENCY = 64
_NO_WORKFLOW = WorkflowId("w-00000000000000000")


@dataclass(frozen=True, slots=True)
class Checked:
    """A target, and what stands in the way there, if anything: with AccessDenied, for which operations."""

    account: Account
    region: Region
    failure: GatewayError | None
    denied: tuple[str, ...] = ()


async def check_targets(
    accounts: Iterable[Account], transfer: Transfer, *, on_checked: Callable[[Checked], None]
) -> list[Checked]:
    """Try every region of every account, some at a time; `on_checked` hears of each as soon as it is known.

    Returns: all, in the order of the accounts and of their regions.
    """
    accounts_by_target = {
        Target(account.id, region): account for account in accounts for region in account.regions
    }

    async def check(target: Target) -> Checked:
        checked = await _check(transfer, accounts_by_target[target], target.region)
        on_checked(checked)
        return checked

    checks = await outcomes(accounts_by_target, check, max_concurrency=_MAX_CONCURRENCY)
    return [checked for checked in checks.values() if isinstance(checked, Checked)]


async def _check(transfer: Transfer, account: Account, region: Region) -> Checked:
    """Put every question of the gateway's about what can't be: where AWS says that there is none, all is good."""
    target = Target(account.id, region)
    execution = ExecutionKey(account.id, region, _NO_WORKFLOW, ExecutionId(str(uuid.uuid4())))
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        "DescribeExecution": lambda: transfer.describe_execution(account, execution),
        "DescribeWorkflow": lambda: transfer.describe_workflow(account, execution.workflow),
        "ListExecutions": lambda: transfer.list_executions(account, execution.workflow, None),
        "ListWorkflows": lambda: transfer.list_workflows(account, target, None),
    }
    denials: dict[str, AccessDenied] = {}
    for operation, ask in questions.items():
        try:
            await ask()
        except (ExecutionNotFound, WorkflowNotFound):
            continue
        except AccessDenied as error:  # all that are denied are told at once: a policy is mended in one go
            denials[operation] = error
        except GatewayError as error:
            return Checked(account, region, error)
    return Checked(account, region, next(iter(denials.values()), None), tuple(denials))
