"""Transfer Family: the read operations of workflows, executions and servers."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import orjson

from transfer_emulator.errors import INVALID_NEXT_TOKEN, AwsError, not_found
from transfer_emulator.model import Service
from transfer_emulator.response_shaper import Wire
from transfer_emulator.world import Target, Workflow

DEFAULT_PAGE_SIZE = 100

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Transfer:
    """The service's operations, for an account in a region."""

    service: Service

    def describe_execution(self, target: Target, parameters: Wire, now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND), also for finished executions and other workflows'."""
        workflow = target.workflows.get(parameters["WorkflowId"])
        execution = workflow.execution(parameters["ExecutionId"], now) if workflow else None
        if execution is None:
            raise not_found("Execution", parameters["ExecutionId"])
        return {"WorkflowId": parameters["WorkflowId"], "Execution": execution}

    def list_executions(self, target: Target, parameters: Wire, now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND, INVALID_NEXT_TOKEN)."""
        workflow = _workflow(target, parameters["WorkflowId"])
        page, token = _page(workflow.executions(now), parameters, f"executions of {workflow.workflow_id}")
        pick = self._picker("ListExecutions", "Executions")
        output: Wire = {"WorkflowId": workflow.workflow_id, "Executions": [pick(wire) for wire in page]}
        return output | token

    def list_workflows(self, target: Target, parameters: Wire, _now: float) -> Wire:
        """Raises: AwsError (INVALID_NEXT_TOKEN)."""
        definitions = {workflow_id: workflow.definition for workflow_id, workflow in target.workflows.items()}
        page, token = _page(definitions, parameters, "workflows")
        pick = self._picker("ListWorkflows", "Workflows")
        return {"Workflows": [pick(definition) for definition in page], **token}

    def describe_workflow(self, target: Target, parameters: Wire, _now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND)."""
        return {"Workflow": _workflow(target, parameters["WorkflowId"]).definition}

    def list_servers(self, target: Target, parameters: Wire, _now: float) -> Wire:
        """Raises: AwsError (INVALID_NEXT_TOKEN)."""
        page, token = _page(target.servers, parameters, "servers")
        pick = self._picker("ListServers", "Servers")
        return {"Servers": [pick(server) for server in page], **token}

    def describe_server(self, target: Target, parameters: Wire, _now: float) -> Wire:
        """Raises: AwsError (RESOURCE_NOT_FOUND)."""
        server = target.servers.get(parameters["ServerId"])
        if server is None:
            raise not_found("Server", parameters["ServerId"])
        return {"Server": server}

    def _picker(self, operation: str, listing: str) -> Callable[[Wire], Wire]:
        """A function that reduces a described object to the members of its listed shape."""
        output = self.service.model.operation_model(operation).output_shape
        members = output.members[listing].member.members
        return lambda wire: {name: wire[name] for name in members if name in wire}


def _workflow(target: Target, workflow_id: str) -> Workflow:
    if (workflow := target.workflows.get(workflow_id)) is None:
        raise not_found("Workflow", workflow_id)
    return workflow


def _page(items: Mapping[str, Item], parameters: Wire, listing: str) -> tuple[list[Item], Wire]:
    """One page, and a NextToken member if there are more.

    A page continues after the last id of the previous one, so items that come or go do not shift others.
    """
    after = _position(parameters["NextToken"], listing) if "NextToken" in parameters else ""
    ids = sorted(item_id for item_id in items if item_id > after)
    page_ids = ids[: parameters.get("MaxResults", DEFAULT_PAGE_SIZE)]
    token = {"NextToken": _token(listing, page_ids[-1])} if len(page_ids) < len(ids) else {}
    return [items[item_id] for item_id in page_ids], token


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
