"""Checks whether the executions of a target's workflows are logged, and whether the gateway may read the logs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from transfer_gateway.core.fanout import outcomes
from transfer_gateway.domain.errors import (
    AccessDenied,
    GatewayError,
    LogGroupNotFound,
    ServerNotFound,
    UpstreamUnavailable,
    WorkflowNotFound,
)
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.log_sources import log_sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from transfer_gateway.aws.logs import Logs
    from transfer_gateway.aws.servers import Servers
    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region
    from transfer_gateway.domain.log_sources import LogSource, LogSources

T = TypeVar("T")
K = TypeVar("K")

_MAX_PAGES = 20
_CONCURRENCY = 4  # in one target, whose Describe calls AWS limits to a few a second
_READ_S = 60  # of each group


@dataclass(frozen=True, slots=True)
class HistoryAws:
    """What the check calls."""

    transfer: Transfer
    servers: Servers
    logs: Logs


@dataclass(frozen=True, slots=True)
class HistoryChecked:
    """`sources` None: not known, and `gaps` has why. `gaps`: what is missing, each with its remedy."""

    sources: LogSources | None
    workflows: int
    gaps: tuple[str, ...]

    def __str__(self) -> str:
        if self.sources is None:
            return "; ".join(self.gaps)
        if not self.workflows:
            return "no workflows"
        logged, by_server, by_workflow = (
            len(self.sources.logged),
            len(self.sources.by_server),
            len(self.sources.by_workflow),
        )
        told = f"{logged} of {self.workflows} workflows logged ({by_server} by servers, {by_workflow} by themselves)"
        return "; ".join([told, *self.gaps])


async def check_history(aws: HistoryAws, account: Account, region: Region) -> HistoryChecked:
    """Look up everything that logs, and read the last minute of each log group. Failures are gaps."""
    target = Target(account.id, region)
    try:
        summaries = await _all(lambda token: aws.servers.list_servers(account, target, token))
        servers = await _described(
            (it.key for it in summaries), lambda key: aws.servers.describe_server(account, key)
        )
        listed = await _all(lambda token: aws.transfer.list_workflows(account, target, token))
        workflows = await _described(
            (it.key for it in listed), lambda key: aws.transfer.describe_workflow(account, key)
        )
    except GatewayError as error:
        return HistoryChecked(None, 0, (_gap(error),))
    sources = log_sources(target, servers, workflows)
    known = {it.workflow_id for it in workflows} | {it for server in servers for it in server.workflow_ids}
    read = await outcomes(
        sources.groups.values(),
        lambda source: _read(aws.logs, account, target, source),
        max_concurrency=_CONCURRENCY,
    )
    gaps = [str(gap) for gap in sources.unlogged]
    gaps += [
        _missing(source) if isinstance(outcome, LogGroupNotFound) else _gap(outcome)
        for source, outcome in read.items()
        if isinstance(outcome, GatewayError)
    ]
    return HistoryChecked(sources, len(known), tuple(dict.fromkeys(gaps)))


async def _all(page: Callable[[str | None], Awaitable[tuple[list[T], str | None]]]) -> list[T]:
    """All pages of a list. Raises: UpstreamUnavailable, if there is no end of them."""
    found, token = await page(None)
    for _ in range(_MAX_PAGES):
        if token is None:
            return found
        more, token = await page(token)
        found += more
    raise UpstreamUnavailable(f"AWS's list has more than {_MAX_PAGES} pages.")


async def _described(keys: Iterable[K], describe: Callable[[K], Awaitable[T]]) -> list[T]:
    """Those that still exist. Raises: the first failure."""
    described = await outcomes(keys, describe, max_concurrency=_CONCURRENCY)
    found: list[T] = []
    for outcome in described.values():
        if isinstance(outcome, ServerNotFound | WorkflowNotFound):
            continue
        if isinstance(outcome, GatewayError):
            raise outcome
        found.append(outcome)
    return found


async def _read(logs: Logs, account: Account, target: Target, source: LogSource) -> None:
    """Raises: GatewayError, if the group can't be read."""
    now = datetime.now(UTC)
    try:
        await logs.describe_group(account, target, source.name)
        await logs.filter_events(
            account, target, source.name, start=now - timedelta(seconds=_READ_S), end=now
        )
    except LogGroupNotFound:
        if source.workflow_ids:
            raise
        # A server's group is made by its first entry.


def _missing(source: LogSource) -> str:
    return f"log group {source.name}, where {', '.join(source.workflow_ids)} should log, does not exist: create it"


def _gap(error: GatewayError) -> str:
    if isinstance(error, AccessDenied):
        return f"{error.detail or error.message}: update the role from iam/reader-role.yaml"
    return f"{error.code}: {error.detail or error.message}"
