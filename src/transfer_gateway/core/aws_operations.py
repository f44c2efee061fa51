"""The AWS operations: each one paced, shared by concurrent callers, and cached as a snapshot."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.core.answer_sizes import (
    definition_bytes,
    execution_bytes,
    servers_bytes,
    summaries_bytes,
    workflows_bytes,
)
from transfer_gateway.core.fanout import outcomes
from transfer_gateway.core.snapshot_cache import SharedCall, Snapshots
from transfer_gateway.domain.errors import GatewayError, ServerNotFound, UpstreamUnavailable
from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.aws.servers import Servers
    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.core.clock import Clock
    from transfer_gateway.core.pacing import Pacing
    from transfer_gateway.core.shared_snapshots import SharedSnapshots
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.identity import ExecutionKey, Target, WorkflowKey
    from transfer_gateway.domain.server import Server, ServerSummary
    from transfer_gateway.domain.workflow import Workflow, WorkflowSummary
    from transfer_gateway.shared_tasks import SharedTasks

T = TypeVar("T")
V = TypeVar("V")

_TARGETS_CACHED = _DEFINITIONS_CACHED = 10_000
_MIN_ROWS_PER_PAGE = 100  # on average; we request 1,000


class AwsOperations:
    """The snapshots of each operation. `account_of` returns a target's account, or raises AccountNotAvailable.

    Only for the Reader and the classes it uses: nothing here checks a scope or writes an audit event.
    """

    def __init__(
        self,
        account_of: Callable[[Target], Account],
        transfer: Transfer,
        servers: Servers,
        *,
        pacing: Pacing,
        shared_tasks: SharedTasks,
        clock: Clock,
        request_timeout_s: float,
        max_list_rows: int,
        max_entries: int,
        max_bytes: int,
        on_described: Callable[[Execution], None] = lambda _: None,
        others: SharedSnapshots | None = None,
    ) -> None:
        """`others`: what other replicas see; None: there are none."""
        self._on_described, self._others = on_described, others
        self._account_of = account_of
        self._transfer = transfer
        self._servers = servers
        self._pacing = pacing
        self._request_timeout_s = request_timeout_s
        self._max_list_rows = max_list_rows
        self.now = clock.now
        self.executions: Snapshots[ExecutionKey, Execution] = Snapshots(
            self._describe,
            shared_tasks,
            clock,
            size_of=execution_bytes,
            max_entries=max_entries,
            max_bytes=max_bytes * 3 // 4,
        )
        self.running: Snapshots[WorkflowKey, tuple[ExecutionSummary, ...]] = Snapshots(
            self._list_executions,
            shared_tasks,
            clock,
            size_of=summaries_bytes,
            max_entries=max_entries,
            max_bytes=max_bytes // 4,
        )
        self.workflows: Snapshots[Target, tuple[WorkflowSummary, ...]] = Snapshots(
            self._list_workflows,
            shared_tasks,
            clock,
            size_of=workflows_bytes,
            max_entries=_TARGETS_CACHED,
            max_bytes=_TARGETS_CACHED * 5500,  # ten workflows each, AWS's own limit
        )
        self.definitions: Snapshots[WorkflowKey, Workflow] = Snapshots(
            self._describe_workflow,
            shared_tasks,
            clock,
            size_of=definition_bytes,
            max_entries=_DEFINITIONS_CACHED,
            max_bytes=_DEFINITIONS_CACHED * 5000,  # seven steps each
        )
        self.servers: Snapshots[Target, tuple[Server, ...]] = Snapshots(
            self._list_servers,
            shared_tasks,
            clock,
            size_of=servers_bytes,
            max_entries=_TARGETS_CACHED,
            max_bytes=_TARGETS_CACHED * 5000,
        )

    def collect(self) -> Iterator[Metric]:
        kinds: dict[str, Snapshots[Any, Any]] = {
            "execution": self.executions,
            "executions_of_workflow": self.running,
            "workflows_of_target": self.workflows,
            "workflow": self.definitions,
            "servers_of_target": self.servers,
        }
        yield counter(
            "snapshot_lookups",
            "Lookups answered from the cache (hit), by a call in progress (joined), or by a new AWS call (missed).",
            ("kind", "outcome"),
            {
                (kind, outcome): count
                for kind, snapshots in kinds.items()
                for outcome, count in (
                    ("hit", snapshots.hits),
                    ("joined", snapshots.joins),
                    ("missed", snapshots.misses),
                )
            },
        )
        yield gauge(
            "snapshots",
            "Entries in the snapshot cache.",
            ("kind",),
            {(kind,): len(kept) for kind, kept in kinds.items()},
        )
        yield gauge(
            "snapshots_bytes",
            "Approximate memory of these entries.",
            ("kind",),
            {(kind,): kept.size_bytes for kind, kept in kinds.items()},
        )

    async def _describe(self, key: ExecutionKey, shared: SharedCall[Execution]) -> Execution:
        if self._others is None or not self.executions.has_asked(key):
            return await self._ask(key, shared)
        return await self._others.get(key, shared, lambda: self._ask(key, shared))

    async def _ask(self, key: ExecutionKey, shared: SharedCall[Execution]) -> Execution:
        account = self._account_of(key.target)
        execution = await self._paced(
            account,
            key.target,
            shared,
            lambda: self._transfer.describe_execution(account, key),
            self._deadline(),
        )
        self._on_described(execution)
        return execution

    async def _list_executions(
        self, key: WorkflowKey, shared: SharedCall[tuple[ExecutionSummary, ...]]
    ) -> tuple[ExecutionSummary, ...]:
        if self._others is None or not self.running.has_asked(key):
            return await self._ask_for_list(key, shared)
        return await self._others.get(key, shared, lambda: self._ask_for_list(key, shared))

    async def _ask_for_list(
        self, key: WorkflowKey, shared: SharedCall[tuple[ExecutionSummary, ...]]
    ) -> tuple[ExecutionSummary, ...]:
        account = self._account_of(key.target)
        return await self._all_pages(
            account, key.target, shared, lambda token: self._transfer.list_executions(account, key, token)
        )

    async def _list_workflows(
        self, target: Target, shared: SharedCall[tuple[WorkflowSummary, ...]]
    ) -> tuple[WorkflowSummary, ...]:
        account = self._account_of(target)
        return await self._all_pages(
            account, target, shared, lambda token: self._transfer.list_workflows(account, target, token)
        )

    async def _describe_workflow(self, key: WorkflowKey, shared: SharedCall[Workflow]) -> Workflow:
        account = self._account_of(key.target)
        return await self._paced(
            account,
            key.target,
            shared,
            lambda: self._transfer.describe_workflow(account, key),
            self._deadline(),
        )

    async def _list_servers(
        self, target: Target, shared: SharedCall[tuple[Server, ...]]
    ) -> tuple[Server, ...]:
        """Every server, described: the list itself has neither the workflows nor where they log."""
        account = self._account_of(target)
        # A separate object: what the list's pages are shared by is another type.
        listing: SharedCall[tuple[ServerSummary, ...]] = SharedCall(shared.started_by)
        listed = await self._all_pages(
            account, target, listing, lambda token: self._servers.list_servers(account, target, token)
        )
        deadline = self._deadline()
        described = await outcomes(
            [server.key for server in listed],
            lambda key: self._paced(
                account, target, shared, lambda: self._servers.describe_server(account, key), deadline
            ),
        )
        servers = []
        for outcome in described.values():
            if isinstance(outcome, ServerNotFound):
                continue  # deleted a moment ago
            if isinstance(outcome, GatewayError):
                raise outcome.copy()
            servers.append(outcome)
        return tuple(servers)

    async def _all_pages(
        self,
        account: Account,
        target: Target,
        shared: SharedCall[tuple[T, ...]],
        fetch: Callable[[str | None], Awaitable[tuple[list[T], str | None]]],
    ) -> tuple[T, ...]:
        """All pages of a list. Its age is that of the first page.

        Raises: UpstreamUnavailable, also if AWS's pages don't end.
        """
        deadline = self._deadline()
        entries, token = await self._paced(account, target, shared, lambda: fetch(None), deadline)
        if token is None:
            return tuple(entries)
        # A separate object: the age of the shared call is that of its first page.
        further: SharedCall[tuple[T, ...]] = SharedCall(shared.started_by)
        tokens = set[int]()
        while token is not None:
            if hash(token) in tokens:
                raise _endless(target, "repeats a page token")
            tokens.add(hash(token))
            if len(tokens) > self._max_list_rows // _MIN_ROWS_PER_PAGE:
                raise _endless(target, f"has more than {len(tokens)} pages")
            if len(entries) > self._max_list_rows:
                raise _endless(target, f"has more than {self._max_list_rows} rows")
            call = partial(fetch, token)
            more, token = await self._paced(account, target, further, call, deadline)
            entries += more
        return tuple(entries)

    async def _paced(
        self,
        account: Account,
        target: Target,
        shared: SharedCall[V],
        fetch: Callable[[], Awaitable[T]],
        deadline: float,
    ) -> T:
        """Get the session first, so that a slow or failing AssumeRole does not use up the target's limits."""
        if not self._transfer.is_prepared(account, target.region):
            await self._pacing.prepare(
                target, lambda: self._transfer.prepare(account, target.region), deadline=deadline
            )
        shared.queued()

        async def call() -> T:
            shared.sent(self.now())
            return await fetch()

        return await self._pacing.call(target, call, deadline=deadline)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._request_timeout_s


def _endless(target: Target, problem: str) -> UpstreamUnavailable:
    return UpstreamUnavailable(
        f"AWS's list in {target.label} {problem}.", account_id=target.account_id, region=target.region
    )
