"""The questions that can be put to AWS: each paced, shared by all who ask it, and its answer kept for a while."""

from __future__ import annotations

import asyncio
from sys import getsizeof
from typing import TYPE_CHECKING, Any, TypeVar

from transfer_gateway.core.snapshots import Flight, Snapshots
from transfer_gateway.telemetry import counter, gauge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.aws.transfer import Transfer
    from transfer_gateway.core.pacing import Pacing
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.execution import Execution, ExecutionSummary
    from transfer_gateway.domain.identity import ExecutionKey, Target, WorkflowKey
    from transfer_gateway.domain.workflow import InputFileLocation, Workflow, WorkflowSummary
    from transfer_gateway.flights import Flights

T = TypeVar("T")
V = TypeVar("V")

# Without long texts, as measured.
_EXECUTION_BYTES, _SUMMARY_BYTES = 4096, 2048
_WORKFLOW_BYTES, _WORKFLOW_STEP_BYTES, _TAG_BYTES, _WORKFLOW_SUMMARY_BYTES = 1000, 600, 200, 500
_TARGETS_REMEMBERED = _DEFINITIONS_REMEMBERED = 10_000


class Lookups:
    """`account_of` gives a target's account, or raises AccountNotAvailable."""

    def __init__(
        self,
        account_of: Callable[[Target], Account],
        transfer: Transfer,
        pacing: Pacing,
        flights: Flights,
        *,
        request_timeout_s: float,
        max_entries: int,
        max_bytes: int,
    ) -> None:
        self._account_of = account_of
        self._transfer = transfer
        self._pacing = pacing
        self._request_timeout_s = request_timeout_s
        self.executions: Snapshots[ExecutionKey, Execution] = Snapshots(
            self._describe,
            flights,
            size_of=_execution_bytes,
            max_entries=max_entries,
            max_bytes=max_bytes * 3 // 4,
        )
        self.running: Snapshots[WorkflowKey, tuple[ExecutionSummary, ...]] = Snapshots(
            self._list_executions,
            flights,
            size_of=lambda summaries: _SUMMARY_BYTES * (1 + len(summaries)),
            max_entries=max_entries,
            max_bytes=max_bytes // 4,
        )
        self.workflows: Snapshots[Target, tuple[WorkflowSummary, ...]] = Snapshots(
            self._list_workflows,
            flights,
            size_of=lambda summaries: _WORKFLOW_SUMMARY_BYTES * (1 + len(summaries)),
            max_entries=_TARGETS_REMEMBERED,
            max_bytes=_TARGETS_REMEMBERED * 5500,  # ten workflows in each, AWS's own bound
        )
        self.definitions: Snapshots[WorkflowKey, Workflow] = Snapshots(
            self._describe_workflow,
            flights,
            size_of=_definition_bytes,
            max_entries=_DEFINITIONS_REMEMBERED,
            max_bytes=_DEFINITIONS_REMEMBERED * 5000,  # seven steps in each
        )

    def collect(self) -> Iterator[Metric]:
        kinds: dict[str, Snapshots[Any, Any]] = {
            "execution": self.executions,
            "executions_of_workflow": self.running,
            "workflows_of_target": self.workflows,
            "workflow": self.definitions,
        }
        yield counter(
            "snapshot_lookups",
            "Lookups that a snapshot answered (hit), that shared a call under way (joined), that AWS was asked for "
            "(missed).",
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
            "snapshots", "Snapshots kept.", ("kind",), {(kind,): len(kept) for kind, kept in kinds.items()}
        )
        yield gauge(
            "snapshots_bytes",
            "Memory that they take, about.",
            ("kind",),
            {(kind,): kept.size_bytes for kind, kept in kinds.items()},
        )

    async def _describe(self, key: ExecutionKey, flight: Flight[Execution]) -> Execution:
        account = self._account_of(key.target)
        return await self._paced(
            account,
            key.target,
            flight,
            lambda: self._transfer.describe_execution(account, key),
            self._deadline(),
        )

    async def _list_executions(
        self, key: WorkflowKey, flight: Flight[tuple[ExecutionSummary, ...]]
    ) -> tuple[ExecutionSummary, ...]:
        account = self._account_of(key.target)
        return await self._all_pages(
            account, key.target, flight, lambda token: self._transfer.list_executions(account, key, token)
        )

    async def _list_workflows(
        self, target: Target, flight: Flight[tuple[WorkflowSummary, ...]]
    ) -> tuple[WorkflowSummary, ...]:
        account = self._account_of(target)
        return await self._all_pages(
            account, target, flight, lambda token: self._transfer.list_workflows(account, target, token)
        )

    async def _describe_workflow(self, key: WorkflowKey, flight: Flight[Workflow]) -> Workflow:
        account = self._account_of(key.target)
        return await self._paced(
            account,
            key.target,
            flight,
            lambda: self._transfer.describe_workflow(account, key),
            self._deadline(),
        )

    async def _all_pages(
        self,
        account: Account,
        target: Target,
        flight: Flight[tuple[T, ...]],
        ask: Callable[[str | None], Awaitable[tuple[list[T], str | None]]],
    ) -> tuple[T, ...]:
        """Every page of a list, one after another; as old as its first page."""
        deadline = self._deadline()
        entries, token = await self._paced(account, target, flight, lambda: ask(None), deadline)
        # Not this flight: whoever joins it goes by the age of its first page.
        later: Flight[tuple[T, ...]] = Flight()
        while token is not None:
            more, token = await self._paced(account, target, later, lambda token=token: ask(token), deadline)  # type: ignore[misc]  # binds today's token
            entries += more
        return tuple(entries)

    async def _paced(
        self,
        account: Account,
        target: Target,
        flight: Flight[V],
        ask: Callable[[], Awaitable[T]],
        deadline: float,
    ) -> T:
        """The session first: a role that can't be assumed, or slowly, must not spend the target's limits."""
        if not self._transfer.is_prepared(account, target.region):
            await self._pacing.prepare(
                target, lambda: self._transfer.prepare(account, target.region), deadline=deadline
            )
        flight.queued()

        async def call() -> T:
            flight.sent()
            return await ask()

        return await self._pacing.call(target, call, deadline=deadline)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._request_timeout_s


def _execution_bytes(execution: Execution) -> int:
    if execution.results is None:
        return _EXECUTION_BYTES
    steps = (*(execution.results.steps or ()), *(execution.results.on_exception_steps or ()))
    texts = (text for step in steps for text in (step.outputs, step.error and step.error.message))
    return _EXECUTION_BYTES + sum(getsizeof(text) for text in texts)


def _definition_bytes(workflow: Workflow) -> int:
    size_bytes = _WORKFLOW_BYTES + _TAG_BYTES * len(workflow.tags or ())
    for step in (*(workflow.steps or ()), *(workflow.on_exception_steps or ())):
        size_bytes += _WORKFLOW_STEP_BYTES
        if step.tag_step_details is not None:
            size_bytes += _TAG_BYTES * len(step.tag_step_details.tags or ())
        if step.copy_step_details is not None:
            size_bytes += _destination_bytes(step.copy_step_details.destination_file_location)
        if step.decrypt_step_details is not None:
            size_bytes += _destination_bytes(step.decrypt_step_details.destination_file_location)
    return size_bytes


def _destination_bytes(location: InputFileLocation | None) -> int:
    """Of the texts that may be long: a path may have 65,536 characters."""
    s3 = location.s3_file_location if location else None
    efs = location.efs_file_location if location else None
    return getsizeof(s3 and s3.key) + getsizeof(efs and efs.path)
