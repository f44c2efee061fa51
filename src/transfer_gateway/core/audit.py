"""The audit: who looked up what, from where, and what came of it. One event each, in a log of its own.

Never a token, and nothing of an answer but the ids that were asked for or listed.
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
    """A caller at a door. Raises AuditLogUnavailable for what can't be written, which must not be answered then.

    `remote` tells the address that its request came from, which costs some doors time.
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
        """One thing was asked for by its key. `source` is where the answer came from: aws or snapshot.

        An account comes from the configuration, and has none.
        """
        if not is_audited():
            return
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

    def recalled(self, operation: str, executions: Sequence[tuple[ExecutionKey, Execution]]) -> None:
        """Snapshots answered these. Several are one event, with AWS's ids of the calls that made each of them."""
        if not is_audited() or not executions:
            return
        request_ids = [execution.aws_request_id for _, execution in executions]
        by = {"aws_request_id": request_ids[0]} if len(executions) == 1 else {"aws_request_ids": request_ids}
        self._event(operation, [str(key) for key, _ in executions], outcome="OK", source="snapshot", **by)

    def unavailable(self, operation: str, keys: Sequence[ExecutionKey]) -> None:
        """These were asked for, and are in no account that the caller may see: one event."""
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
        """Targets were searched, or their contents listed: which ids were found there."""
        self._event(
            operation,
            list(ids),
            outcome="OK",
            targets=targets,
            target_failures=list(map(_told, failures)),
            **asked,
        )

    def refused(self, operation: str, error: GatewayError, **asked: object) -> None:
        """Targets were to be searched, but not as asked."""
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
