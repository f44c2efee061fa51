"""The audit log: who looked up what, from where, and the outcome. One event per lookup, in a separate log.

Events never contain a token. Of a response they contain only the ids that were requested or listed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.account import Account
from transfer_gateway.domain.errors import AuditLogUnavailable, ErrorCode
from transfer_gateway.telemetry import audit_event, is_audited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import ExecutionKey, WorkflowKey
    from transfer_gateway.domain.page import TargetFailure
    from transfer_gateway.domain.server import Server, ServerKey
    from transfer_gateway.domain.workflow import Workflow


class AuditTrail(NamedTuple):
    """One caller's events at one server (`door`).

    Every method raises AuditLogUnavailable if the event can't be written; the request must then fail. `remote` returns
    the client's address; it is called only for an event, since it is slow in gRPC.
    """

    caller: Caller
    door: str
    remote: Callable[[], str | None]

    def looked_up(
        self,
        operation: str,
        key: ExecutionKey | WorkflowKey | ServerKey | str,
        outcome: Execution | Workflow | Server | Account | GatewayError,
        *,
        source: str = "aws",
    ) -> None:
        """One object was looked up by its key. `source` is aws or snapshot; an account, being configured, has none."""
        if isinstance(outcome, Exception):
            self._event(
                operation,
                [str(key)],
                outcome=outcome.code,
                source=None if outcome.aws_request_id is None else "aws",
                aws_request_id=outcome.aws_request_id,
            )
        elif isinstance(outcome, Account):
            self._event(operation, [str(key)], outcome="OK", source=None, aws_request_id=None)
        else:
            self._event(
                operation,
                [str(key)],
                outcome="OK",
                source=source,
                aws_request_id=outcome.aws_request_id,
            )

    def read_from_snapshots(self, operation: str, found: Sequence[tuple[ExecutionKey, str | None]]) -> None:
        """These executions, each with its AWS request id, came from snapshots. One event for all."""
        if len(found) == 1:
            ((key, request_id),) = found
            self._event(operation, [str(key)], outcome="OK", source="snapshot", aws_request_id=request_id)
        elif found:
            self._event(
                operation,
                [str(key) for key, _ in found],
                outcome="OK",
                source="snapshot",
                aws_request_ids=[request_id for _, request_id in found],
            )

    def read(self, operation: str, ids: Sequence[str]) -> None:
        """These were read from the history."""
        self._event(operation, ids, outcome="OK", source="history", aws_request_id=None)

    def unavailable(self, operation: str, keys: Sequence[ExecutionKey]) -> None:
        """These keys are in accounts that the caller may not see. One event for all."""
        if keys:
            self._event(
                operation,
                [str(key) for key in keys],
                outcome=ErrorCode.ACCOUNT_NOT_AVAILABLE,
                source=None,
                aws_request_id=None,
            )

    def listed(
        self,
        operation: str,
        ids: Iterable[str],
        *,
        targets: int,
        failures: Iterable[TargetFailure],
        **criteria: object,
    ) -> None:
        """Targets were searched or listed, with these ids as the result."""
        self._event(
            operation,
            list(ids),
            outcome="OK",
            targets=targets,
            target_failures=list(map(_format_failure, failures)),
            **criteria,
        )

    def began(self, operation: str, ids: Sequence[str], **criteria: object) -> None:
        """A subscription to these, or to what matches, has begun."""
        self._event(operation, ids, outcome="BEGAN", **criteria)

    def ended(self, operation: str, ids: Sequence[str], outcome: str, **criteria: object) -> None:
        """A subscription has ended: ENDED, CANCELLED by the caller, or with an error."""
        with suppress(AuditLogUnavailable):  # nothing is answered
            self._event(operation, ids, outcome=outcome, **criteria)

    def cancelled(self, operation: str, ids: Iterable[str], **criteria: object) -> None:
        """The caller left, or its deadline passed, before the outcome was known."""
        with suppress(AuditLogUnavailable):  # nothing is answered
            self._event(operation, list(ids), outcome="CANCELLED", **criteria)

    def refused(self, operation: str, error: GatewayError, **criteria: object) -> None:
        """A search was rejected before it started."""
        self._event(operation, [], outcome=error.code, **criteria)

    def _event(self, operation: str, ids: Sequence[str], **details: object) -> None:
        if not is_audited():
            return
        if not audit_event(
            "lookup",
            operation=operation,
            caller=self.caller.subject,
            issuer=self.caller.issuer,
            door=self.door,
            remote=self.remote(),
            ids=ids,
            **details,
        ):
            raise AuditLogUnavailable.because("the log queue is full")


def _format_failure(failure: TargetFailure) -> str:
    more = f", and {failure.omitted} more targets" if failure.omitted else ""
    return f"{failure.target.label}: {failure.error.code}{more}"
