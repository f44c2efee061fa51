"""The log groups in which Transfer records executions, in every account and region. Source: CloudWatch Logs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from transfer_gateway.aws.account_calls import AccountCalls
from transfer_gateway.aws.decode_log import LogDecoder, decode_log_group
from transfer_gateway.aws.errors import Service
from transfer_gateway.domain.errors import LogGroupNotFound
from transfer_gateway.domain.log_group import LogGroupKey
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Container

    from transfer_gateway.aws.assumed_roles import SessionCache
    from transfer_gateway.aws.client import RegionalClients
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import ExecutionId, Target
    from transfer_gateway.domain.log_group import LogGroup
    from transfer_gateway.domain.log_page import LogPage
    from transfer_gateway.telemetry import AwsCalls

_log = get_logger(__name__)
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

# Entries with either text, so that those of sessions in the same group are not transferred.
# Source: "Filter pattern syntax" in the CloudWatch Logs user guide.
WORKFLOW_ENTRIES = '?"workflowId" ?"starting workflow"'
# AWS ends a page at 1 MB, about so many workflow entries. With it, also tiny entries stay below the bound on answers.
_MAX_ENTRIES = 2500
_WARN_EVERY_S, _GROUPS_REMEMBERED = 3600.0, 10_000


def entries_of(execution_id: ExecutionId) -> str:
    """The pattern of one execution's entries."""
    return f'"{execution_id}"'


class Logs:
    """Calls to CloudWatch Logs, each signed with the account's session. Errors are those of `Transfer`'s methods."""

    def __init__(self, clients: RegionalClients, sessions: SessionCache, calls: AwsCalls) -> None:
        self._aws = AccountCalls(Service.LOGS, clients, sessions, calls)
        self._warned_at: dict[LogGroupKey, float] = {}

    async def filter_events(
        self,
        account: Account,
        target: Target,
        group: str,
        *,
        start: datetime,
        end: datetime,
        newest_first: bool = False,
        pattern: str | None = None,
        token: str | None = None,
        skip: Container[str] = (),
    ) -> LogPage:
        """A page of the entries from `start` to `end`, both included, oldest first; not those with ids in `skip`.

        `newest_first`: AWS allows it from 2024 on. `pattern` None: WORKFLOW_ENTRIES. Each entry is checked, since
        imitations of AWS ignore patterns. Also raises LogGroupNotFound. Source: FilterLogEvents.
        """
        key = LogGroupKey(target.account_id, target.region, group)
        decoder = LogDecoder(key, skip)
        page = await self._aws.call(
            "FilterLogEvents",
            account,
            key,
            decoder.page,
            logGroupName=group,
            startTime=_ms(start),
            endTime=_ms(end),
            filterPattern=WORKFLOW_ENTRIES if pattern is None else pattern,
            startFromHead=not newest_first,
            limit=_MAX_ENTRIES,
            **({"nextToken": token} if token else {}),
        )
        if decoder.unreadable is not None:
            self._warn(key, page.unreadable, *decoder.unreadable)
        return page

    async def describe_group(self, account: Account, target: Target, group: str) -> LogGroup:
        """A log group. Also raises LogGroupNotFound. Source: DescribeLogGroups."""
        key = LogGroupKey(target.account_id, target.region, group)
        found = await self._aws.call(
            "DescribeLogGroups",
            account,
            key,
            lambda answer: decode_log_group(answer, key),
            logGroupNamePrefix=group,
            limit=50,
        )
        if found is None:
            raise LogGroupNotFound.of(key)
        return found

    def _warn(self, group: LogGroupKey, count: int, event_id: str, why: str) -> None:
        """Once an hour for each group."""
        now = asyncio.get_running_loop().time()
        if now - self._warned_at.get(group, -_WARN_EVERY_S) < _WARN_EVERY_S:
            return
        if len(self._warned_at) >= _GROUPS_REMEMBERED:
            self._warned_at.clear()
        self._warned_at[group] = now
        _log.warning(
            "log_entries_unreadable",
            account=group.account_id,
            region=group.region,
            log_group=group.name,
            entries=count,
            event_id=event_id,
            detail=why,
        )


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
