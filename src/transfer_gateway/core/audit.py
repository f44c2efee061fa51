"""The audit: who looked up what, from where, and the outcome. One event each, in a log of its own.

It never has a token, and of an answer only the ids that were asked for or listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.account import Account
from transfer_gateway.domain.errors import AuditLogUnavailable, ErrorCode
from transfer_gateway.telemetry import audit_event, is_audited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.domain.errors import GatewayError
    from transfer_gateway.domain.execution import Execution
    from transfer_gateway.domain.identity import AccountId, ExecutionKey, WorkflowKey
    from transfer_gateway.domain.page import TargetFailure
    from transfer_gateway.domain.workflow import Workflow


class AuditTrail(NamedTuple):
    """One caller's events at one server (`door`).

    Every method raises AuditLogUnavailable where the event can't be written; the request must not be answered then.
    `remote` gives the address that the request came from; it is called late, since gRPC takes time for it.
    """

    caller: Caller
    door: str
    remote: Callable[[], str | None]

    def looked_up(
        self,
        operation: str,
        key: ExecutionKey | WorkflowKey | AccountId,
        outcome: Execution | Workflow | Account | GatewayError,
        *,
        source: str = "aws",
    ) -> None:
        """One object was looked up by its key. `source` is where the answer came from: aws or snapshot.

        An account comes from the configuration and has no source.
        """
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

    def recalled(self, operation: str, found: Sequence[tuple[ExecutionKey, str | None]]) -> None:
        """These executions came from snapshots, each with AWS's id of its call. Several share one event."""
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

    def unavailable(self, operation: str, keys: Sequence[ExecutionKey]) -> None:
        """These keys are in no account that the caller may see. They share one event."""
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
        **asked: object,
    ) -> None:
        """Targets were searched or listed, with these ids as the result."""
        self._event(
            operation,
            list(ids),
            outcome="OK",
            targets=targets,
            target_failures=list(map(_told, failures)),
            **asked,
        )

    def refused(self, operation: str, error: GatewayError, **asked: object) -> None:
        """A search was refused before it began."""
        self._event(operation, [], outcome=error.code, **asked)

    def _event(self, operation: str, ids: Sequence[str], **what: object) -> None:
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
            **what,
        ):
            raise AuditLogUnavailable.because("the log queue is full")


def _told(failure: TargetFailure) -> str:
    more = f", and {failure.omitted} more targets" if failure.omitted else ""
    return f"{failure.target.label}: {failure.error.code}{more}"
