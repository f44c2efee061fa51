"""The emulated AWS's state: accounts, and per account and region workflows and their executions."""

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Account, KeyRing, Role
from transfer_emulator.log_groups import CREATED_AT, DAY_S, LogGroup
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_workflows import new_workflow_id, sample_definition, sample_execution
from transfer_emulator.uploads import Outcome, Upload

Running: TypeAlias = tuple[str, str, str, str, str, float]


class ExecutionSource(Protocol):
    """A workflow's scripted executions."""

    def running(self, now: float) -> dict[str, Upload]: ...
    def uploads(self, since: float, until: float) -> Iterator[Upload]: ...
    def upload(
        self,
        at: float,
        *,
        outcome: Outcome,
        duration_s: float | None,
        failing_step: int | None,
        seed: object,
    ) -> Upload: ...


class Scenario(Protocol):
    """Creates a target's servers, workflows and log groups on first access."""

    def fill(self, target: "Target") -> None: ...


@dataclass(slots=True)
class Workflow:
    """A workflow: its definition as returned by DescribeWorkflow, and its executions in progress."""

    workflow_id: str
    definition: Wire
    scripted: ExecutionSource | None = None
    placed: dict[str, Wire] = field(default_factory=dict)

    def execution(self, execution_id: str, now: float) -> Wire | None:
        if (placed := self.placed.get(execution_id)) is not None:
            return placed
        if self.scripted is None:
            return None
        execution = self.scripted.running(now).get(execution_id)
        return execution.wire(now) if execution else None

    def executions(self, now: float) -> dict[str, Wire]:
        """By id, for lists. Placed executions without an `ExecutionId` member get one here."""
        scripted = self.scripted.running(now) if self.scripted else {}
        placed = {key: {"ExecutionId": key} | execution for key, execution in self.placed.items()}
        return {key: execution.wire(now) for key, execution in scripted.items()} | placed

    def ends_at(self, execution_id: str, now: float) -> float:
        """When the execution will end; infinity if it was placed."""
        scripted = self.scripted.running(now) if self.scripted else {}
        return scripted[execution_id].ends_at if execution_id in scripted else math.inf


@dataclass(slots=True)
class Target:
    """An account in a region. `servers`: as returned by DescribeServer."""

    account_id: str
    region: str
    workflows: dict[str, Workflow] = field(default_factory=dict)
    servers: dict[str, Wire] = field(default_factory=dict)
    log_groups: dict[str, LogGroup] = field(default_factory=dict)


class World:
    """The emulated AWS. `home_key`: the long-lived key of the caller's own account."""

    def __init__(
        self, home_account_id: str, regions: Sequence[str], scenario: Scenario | None = None
    ) -> None:
        self.home_account_id = home_account_id
        self.regions = tuple(regions)
        self.keys = KeyRing()
        self.home_key = self.keys.add_user(home_account_id, "transfer-gateway")
        self._scenario = scenario
        self._accounts = {home_account_id: Account(home_account_id, self.regions)}
        self._targets: dict[tuple[str, str], Target] = {}

    def add_account(self, account_id: str, roles: Sequence[Role] | None = None) -> Account:
        """Add an account. Default: one role that trusts the home account."""
        if roles is None:
            roles = [Role(DEFAULT_ROLE_NAME, (f"arn:aws:iam::{self.home_account_id}:root",))]
        account = Account(account_id, self.regions, {role.name: role for role in roles})
        self._accounts[account_id] = account
        return account

    def accounts(self) -> list[Account]:
        """All accounts except home, in the order they were added."""
        return [account for key, account in self._accounts.items() if key != self.home_account_id]

    def find_account(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def target(self, account_id: str, region: str) -> Target:
        """Raises: KeyError for an unknown account or region."""
        key = (account_id, region)
        if key not in self._targets:
            if account_id not in self._accounts or region not in self.regions:
                raise KeyError(key)
            target = Target(account_id, region)
            if self._scenario is not None and account_id != self.home_account_id:
                self._scenario.fill(target)
            self._targets[key] = target
        return self._targets[key]

    def add_server(self, account_id: str, region: str, definition: Wire | None = None) -> str:
        """Add a server. Returns: its id.

        `definition`: as returned by DescribeServer; ServerId and Arn are filled in if missing.
        """
        server_id = (definition or {}).get("ServerId") or f"s-{uuid.uuid4().hex[:17]}"
        arn = f"arn:aws:transfer:{region}:{account_id}:server/{server_id}"
        known = {"ServerId": server_id, "Arn": arn}
        self.target(account_id, region).servers[server_id] = known | (definition or {})
        return server_id

    def add_log_group(
        self,
        account_id: str,
        region: str,
        name: str,
        retention_s: float = DAY_S,
        created_at: float = CREATED_AT,
    ) -> LogGroup:
        """Add a log group, whose `put` adds events."""
        group = LogGroup(name, retention_s, created_at)
        self.target(account_id, region).log_groups[name] = group
        return group

    def add_workflow(
        self, account_id: str, region: str, workflow_id: str | None = None, definition: Wire | None = None
    ) -> str:
        """Add a workflow. Returns: its id.

        `definition`: as returned by DescribeWorkflow; None: a sample. Missing WorkflowId and Arn are filled in.
        """
        workflow_id = workflow_id or new_workflow_id()
        if definition is None:
            definition = sample_definition(account_id, region)
        arn = f"arn:aws:transfer:{region}:{account_id}:workflow/{workflow_id}"
        known = {"WorkflowId": workflow_id, "Arn": arn}
        self.target(account_id, region).workflows[workflow_id] = Workflow(workflow_id, known | definition)
        return workflow_id

    def place(
        self,
        account_id: str,
        region: str,
        workflow_id: str,
        execution: Wire | None = None,
        execution_id: str | None = None,
    ) -> str:
        """Add an execution in progress, which does not change until `remove`. Returns: its id.

        `execution`: as returned by DescribeExecution; any member may be missing; None: a sample with every member.
        Raises: KeyError for an unknown workflow.
        """
        workflow = self.target(account_id, region).workflows[workflow_id]
        execution_id = execution_id or (execution or {}).get("ExecutionId") or str(uuid.uuid4())
        if execution is None:
            execution = sample_execution(account_id, region, execution_id)
        workflow.placed[execution_id] = execution
        return execution_id

    def remove(self, account_id: str, region: str, workflow_id: str, execution_id: str) -> None:
        """Remove a placed execution. Raises: KeyError."""
        del self.target(account_id, region).workflows[workflow_id].placed[execution_id]

    def running(self, now: float) -> list[Running]:
        """(account, region, workflow, execution, status, seconds left) of each execution in progress at `now`."""
        return [
            (account_id, region, workflow.workflow_id, execution_id, wire.get("Status", ""), left)
            for account_id in self._accounts
            for region in self.regions
            for workflow in self.target(account_id, region).workflows.values()
            for execution_id, wire in workflow.executions(now).items()
            for left in [workflow.ends_at(execution_id, now) - now]
        ]

    def upload(
        self,
        account_id: str,
        region: str,
        workflow_id: str,
        at: float,
        *,
        outcome: Outcome = Outcome.EXECUTED,
        duration_s: float | None = None,
        failing_step: int | None = None,
        seed: object = "",
    ) -> Upload:
        """Upload a file for a scripted workflow; its execution starts at `at` (seconds since 1970).

        `duration_s`: default: random. `failing_step`: index of the step that fails; None: none. `seed`: distinguishes
        uploads at the same time. Raises: KeyError for an unknown workflow; ValueError for one without script.
        """
        scripted = self.target(account_id, region).workflows[workflow_id].scripted
        if scripted is None:
            raise ValueError(f"{workflow_id} has no script")
        return scripted.upload(
            at, outcome=outcome, duration_s=duration_s, failing_step=failing_step, seed=seed
        )

    def history(
        self, since: float, until: float, account_id: str | None = None, region: str | None = None
    ) -> Iterator[Upload]:
        """What truly happened: the uploads whose executions started or ended between two times, in no order.

        `account_id`, `region`: None matches any. Placed executions are not included.
        """
        for an_account in self._accounts if account_id is None else [account_id]:
            for a_region in self.regions if region is None else [region]:
                for workflow in self.target(an_account, a_region).workflows.values():
                    if workflow.scripted is not None:
                        for upload in workflow.scripted.uploads(since, until):
                            if upload.started_at <= until and upload.ended_at >= since:
                                yield upload

    def end_readable_at(self, upload: Upload, group_name: str) -> float | None:
        """When the intact entry of the execution's end can be read first in a log group; None if it is never there."""
        ended_ms = round(upload.ended_at * 1000)
        group = self.target(upload.resources.account_id, upload.resources.region).log_groups[group_name]
        kind = "ExecutionErrored" if upload.is_failed else "ExecutionCompleted"
        parts = (
            f'"type":"{kind}"',
            f'"executionId":"{upload.execution_id}"',
            f'"workflowId":"{upload.workflow_id}"',
        )
        times = [
            event.ingested_ms
            for source in group.sources
            for event in source.events(group_name, ended_ms, ended_ms)
            if event.timestamp_ms == ended_ms
            and event.message.endswith("}}")
            and all(part in event.message for part in parts)
        ]
        return min(times) / 1000 if times else None
