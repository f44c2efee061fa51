"""Why the history has no record of an execution: what is told instead. Never a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.domain.coverage import CoverageGap
from transfer_gateway.domain.errors import (
    AccessDenied,
    DeadlineExceeded,
    ExecutionNotFound,
    GatewayError,
    LogGroupNotFound,
    NotFoundReason,
    RoleNotAssumable,
    StoreUnavailable,
    Throttled,
    UpstreamUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.core.follower import Follower
    from transfer_gateway.core.log_reader import LogReader
    from transfer_gateway.domain.identity import ExecutionKey, Target, WorkflowId
    from transfer_gateway.domain.log_sources import LogSources

_UPDATE_ROLE = (
    "Update the role that the gateway assumes there from iam/: it needs the permissions to read the logs."
)
_REMEDIES: dict[type, str] = {  # for a class, and for those below it that have none of their own
    AccessDenied: _UPDATE_ROLE,
    RoleNotAssumable: "Deploy the role that the gateway assumes there from iam/, or correct whom it trusts: "
    "`check-config --assume` says what is wrong.",
    LogGroupNotFound: "Create the log group again, or remove it from the workflows that name it.",
    Throttled: "The gateway tries again. If this stays, raise AWS's quotas there.",
    DeadlineExceeded: "The gateway tries again. If this stays, check the network between the gateway and AWS there.",
    StoreUnavailable: "The gateway tries again. If this stays, check the history store: that it is up, has space and "
    "takes writes.",
    UpstreamUnavailable: "The gateway tries again. If this stays, its log has AWS's message.",
}
UNKNOWN = "AWS does not have the execution in progress, and whether it ended is unknown."


def absent(
    key: ExecutionKey, readers: Sequence[LogReader], follower: Follower, forgotten: ExecutionNotFound
) -> ExecutionNotFound:
    """No log has it: it never existed, or it was too long ago for the log, or it was not logged."""
    sources = follower.sources
    if sources is not None and (not sources.knows(key.workflow_id) or sources.gap_of(key.workflow_id)):
        return unlogged(key, sources, forgotten)
    groups = " and ".join(reader.group for reader in readers)
    if all(reader.keeps_everything for reader in readers):
        never = (
            f"There never was an execution {key.execution_id} of workflow {key.workflow_id} in {key.target.label}: "
            "AWS does not have it in progress, and the log"
        )
        return forgotten.because(
            NotFoundReason.NEVER_EXISTED,
            f"{never} ({groups}) has no entry of it.",
            unnamed=(f"{never} has no entry of it.", None),
        )
    since = max(reader.oldest for reader in readers)
    none = (
        f"has no entry of it since {since:%Y-%m-%d %H:%M} UTC, and keeps none for longer. "
        "Either it ended before, or it never existed."
    )
    keep = "or keep the gateway's history for longer."
    return forgotten.because(
        NotFoundReason.EXPIRED,
        f"{UNKNOWN} The log ({groups}) {none}",
        f"Raise the retention of log group {groups}, {keep}",
        unnamed=(f"{UNKNOWN} The log {none}", f"Raise the retention of its log group, {keep}"),
    )


def doubt(follower: Follower, workflow_id: WorkflowId | None) -> GatewayError:
    """Why the target may have had an execution that nothing is known of, though it is not in progress there."""
    target, gap, coverage = follower.target, follower.gap, follower.coverage
    unknown = ExecutionNotFound(UNKNOWN, account_id=target.account_id, region=target.region)
    if gap in {CoverageGap.UNREADABLE, CoverageGap.BEING_READ}:
        error = unreadable(target, coverage.problem if gap is CoverageGap.UNREADABLE else None, unknown)
        error.account_id, error.region = target
        return error
    for workflow in follower.sources.unlogged if follower.sources else ():
        if workflow_id in {None, workflow.workflow_id}:
            return unknown.because(
                NotFoundReason.NOT_LOGGED,
                f"{UNKNOWN} {sentence(workflow.because)}",
                sentence(workflow.remedy),
                unnamed=(
                    f"{UNKNOWN} {_not_all_logged(workflow.workflow_id, target)}",
                    sentence(workflow.unnamed_remedy),
                ),
            )
    since = "" if coverage.since is None else f" since {coverage.since:%Y-%m-%d %H:%M} UTC"
    return unknown.because(
        NotFoundReason.EXPIRED,
        f"What ended in {target.label} is known{since}: whether it ended before is unknown.",
        "Look it up by its account, region, workflow and id, which searches the log, too; or have the gateway read "
        "more of the past, or keep it for longer.",
    )


def unlogged(key: ExecutionKey, sources: LogSources, forgotten: ExecutionNotFound) -> ExecutionNotFound:
    """Its workflow logs nothing, or not all, or is unknown."""
    gap = sources.gap_of(key.workflow_id)
    if gap is None:
        return forgotten.because(
            NotFoundReason.NOT_LOGGED,
            f"{UNKNOWN} AWS has no workflow {key.workflow_id} in {key.target.label}, "
            "and no log there has an entry of the execution.",
        )
    return forgotten.because(
        NotFoundReason.NOT_LOGGED,
        f"{UNKNOWN} {sentence(gap.because)}",
        sentence(gap.remedy),
        unnamed=(
            f"{UNKNOWN} {_not_all_logged(key.workflow_id, key.target)}",
            None,
        ),
    )


def _not_all_logged(workflow_id: WorkflowId, target: Target) -> str:
    return f"Executions of workflow {workflow_id} in {target.label} are not all logged."


def remedy_of(problem: GatewayError) -> str | None:
    """What an operator can do about logs that can't be read. Names neither servers nor log groups."""
    return next((_REMEDIES[kind] for kind in type(problem).__mro__ if kind in _REMEDIES), None)


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def unreadable(target: Target, problem: GatewayError | None, forgotten: ExecutionNotFound) -> GatewayError:
    """A log that would have it can't be read; `problem` None: it has not been read yet."""
    if isinstance(problem, StoreUnavailable):
        return problem.copy()  # it could not take what the log has
    why = problem.message if problem else f"The log of {target.label} has not been read completely yet."
    remedy = _UPDATE_ROLE if isinstance(problem, AccessDenied) else None
    return forgotten.because(
        NotFoundReason.LOG_UNREADABLE,
        f"{UNKNOWN} {why}",
        remedy,
        unnamed=(f"{UNKNOWN} The log of {target.label} can't be read at present.", remedy),
    )
