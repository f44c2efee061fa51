"""The emulated AWS's state: accounts, and per account and region workflows and their executions."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Account, KeyRing, Role
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_workflows import new_workflow_id, sample_definition, sample_execution

Running: TypeAlias = tuple[str, str, str, str, str, float]


class ScriptedExecution(Protocol):
    """An execution whose state depends only on the time."""

    @property
    def execution_id(self) -> str: ...
    @property
    def ends_at(self) -> float: ...
    def wire(self, now: float) -> Wire: ...


class ExecutionSource(Protocol):
    """A workflow's scripted executions."""

    def running(self, now: float) -> dict[str, ScriptedExecution]: ...


class Scenario(Protocol):
    """Creates a target's workflows on first access."""

    def workflows(self, account_id: str, region: str) -> "list[Workflow]": ...


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
    """An account in a region."""

    workflows: dict[str, Workflow] = field(default_factory=dict)


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
            scripted = account_id != self.home_account_id and self._scenario
            workflows = scripted.workflows(account_id, region) if scripted else []
            self._targets[key] = Target({workflow.workflow_id: workflow for workflow in workflows})
        return self._targets[key]

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
