"""Where the executions of a target's workflows are logged, what is not, and what to do about it.

Two mechanisms, and a workflow may have both: its own StructuredLogDestinations, or the logging role of the server that
starts it. A workflow cannot be changed: for other destinations it is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from transfer_gateway.domain.gateway_error import BadUserInput
from transfer_gateway.domain.log_group import LogGroupKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from transfer_gateway.domain.identity import Target, WorkflowId
    from transfer_gateway.domain.server import Server, ServerId
    from transfer_gateway.domain.workflow import Workflow


class LogGap(StrEnum):
    """Why executions are not logged where the gateway reads."""

    SERVER_LOGS_NOTHING = "SERVER_LOGS_NOTHING"
    NO_DESTINATION = "NO_DESTINATION"
    FOREIGN_DESTINATION = "FOREIGN_DESTINATION"


@dataclass(frozen=True, slots=True)
class Unlogged:
    """A workflow whose executions are not logged; with `server_id` those that this server starts, else all.

    `remedy` is a sentence's second half, for `because`.
    """

    workflow_id: WorkflowId
    server_id: ServerId | None
    gap: LogGap
    because: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.because}: {self.remedy}"

    @property
    def unnamed_remedy(self) -> str:
        """The remedy, which names neither servers nor log groups."""
        return "give the server that starts it a logging role" if self.server_id is not None else self.remedy


@dataclass(frozen=True, slots=True)
class LogSource:
    """A log group: the workflows that log there themselves, and the server whose group it is."""

    name: str
    workflow_ids: tuple[WorkflowId, ...] = ()
    server_id: ServerId | None = None


@dataclass(frozen=True, slots=True)
class LogSources:
    """`groups` by name. `by_workflow`, `by_server`: the workflows that log, by mechanism; one may be in both."""

    groups: Mapping[str, LogSource]
    by_workflow: frozenset[WorkflowId]
    by_server: frozenset[WorkflowId]
    unlogged: tuple[Unlogged, ...]

    @property
    def logged(self) -> frozenset[WorkflowId]:
        """The workflows all of whose executions are logged."""
        return (self.by_workflow | self.by_server) - {it.workflow_id for it in self.unlogged}

    def knows(self, workflow_id: WorkflowId) -> bool:
        """Whether the target has the workflow now."""
        return workflow_id in self.by_workflow | self.by_server or self.gap_of(workflow_id) is not None

    def groups_of(self, workflow_id: WorkflowId) -> list[str]:
        """The groups that together have all executions of a workflow, as far as these are logged.

        Without destinations of its own they are the groups of all servers, since any may have started it before.
        """
        own = [name for name, source in self.groups.items() if workflow_id in source.workflow_ids]
        return own or [name for name, source in self.groups.items() if source.server_id is not None]

    def gap_of(self, workflow_id: WorkflowId) -> Unlogged | None:
        """Why not all executions of a workflow are logged; None: they are, or it is unknown."""
        return next((it for it in self.unlogged if it.workflow_id == workflow_id), None)


def log_sources(target: Target, servers: Iterable[Server], workflows: Iterable[Workflow]) -> LogSources:
    """Judge a target by all of its servers and workflows.

    The group of a server that logs is a source even if it starts no workflow now: it may have. A workflow that only a
    server names is judged by that alone. Destinations in other accounts or regions are not read.
    """
    servers, workflows = tuple(servers), tuple(workflows)
    groups = {
        server.log_group: LogSource(server.log_group, server_id=server.key.server_id)
        for server in servers
        if server.log_group is not None
    }
    foreign: dict[WorkflowId, str] = {}
    by_workflow: set[WorkflowId] = set()
    for workflow in workflows:
        for arn in workflow.structured_log_destinations or ():
            name = _name_in(target, arn)
            if name is None:
                foreign[workflow.workflow_id] = arn
                continue
            by_workflow.add(workflow.workflow_id)
            known = groups.get(name, LogSource(name))
            groups[name] = LogSource(name, (*known.workflow_ids, workflow.workflow_id), known.server_id)
    starters: dict[WorkflowId, list[Server]] = {workflow.workflow_id: [] for workflow in workflows}
    for server in servers:
        for workflow_id in server.workflow_ids:
            starters.setdefault(workflow_id, []).append(server)
    by_server = {it for it, starting in starters.items() if any(server.log_group for server in starting)}
    return LogSources(
        groups,
        frozenset(by_workflow),
        frozenset(by_server),
        tuple(
            gap
            for workflow_id, starting in starters.items()
            if workflow_id not in by_workflow
            for gap in _gaps(workflow_id, starting, foreign.get(workflow_id))
        ),
    )


def _gaps(workflow_id: WorkflowId, starting: list[Server], foreign: str | None) -> list[Unlogged]:
    """Of a workflow without destinations that are read."""
    silent = [server for server in starting if server.log_group is None]
    if starting and not silent:
        return []
    if foreign is not None:
        return [
            Unlogged(
                workflow_id,
                None,
                LogGap.FOREIGN_DESTINATION,
                f"workflow {workflow_id} logs to {foreign}, which is not in its account and region",
                "make it anew with a log group there, or give the servers that start it a logging role",
            )
        ]
    if silent:
        return [
            Unlogged(
                workflow_id,
                server.key.server_id,
                LogGap.SERVER_LOGS_NOTHING,
                f"server {server.key.server_id}, which starts workflow {workflow_id}, logs nothing",
                "give it a logging role",
            )
            for server in silent
        ]
    return [
        Unlogged(
            workflow_id,
            None,
            LogGap.NO_DESTINATION,
            f"workflow {workflow_id} has no log destination, and no server that logs starts it",
            "start it by a server with a logging role, or make it anew with a log destination",
        )
    ]


def _name_in(target: Target, arn: str) -> str | None:
    """The name of a log group of that account and region; None for anything else."""
    try:
        key = LogGroupKey.of_arn(arn)
    except BadUserInput:
        return None
    return key.name if key.target == target else None
