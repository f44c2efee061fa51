"""Access to accounts and AWS for use cases: limited to the caller's scope, charged to its quota, and audited."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from transfer_gateway.core.response_replay import Replay
from transfer_gateway.domain.errors import (
    AccessDenied,
    AccountNotAvailable,
    BadUserInput,
    DeadlineExceeded,
    ExecutionNotFound,
    GatewayError,
    NotFoundReason,
    RoleNotAssumable,
    ServerNotFound,
    UpstreamUnavailable,
    quote,
)
from transfer_gateway.domain.execution import Execution, Source
from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
from transfer_gateway.domain.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from transfer_gateway.core.audit import AuditTrail
    from transfer_gateway.core.aws_operations import AwsOperations
    from transfer_gateway.core.coverage import Coverages
    from transfer_gateway.core.executions_in_progress import InProgress
    from transfer_gateway.core.find import Finder
    from transfer_gateway.core.history import History
    from transfer_gateway.core.known_in_progress import KnownInProgress
    from transfer_gateway.core.live import Live
    from transfer_gateway.core.quota import Quota
    from transfer_gateway.core.search import Search
    from transfer_gateway.core.servers import ServerList
    from transfer_gateway.core.snapshot_cache import Snapshots
    from transfer_gateway.core.watched import Watched
    from transfer_gateway.core.workflows import Workflows
    from transfer_gateway.domain.page import Page, TargetFilter
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.domain.server import Server, ServerKey

MAX_KEYS = 1000
_SERVERS_MAX_AGE_S = 300.0
_SWITCH_ON = "Ask the operator to switch the history on: TRANSFER_GATEWAY_HISTORY_URL."
# Of the time until the deadline, what is left for the record if AWS has not answered.
_RECORD_S, _RECORD_PART = 0.25, 0.1
# A target in this state says nothing, also not that an execution has ended.
_CAN_NOT_BE_ASKED = (AccessDenied, RoleNotAssumable, UpstreamUnavailable, DeadlineExceeded)

K = TypeVar("K", ExecutionKey, WorkflowKey)
V = TypeVar("V", Execution, Workflow)


class Sources(NamedTuple):
    """What use cases read from. Shared by all callers."""

    operations: AwsOperations
    finder: Finder
    in_progress: InProgress
    workflows: Workflows
    servers: ServerList
    history: History | None  # None: switched off
    search: Search | None  # as above
    coverages: Coverages | None  # as above
    known: KnownInProgress | None  # as above
    live: Live | None  # as above
    watched: Watched | None  # as above


class Access:
    """What one request of one caller may access."""

    with_records = False
    _looked_up: frozenset[WorkflowKey] = frozenset()
    _servers_audited: frozenset[ServerKey] = frozenset()

    def __init__(self, audit: AuditTrail, scope: Scope, quota: Quota | None, sources: Sources) -> None:
        self.caller = audit.caller
        self.scope = scope  # a stream gets a new one when its caller's rights change
        self.replay = Replay(audit, quota, sources.operations.executions)
        self._audit = audit
        self._quota = quota
        self._sources = sources

    async def _look_up(
        self,
        operation: str,
        snapshots: Snapshots[K, V],
        key: K,
        *,
        max_age_s: float,
        deadline: float,
        get: Callable[..., Awaitable[V]] | None = None,
    ) -> V:
        """Look up one key: check the scope, read a snapshot or call AWS, audit. Raises: GatewayError.

        `get`: called instead of `snapshots.get`, if there is no snapshot.
        """
        if not self.scope.accounts.cover(key):
            refusal = AccountNotAvailable.of(key.account_id, key.region)
            self._audit.looked_up(operation, key, refusal)
            raise refusal
        kept = snapshots.peek(key, max_age_s=max_age_s)
        if kept is not None:
            snapshots.hits += 1
            self._audit.looked_up(operation, key, kept, source="snapshot")
            return kept
        try:
            outcome = await (get or snapshots.get)(key, max_age_s=max_age_s, deadline=deadline)
        except asyncio.CancelledError:
            self._audit.cancelled(operation, [str(key)])
            raise
        except GatewayError as error:
            self._audit.looked_up(operation, key, error)
            raise self.scope.redact_error(error) from error
        if isinstance(outcome, Execution):
            self._audit.looked_up(operation, key, outcome, source=_source_of(outcome))
            self._sources.finder.remember(outcome.key)
        else:
            self._audit.looked_up(operation, key, outcome)
        return outcome

    async def _known(self, key: ExecutionKey, *, max_age_s: float, deadline: float) -> Execution:
        """An execution in progress from AWS, otherwise from the history. Raises: GatewayError."""
        history = self._sources.history
        if history is not None and (ended := history.ended(key)) is not None:
            return ended  # no later answer differs
        left_s = deadline - asyncio.get_running_loop().time()
        until = deadline - min(_RECORD_S, left_s * _RECORD_PART)
        try:
            return await self._sources.operations.executions.get(key, max_age_s=max_age_s, deadline=until)
        except ExecutionNotFound as error:
            if history is None:
                raise error.because(NotFoundReason.HISTORY_OFF, error.message, _SWITCH_ON) from error
            aws_request_id = error.aws_request_id
        except _CAN_NOT_BE_ASKED:
            if history is None or (ended := await history.recorded(key)) is None:
                raise
            return ended
        try:
            return await history.forgotten.get(key, max_age_s=max_age_s, deadline=deadline)
        except ExecutionNotFound as error:
            own = error.copy()
            own.aws_request_id = aws_request_id
            raise own from error

    async def _look_up_once(
        self,
        operation: str,
        snapshots: Snapshots[WorkflowKey, Workflow],
        key: WorkflowKey,
        *,
        max_age_s: float,
        deadline: float,
    ) -> Workflow:
        """As `_look_up`, with one audit event per key and request. Raises: GatewayError."""
        if key in self._looked_up:
            self.scope.accounts.get(key)
            return await snapshots.get(key, max_age_s=max_age_s, deadline=deadline)
        self._looked_up |= {key}
        try:
            return await self._look_up(operation, snapshots, key, max_age_s=max_age_s, deadline=deadline)
        except BaseException:  # cancelled or failed: the next lookup has to write its own event
            self._looked_up -= {key}
            raise

    def _from_snapshots(
        self, keys: Iterable[ExecutionKey], max_age_s: float
    ) -> dict[ExecutionKey, Execution | GatewayError]:
        """Outcomes that need no AWS call. One audit event for all snapshots, one for all unavailable accounts."""
        executions = self._sources.operations.executions
        found: dict[ExecutionKey, Execution | GatewayError] = {}
        cached: list[tuple[ExecutionKey, str | None]] = []
        unavailable: list[ExecutionKey] = []
        for key in keys:
            if not self.scope.accounts.cover(key):
                unavailable.append(key)
                found[key] = AccountNotAvailable.of(key.account_id, key.region)
            elif (execution := executions.peek(key, max_age_s=max_age_s)) is not None:
                cached.append((key, execution.aws_request_id))
                found[key] = execution
        self._audit.read_from_snapshots("get_execution", cached)
        self._audit.unavailable("get_execution", unavailable)
        executions.hits += len(cached)
        return found

    async def _look_up_server(self, key: ServerKey, *, deadline: float) -> Server:
        """One server, with one audit event per server and request. Raises: GatewayError."""
        servers = self._sources.operations.servers
        with self._audited_unless_found("get_server", key):
            if not self.scope.accounts.cover(key.target):
                raise AccountNotAvailable.of(key.account_id, key.region)
            kept = servers.peek(key.target, max_age_s=_SERVERS_MAX_AGE_S)
            known = kept
            if known is None:
                known = await servers.get(key.target, max_age_s=_SERVERS_MAX_AGE_S, deadline=deadline)
            found = next((server for server in known if server.key == key), None)
            if found is None:
                raise ServerNotFound.of(key)
        if key not in self._servers_audited:
            self._servers_audited |= {key}
            self._audit.looked_up("get_server", key, found, source="aws" if kept is None else "snapshot")
        return found

    @contextmanager
    def _audited_unless_found(self, operation: str, key: ServerKey | str) -> Iterator[None]:
        """A context whose failure or cancellation is written to the audit; invalid input is not."""
        try:
            yield
        except asyncio.CancelledError:
            self._audit.cancelled(operation, [str(key)])
            raise
        except BadUserInput:
            raise
        except GatewayError as error:
            self._audit.looked_up(operation, key, error)
            raise

    @contextmanager
    def _audited_unless_listed(self, operation: str, **criteria: object) -> Iterator[None]:
        """A context whose failure or cancellation is written to the audit; invalid input is not."""
        try:
            yield
        except asyncio.CancelledError:
            self._audit.cancelled(operation, [], **criteria)
            raise
        except BadUserInput:
            raise
        except GatewayError as error:
            self._audit.refused(operation, error, **criteria)
            raise

    @contextmanager
    def _audited_if_cancelled(self, operation: str, **criteria: object) -> Iterator[None]:
        """A context whose cancellation is written to the audit."""
        try:
            yield
        except asyncio.CancelledError:
            self._audit.cancelled(operation, [], **criteria)
            raise

    def _take_keys(self, count: int) -> None:
        if count > MAX_KEYS:
            raise BadUserInput.of("keys", f"may contain at most {MAX_KEYS} keys; got {count}.")
        self._take_rows(count)

    def _take_rows(self, count: int) -> None:
        if self._quota is not None:
            self._quota.take_rows(count)

    def _listed(
        self, operation: str, wanted: TargetFilter, page: Page[Execution] | Page[Workflow] | Page[Server]
    ) -> None:
        if self._quota is not None:
            self._quota.charge_rows(len(page.entries) + len(page.failures))
        self._audit.listed(
            operation,
            [entry.node.id for entry in page.entries],
            targets=self.scope.accounts.count_targets(),
            failures=page.failures,
            account_ids=list(wanted.account_ids),
            regions=list(wanted.regions),
        )


def bad_max_age(max_age_s: float) -> BadUserInput:
    return BadUserInput.of("max_age", f"must be 0 or more seconds; got {quote(max_age_s)}.")


def _source_of(execution: Execution) -> str:
    return "aws" if Source.AWS in execution.recorded_by else "history"
