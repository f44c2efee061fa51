"""What a follower knows of its target beside the executions, for the replicas that do not follow it: as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_gateway.domain.errors import (
    AccessDenied,
    AccountNotAvailable,
    DeadlineExceeded,
    GatewayError,
    LogGroupNotFound,
    RoleNotAssumable,
    Throttled,
    UpstreamUnavailable,
)
from transfer_gateway.domain.identity import WorkflowId, WorkflowKey
from transfer_gateway.domain.log_group import LogGroup
from transfer_gateway.domain.log_sources import LogGap, LogSource, LogSources, Unlogged
from transfer_gateway.domain.server import ServerId
from transfer_gateway.history import GroupProgress, LogMechanism, WorkflowLog
from transfer_gateway.history.codec import dump, from_ms, load, to_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from transfer_gateway.domain.identity import Target

_ERRORS: dict[str, type[GatewayError]] = {
    kind.code.value: kind
    for kind in (
        AccessDenied,
        AccountNotAvailable,
        DeadlineExceeded,
        LogGroupNotFound,
        RoleNotAssumable,
        Throttled,
        UpstreamUnavailable,
    )
}


class Work(NamedTuple):
    """What may fail: to find out where the target logs (`group` None), or to read what is new in a log, or its past."""

    group: str | None = None
    past: bool = False


@dataclass(frozen=True, slots=True)
class GroupState:
    """`saved_until`: up to when the progress is stored. `described` None: not yet. `lag_s`: see LogReader."""

    progress: GroupProgress
    saved_until: datetime | None
    described: LogGroup | None
    lag_s: float


@dataclass(frozen=True, slots=True)
class FollowerState:
    """`sources_at`: when it was found out where the target logs, in the clock's time."""

    sources_at: float
    groups: Mapping[str, GroupState]
    problems: Mapping[Work, GatewayError]


def dump_state(state: FollowerState) -> str:
    return dump(
        {
            "sources_at": state.sources_at,
            "groups": {name: _group(group) for name, group in state.groups.items()},
            "problems": [(*work, error.code, error.message) for work, error in state.problems.items()],
        }
    )


def load_state(text: str, target: Target) -> FollowerState:
    read = load(text)
    return FollowerState(
        read["sources_at"],
        {name: _group_from(group, name, target) for name, group in read["groups"].items()},
        {
            Work(group, past): _ERRORS.get(code, UpstreamUnavailable)(
                message, account_id=target.account_id, region=target.region
            )
            for group, past, code, message in read["problems"]
        },
    )


def dump_sources(sources: LogSources, logs: Iterable[WorkflowLog]) -> str:
    """Where the target logs, and where its workflows were seen to."""
    return dump(
        {
            "groups": [
                (group.name, group.workflow_ids, group.server_id) for group in sources.groups.values()
            ],
            "by_workflow": sorted(sources.by_workflow),
            "by_server": sorted(sources.by_server),
            "unlogged": [
                (it.workflow_id, it.server_id, it.gap, it.because, it.remedy) for it in sources.unlogged
            ],
            "logs": [
                (it.workflow.workflow_id, it.server_id, it.group, it.mechanism, to_ms(it.last_seen_at))
                for it in logs
            ],
        }
    )


def load_sources(text: str, target: Target) -> tuple[LogSources, list[WorkflowLog]]:
    read = load(text)
    sources = LogSources(
        {
            name: LogSource(name, tuple(map(WorkflowId, workflows)), _server_from(server))
            for name, workflows, server in read["groups"]
        },
        frozenset(map(WorkflowId, read["by_workflow"])),
        frozenset(map(WorkflowId, read["by_server"])),
        tuple(
            Unlogged(WorkflowId(workflow), _server_from(server), LogGap(gap), because, remedy)
            for workflow, server, gap, because, remedy in read["unlogged"]
        ),
    )
    logs = [
        WorkflowLog(
            WorkflowKey(*target, WorkflowId(workflow)),
            server,
            group,
            None if mechanism is None else LogMechanism(mechanism),
            from_ms(last_seen_at),
        )
        for workflow, server, group, mechanism, last_seen_at in read["logs"]
    ]
    return sources, logs


def _group(group: GroupState) -> tuple[object, ...]:
    progress, described = group.progress, group.described
    return (
        to_ms(progress.read_until),
        to_ms(progress.complete_since),
        _ms_or_none(progress.backfill_until),
        _ms_or_none(group.saved_until),
        None if described is None else (to_ms(described.created_at), described.retention_days),
        group.lag_s,
    )


def _group_from(group: Any, name: str, target: Target) -> GroupState:  # noqa: ANN401  JSON
    read_until, complete_since, backfill_until, saved_until, described, lag_s = group
    return GroupState(
        GroupProgress(
            *target, name, from_ms(read_until), from_ms(complete_since), _from_ms_or_none(backfill_until)
        ),
        _from_ms_or_none(saved_until),
        None if described is None else LogGroup(name, from_ms(described[0]), described[1]),
        lag_s,
    )


def _server_from(server: str | None) -> ServerId | None:
    return None if server is None else ServerId(server)


def _ms_or_none(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)


def _from_ms_or_none(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
