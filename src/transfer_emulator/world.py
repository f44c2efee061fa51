"""What the emulated AWS holds: accounts and, per account and region, workflows and their executions."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from transfer_emulator.identity import DEFAULT_ROLE_NAME, Account, KeyRing, Role
from transfer_emulator.sample_workflows import lifelike_definition, lifelike_execution, new_workflow_id
from transfer_emulator.writing import Wire

Running: TypeAlias = tuple[str, str, str, str, str, float]


class ScriptedExecution(Protocol):
    """An execution that moves by itself: what it looks like depends on the time alone."""

    @property
    def execution_id(self) -> str: ...
    @property
    def ends_at(self) -> float: ...
    def wire(self, now: float) -> Wire: ...


class Arrivals(Protocol):
    """A workflow's scripted executions."""

    def running(self, now: float) -> dict[str, ScriptedExecution]: ...


class Scenario(Protocol):
    """What fills a target when it is first looked at."""

    def workflows(self, account_id: str, region: str) -> "list[Workflow]": ...


@dataclass(slots=True)
class Workflow:
    """A workflow: its definition as DescribeWorkflow shows it, and its executions in progress."""

    workflow_id: str
    definition: Wire
    arrivals: Arrivals | None = None
    placed: dict[str, Wire] = field(default_factory=dict)

    def execution(self, execution_id: str, now: float) -> Wire | None:
        if (placed := self.placed.get(execution_id)) is not None:
            return placed
        if self.arrivals is None:
            return None
        scripted = self.arrivals.running(now).get(execution_id)
        return scripted.wire(now) if scripted else None

    def executions(self, now: float) -> dict[str, Wire]:
        """By id, for lists: there even a placed execution that was given no id says its own."""
        scripted = self.arrivals.running(now) if self.arrivals else {}
        placed = {key: {"ExecutionId": key} | execution for key, execution in self.placed.items()}
        return {key: execution.wire(now) for key, execution in scripted.items()} | placed

    def ends_at(self, execution_id: str, now: float) -> float:
        """When it will vanish by itself; never (infinity), if it was placed."""
        scripted = self.arrivals.running(now) if self.arrivals else {}
        return scripted[execution_id].ends_at if execution_id in scripted else math.inf


@dataclass(slots=True)
class Target:
    """One account in one region."""

    workflows: dict[str, Workflow] = field(default_factory=dict)


class World:
    """Every account of the emulated AWS. `home_key` is the long-lived key of the account that calls."""

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
        """Add an account; unless told otherwise, with one role that trusts the home account."""
        if roles is None:
            roles = [Role(DEFAULT_ROLE_NAME, (f"arn:aws:iam::{self.home_account_id}:root",))]
        account = Account(account_id, self.regions, {role.name: role for role in roles})
        self._accounts[account_id] = account
        return account

    def accounts(self) -> list[Account]:
        """Every account but home, in the order they were added."""
        return [account for key, account in self._accounts.items() if key != self.home_account_id]

    def find_account(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def target(self, account_id: str, region: str) -> Target:
        """Raises: KeyError for an account or a region that this world lacks."""
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
        """Add a workflow and tell its id.

        `definition` is DescribeWorkflow's wire form, a lifelike one if None; where it lacks WorkflowId and
        Arn they are filled in.
        """
        workflow_id = workflow_id or new_workflow_id()
        if definition is None:
            definition = lifelike_definition(account_id, region)
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
        """Put an execution in progress and tell its id: it stays as it is until `remove`.

        `execution` is DescribeExecution's wire form and may lack anything; None is a lifelike one with every
        member. Raises: KeyError where the workflow does not exist.
        """
        workflow = self.target(account_id, region).workflows[workflow_id]
        execution_id = execution_id or (execution or {}).get("ExecutionId") or str(uuid.uuid4())
        if execution is None:
            execution = lifelike_execution(account_id, region, execution_id)
        workflow.placed[execution_id] = execution
        return execution_id

    def remove(self, account_id: str, region: str, workflow_id: str, execution_id: str) -> None:
        """Let a placed execution vanish. Raises: KeyError."""
        del self.target(account_id, region).workflows[workflow_id].placed[execution_id]

    def running(self, now: float) -> list[Running]:
        """(account, region, workflow, execution, status, seconds left) of all that is in progress at `now`."""
        return [
            (account_id, region, workflow.workflow_id, execution_id, wire.get("Status", ""), left)
            for account_id in self._accounts
            for region in self.regions
            for workflow in self.target(account_id, region).workflows.values()
            for execution_id, wire in workflow.executions(now).items()
            for left in [workflow.ends_at(execution_id, now) - now]
        ]
