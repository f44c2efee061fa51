"""Calls to CloudWatch Logs, paced apart from Transfer's: at most half of AWS's quota, the rest is people's.

Of that half, following gets four fifths and searches for single ids one, so that neither stops the other.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.aws.logs import entries_of
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.pacing import Pacing, PacingLimits
from transfer_gateway.domain.errors import GatewayError, WorkflowNotFound
from transfer_gateway.domain.log_sources import log_sources
from transfer_gateway.fair_limiter import FairLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container
    from datetime import datetime

    from transfer_gateway.aws.logs import Logs
    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import ExecutionId, Target
    from transfer_gateway.domain.log_group import LogGroup
    from transfer_gateway.domain.log_page import LogPage
    from transfer_gateway.domain.log_sources import LogSources

T = TypeVar("T")

# FilterLogEvents per second for each account and region. Source: CloudWatch Logs quotas.
_QUOTA_PER_S = 10.0
_QUOTAS_PER_S = {"us-east-1": 25.0} | dict.fromkeys(
    ("ap-northeast-3", "ap-southeast-3", "ca-west-1", "eu-central-1", "il-central-1"), 5.0
)
_FOLLOWING, _SEARCHING = 0.4, 0.1
_MAX_IN_FLIGHT = 2  # for each target
_MAX_IN_FLIGHT_OVERALL = 64
# Targets whose sources are looked up at once: at the start all are due, and a call that waits takes 20 KB.
_MAX_LOOKUPS, _SLOW_LOOKUP_S = 64, 1.0
_SOURCES_MAX_AGE_S = 60.0
_DEFINITION_MAX_AGE_S = 3600.0  # a workflow's log destinations never change


class LogCalls:
    """Reads logs of any target. `account_of` returns its account, or raises AccountNotAvailable."""

    def __init__(
        self,
        account_of: Callable[[Target], Account],
        logs: Logs,
        transfer: Transfer,
        operations: AwsOperations,
        *,
        call_timeout_s: float,
    ) -> None:
        self._account_of, self._logs, self._transfer, self._operations = (
            account_of,
            logs,
            transfer,
            operations,
        )
        self._call_timeout_s = call_timeout_s
        self.following, self.searching = _pacing(_FOLLOWING), _pacing(_SEARCHING)
        self._lookups = FairLimiter(_MAX_LOOKUPS, slow_s=_SLOW_LOOKUP_S)

    async def find_sources(self, target: Target) -> LogSources:
        """Where the target's workflows log. Raises: GatewayError, if its workflows or servers can't be listed."""
        async with self._lookups.slot(target):
            return await self._find_sources(target, self._deadline())

    async def _find_sources(self, target: Target, deadline: float) -> LogSources:
        workflows = await self._operations.workflows.get(
            target, max_age_s=_SOURCES_MAX_AGE_S, deadline=deadline
        )
        servers = await self._operations.servers.get(target, max_age_s=_SOURCES_MAX_AGE_S, deadline=deadline)
        defined = await outcomes(
            [workflow.key for workflow in workflows],
            lambda key: self._operations.definitions.get(
                key, max_age_s=_DEFINITION_MAX_AGE_S, deadline=deadline
            ),
        )
        failure = next(
            (
                outcome
                for outcome in defined.values()
                if isinstance(outcome, GatewayError) and not isinstance(outcome, WorkflowNotFound)
            ),
            None,
        )
        if failure is not None:
            raise failure.copy()
        found = [outcome for outcome in defined.values() if not isinstance(outcome, GatewayError)]
        return log_sources(target, servers, found)

    async def describe_group(self, target: Target, group: str) -> LogGroup:
        """Raises: GatewayError; LogGroupNotFound."""
        return await self._call(
            self.following,
            target,
            lambda account: self._logs.describe_group(account, target, group),
            self._deadline(),
        )

    async def read(
        self,
        target: Target,
        group: str,
        start: datetime,
        end: datetime,
        *,
        newest_first: bool,
        token: str | None,
        skip: Container[str],
    ) -> LogPage:
        """A page of a group's workflow entries. Raises: GatewayError."""
        return await self._call(
            self.following,
            target,
            lambda account: self._logs.filter_events(
                account,
                target,
                group,
                start=start,
                end=end,
                newest_first=newest_first,
                token=token,
                skip=skip,
            ),
            self._deadline(),
        )

    async def search(
        self,
        target: Target,
        group: str,
        execution_id: ExecutionId,
        start: datetime,
        end: datetime,
        *,
        token: str | None,
        deadline: float,
    ) -> LogPage:
        """A page of one execution's entries, newest first. Raises: GatewayError."""
        return await self._call(
            self.searching,
            target,
            lambda account: self._logs.filter_events(
                account,
                target,
                group,
                start=start,
                end=end,
                pattern=entries_of(execution_id),
                newest_first=True,
                token=token,
            ),
            deadline,
        )

    def keep_only(self, targets: set[Target]) -> None:
        """Forget targets that are no longer configured."""
        self.following.keep_only(targets)
        self.searching.keep_only(targets)

    async def _call(
        self, pacing: Pacing, target: Target, call: Callable[[Account], Awaitable[T]], deadline: float
    ) -> T:
        account = self._account_of(target)
        if not self._transfer.is_prepared(account, target.region):  # the session is the same
            await pacing.prepare(
                target, lambda: self._transfer.prepare(account, target.region), deadline=deadline
            )
        return await pacing.call(target, lambda: call(account), deadline=deadline)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._call_timeout_s


def _pacing(share: float) -> Pacing:
    """Pacing with that share of AWS's quota."""
    limits = PacingLimits(
        rate_per_s=share * _QUOTA_PER_S,
        burst=2,
        max_in_flight=_MAX_IN_FLIGHT,
        max_in_flight_overall=_MAX_IN_FLIGHT_OVERALL,
    )
    return Pacing(limits, rate_of=lambda target: share * _QUOTAS_PER_S.get(target.region, _QUOTA_PER_S))
