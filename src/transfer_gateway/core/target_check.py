"""Checks whether the gateway can call every AWS operation that it needs in a target."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.history_check import check_history
from transfer_gateway.domain.errors import (
    AccessDenied,
    ExecutionNotFound,
    GatewayError,
    RoleNotAssumable,
    WorkflowNotFound,
)
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, Target, WorkflowId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.core.history_check import HistoryAws, HistoryChecked
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region

_MAX_CONCURRENCY = 64
_NO_WORKFLOW = WorkflowId("w-00000000000000000")


@dataclass(frozen=True, slots=True)
class Checked:
    """A target's result: the failure, if any; `denied` names the operations that failed with AccessDenied.

    `history` None: not checked. Its gaps are no failure, since executions in progress can be read.
    """

    account: Account
    region: Region
    failure: GatewayError | None
    denied: tuple[str, ...] = ()
    history: HistoryChecked | None = None


async def check_targets(
    accounts: Iterable[Account],
    transfer: Transfer,
    *,
    own_account: str | None,
    on_checked: Callable[[Checked], None],
    history: HistoryAws | None = None,
) -> list[Checked]:
    """Check every region of every account, at most 64 at a time; `on_checked` is called as each one completes.

    `own_account`: that of the gateway's own credentials, if known. `history`: check also that what ends is logged.
    Returns: all results, in the order of the accounts and their regions.
    """
    accounts_by_target = {
        Target(account.id, region): account for account in accounts for region in account.regions
    }

    async def check(target: Target) -> Checked:
        account = accounts_by_target[target]
        failure = _foreign_credentials(account, target.region, own_account)
        checked = (
            Checked(account, target.region, failure)
            if failure
            else await _check(transfer, account, target.region)
        )
        if history is not None and (checked.failure is None or checked.denied):
            found = await check_history(history, account, target.region)
            checked = replace(checked, history=found)
        on_checked(checked)
        return checked

    checks = await outcomes(accounts_by_target, check, max_concurrency=_MAX_CONCURRENCY)
    return [checked for checked in checks.values() if isinstance(checked, Checked)]


def _foreign_credentials(account: Account, region: Region, own_account: str | None) -> GatewayError | None:
    """With the credentials of another account AWS would answer, but about that one."""
    if account.role_arn is not None or own_account in {None, account.id}:
        return None
    message = f"role_arn is null, but the gateway's own credentials are of account {own_account}"
    return RoleNotAssumable(message, account_id=account.id, region=region)


async def _check(transfer: Transfer, account: Account, region: Region) -> Checked:
    """Call each operation for ids that don't exist: a not-found error proves that the call is allowed."""
    target = Target(account.id, region)
    execution = ExecutionKey(account.id, region, _NO_WORKFLOW, ExecutionId(str(uuid.uuid4())))
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "DescribeExecution": lambda: transfer.describe_execution(account, execution),
        "DescribeWorkflow": lambda: transfer.describe_workflow(account, execution.workflow),
        "ListExecutions": lambda: transfer.list_executions(account, execution.workflow, None),
        "ListWorkflows": lambda: transfer.list_workflows(account, target, None),
    }
    denials: dict[str, AccessDenied] = {}
    for operation, call in calls.items():
        try:
            await call()
        except (ExecutionNotFound, WorkflowNotFound):
            continue
        except AccessDenied as error:  # collected, so that the IAM policy can be fixed in one step
            denials[operation] = error
        except GatewayError as error:
            return Checked(account, region, error)
    return Checked(account, region, next(iter(denials.values()), None), tuple(denials))
