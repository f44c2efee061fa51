"""Transfer Family: the four read operations that the gateway uses."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from transfer_emulator.errors import INVALID_NEXT_TOKEN, AwsError, not_found
from transfer_emulator.model import Service
from transfer_emulator.world import Target, Workflow
from transfer_emulator.writing import Wire

DEFAULT_PAGE_SIZE = 100

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Transfer:
    """The service's operations on one account in one region."""

    service: Service

    def describe_execution(self, target: Target, asked: Wire, now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND), alike for finished, never existed and another workflow's."""
        workflow = target.workflows.get(asked["WorkflowId"])
        execution = workflow.execution(asked["ExecutionId"], now) if workflow else None
        if execution is None:
            raise not_found("Execution", asked["ExecutionId"])
        return {"WorkflowId": asked["WorkflowId"], "Execution": execution}

    def list_executions(self, target: Target, asked: Wire, now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND, INVALID_NEXT_TOKEN)."""
        workflow = _workflow(target, asked["WorkflowId"])
        page, token = _page(workflow.executions(now), asked, f"executions of {workflow.workflow_id}")
        pick = self._picker("ListExecutions", "Executions")
        answer: Wire = {"WorkflowId": workflow.workflow_id, "Executions": [pick(wire) for wire in page]}
        return answer | token

    def list_workflows(self, target: Target, asked: Wire, _now: float) -> Wire:
        """Raises: AwsError (INVALID_NEXT_TOKEN)."""
        definitions = {workflow_id: workflow.definition for workflow_id, workflow in target.workflows.items()}
        page, token = _page(definitions, asked, "workflows")
        pick = self._picker("ListWorkflows", "Workflows")
        return {"Workflows": [pick(definition) for definition in page], **token}

    def describe_workflow(self, target: Target, asked: Wire, _now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND)."""
        return {"Workflow": _workflow(target, asked["WorkflowId"]).definition}

    def _picker(self, operation: str, listing: str) -> Callable[[Wire], Wire]:
        """What cuts a described thing down to the members that its listed shape has."""
        output = self.service.model.operation_model(operation).output_shape
        members = output.members[listing].member.members
        return lambda wire: {name: wire[name] for name in members if name in wire}


def _workflow(target: Target, workflow_id: str) -> Workflow:
    if (workflow := target.workflows.get(workflow_id)) is None:
        raise not_found("Workflow", workflow_id)
    return workflow


def _page(items: Mapping[str, Item], asked: Wire, listing: str) -> tuple[list[Item], Wire]:
    """One page, and the NextToken member if there is more.

    Pages go on after the id of the last item shown: what vanishes or arrives meanwhile moves no other.
    """
    after = _position(asked["NextToken"], listing) if "NextToken" in asked else ""
    ids = sorted(item_id for item_id in items if item_id > after)
    shown = ids[: asked.get("MaxResults", DEFAULT_PAGE_SIZE)]
    token = {"NextToken": _token(listing, shown[-1])} if len(shown) < len(ids) else {}
    return [items[item_id] for item_id in shown], token


def _token(listing: str, after: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([listing, after])).decode()


def _position(token: str, listing: str) -> str:
    try:
        of, after = orjson.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError):
        of = after = None
    if of != listing or not isinstance(after, str):
        raise AwsError(INVALID_NEXT_TOKEN, "The NextToken parameter that was passed is invalid.")
    return after
