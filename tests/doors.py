"""One client interface for both servers: requests and responses in GraphQL's form.

GraphQL responses are requested with every field; gRPC responses are converted field by field. So anything that only one
of them has shows as a difference.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from graphql import GraphQLEnumType, GraphQLObjectType, GraphQLScalarType, GraphQLSchema, get_named_type
from grpc_status import rpc_status

from transfer_api.v1 import execution_pb2, workflow_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway.api.graphql.schema import build_schema
from wire import Gateway, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.message import Message

    from command import Started
    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from transfer_gateway import server

GRAPHQL: GraphQLSchema = build_schema()._schema

ERROR = "code message retryable retryAfter target { accountId region } awsRequestId"
_DETAILS = {
    "Execution": {"executionRole", "loggingConfiguration", "posixProfile", "results"},
    "Workflow": {"steps", "onExceptionSteps", "tags", "structuredLogDestinations"},
}


class Failed(Exception):
    """The whole request failed: its error, and for gRPC its status."""

    def __init__(self, error: dict[str, Any], status: grpc.StatusCode | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


def selection(kind: str, *, definitions: bool, details: bool = True) -> str:
    """Every field of a type and of its nested types."""
    found = GRAPHQL.type_map[kind]
    assert isinstance(found, GraphQLObjectType)
    fields = []
    for name, field in found.fields.items():
        inner = get_named_type(field.type)
        if (name == "definition" and not definitions) or (name in _DETAILS.get(kind, ()) and not details):
            continue
        if isinstance(inner, GraphQLScalarType | GraphQLEnumType):
            fields.append(name)
        elif inner.name == "Error":
            fields.append(f"{name} {{ {ERROR} }}")
        else:
            fields.append(f"{name} {{ {selection(inner.name, definitions=definitions, details=details)} }}")
    return " ".join(fields)


class GraphQLDoor:
    """Everything that both servers can do, through GraphQL."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def get(
        self, key: dict[str, str], max_age: float | None = None, *, definitions: bool = False
    ) -> Any:
        found = await self._ask(
            "query($key: ExecutionKey!, $maxAge: Float) { found: executionOrError(key: $key, maxAge: $maxAge) "
            f"{{ {_or_error('Execution', definitions=definitions)} }} }}",
            key=key,
            maxAge=max_age,
        )
        return _even(found)

    async def batch(
        self, keys: Sequence[dict[str, str]], max_age: float | None = None, *, definitions: bool = False
    ) -> list[Any]:
        found = await self._ask(
            "query($keys: [ExecutionKey!]!, $maxAge: Float) { found: executions(keys: $keys, maxAge: $maxAge) "
            f"{{ {_or_error('Execution', definitions=definitions)} }} }}",
            keys=keys,
            maxAge=max_age,
        )
        return [_even(item) for item in found]

    async def find(self, execution_id: str, *, definitions: bool = False, **where: Any) -> Any:
        fields = selection("FindExecutionResult", definitions=definitions)
        found = await self._ask(
            "query($executionId: ExecutionId!, $workflowId: WorkflowId, $accountIds: [AccountId!], "
            "$regions: [Region!]) { found: findExecution(executionId: $executionId, workflowId: $workflowId, "
            f"accountIds: $accountIds, regions: $regions) {{ {fields} }} }}",
            executionId=execution_id,
            **where,
        )
        return _even(found)

    async def list_executions(self, *, details: bool = False, definitions: bool = False, **page: Any) -> Any:
        fields = selection("ExecutionConnection", definitions=definitions, details=details or definitions)
        found = await self._ask(
            "query($filter: ExecutionFilter, $first: Int, $after: String) { found: inProgressExecutions("
            f"filter: $filter, first: $first, after: $after) {{ {fields} }} }}",
            **page,
        )
        return _page(found)

    async def get_workflow(self, key: dict[str, str], max_age: float | None = None) -> Any:
        found = await self._ask(
            "query($key: WorkflowKey!, $maxAge: Float) { found: workflowOrError(key: $key, maxAge: $maxAge) "
            f"{{ {_or_error('Workflow')} }} }}",
            key=key,
            maxAge=max_age,
        )
        return _even(found)

    async def list_workflows(self, *, details: bool = False, **page: Any) -> Any:
        fields = selection("WorkflowConnection", definitions=False, details=details)
        found = await self._ask(
            "query($filter: WorkflowFilter, $first: Int, $after: String) { found: workflows("
            f"filter: $filter, first: $first, after: $after) {{ {fields} }} }}",
            **page,
        )
        return _page(found)

    async def accounts(self) -> Any:
        return _even(await self._ask("{ found: accounts { accountId alias regions } }"))

    async def _ask(self, query: str, **variables: Any) -> Any:
        answer = await self._gateway.ask(query, **variables)
        errors = answer.get("errors", [])
        told = [error for error in errors if "definition" not in error.get("path", ())]
        if told:
            raise Failed({"message": told[0]["message"]} | told[0]["extensions"])
        found = answer["data"]["found"]
        for error in errors:  # in errors[] here, a field in gRPC
            step = found
            for part in error["path"][1:-1]:
                step = step[part]
            step["definitionError"] = {"message": error["message"]} | error["extensions"]
        return found


class RpcDoor:
    """The same, through gRPC."""

    def __init__(self, stub: ExecutionServiceAsyncStub) -> None:
        self.stub = stub

    async def get(
        self, key: dict[str, str], max_age: float | None = None, *, definitions: bool = False
    ) -> Any:
        request = pb.GetExecutionRequest(
            key=_execution_key(key), max_age=_duration(max_age), with_definitions=definitions
        )
        try:
            return _even(to_json((await _ask(self.stub.GetExecution(request))).execution))
        except Failed as failed:
            return _failure_as_even(failed)

    async def batch(
        self, keys: Sequence[dict[str, str]], max_age: float | None = None, *, definitions: bool = False
    ) -> list[Any]:
        request = pb.BatchGetExecutionsRequest(
            keys=[_execution_key(key) for key in keys],
            max_age=_duration(max_age),
            with_definitions=definitions,
        )
        found: dict[int, Any] = {}
        try:
            async for answer in self.stub.BatchGetExecutions(request):
                assert answer.index not in found
                found[answer.index] = _even(
                    to_json(answer.error if answer.HasField("error") else answer.execution)
                )
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from error
        return [found[index] for index in range(len(keys))]

    async def find(self, execution_id: str, *, definitions: bool = False, **where: Any) -> Any:
        request = pb.FindExecutionRequest(
            execution_id=execution_id, with_definitions=definitions, **_snake(where)
        )
        return _even(to_json(await _ask(self.stub.FindExecution(request))))

    async def list_executions(self, *, details: bool = False, definitions: bool = False, **page: Any) -> Any:
        request = pb.ListExecutionsRequest(
            **_page_request(page, pb.ExecutionFilter), with_details=details, with_definitions=definitions
        )
        found = _even(to_json(await _ask(self.stub.ListExecutions(request))))
        return _rpc_page(found, "executions", "execution")

    async def get_workflow(self, key: dict[str, str], max_age: float | None = None) -> Any:
        request = pb.GetWorkflowRequest(
            key=workflow_pb2.WorkflowKey(**_snake(key)), max_age=_duration(max_age)
        )
        try:
            return _even(to_json((await _ask(self.stub.GetWorkflow(request))).workflow))
        except Failed as failed:
            return _failure_as_even(failed)

    async def list_workflows(self, *, details: bool = False, **page: Any) -> Any:
        request = pb.ListWorkflowsRequest(**_page_request(page, pb.WorkflowFilter), with_details=details)
        found = _even(to_json(await _ask(self.stub.ListWorkflows(request))))
        return _rpc_page(found, "workflows", "workflow")

    async def accounts(self) -> Any:
        return _even(to_json(await _ask(self.stub.ListAccounts(pb.ListAccountsRequest()))))["accounts"]


Door = GraphQLDoor | RpcDoor


@asynccontextmanager
async def both_doors(
    service: server.Service | Started, token: str | None = None
) -> AsyncIterator[tuple[GraphQLDoor, RpcDoor]]:
    async with calling(service.url, token) as gateway, rpc(service, token) as stub:
        yield GraphQLDoor(gateway), RpcDoor(stub)


@asynccontextmanager
async def rpc(
    service: server.Service | Started,
    token: str | None = None,
    *,
    tls: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[ExecutionServiceAsyncStub]:
    interceptors: list[Any] = [] if token is None else [_UnaryWith(token), _StreamWith(token)]
    async with (
        grpc.aio.insecure_channel(service.grpc, interceptors=interceptors)
        if tls is None
        else grpc.aio.secure_channel(service.grpc, tls, interceptors=interceptors)
    ) as channel:
        yield ExecutionServiceStub(channel)


class _With:
    """Sends a bearer token with each call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def _told(self, details: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()), ("authorization", f"Bearer {self._token}"))
        return details._replace(metadata=metadata)


class _UnaryWith(_With, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._told(details), request)


class _StreamWith(_With, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return await continuation(self._told(details), request)


async def _ask(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _failed(error) from error


def _failed(error: grpc.aio.AioRpcError) -> Failed:
    return Failed(told(error), error.code())


def details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """A status's details, by type name."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it wants but metadata, code and details
    assert status is not None, error
    found: dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        found[name] = getattr(error_details_pb2, name)()
        packed.Unpack(found[name])
    return found


def told(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """A call's failure in the form of GraphQL's error extensions."""
    found = details(error)
    info = found["ErrorInfo"]
    assert info.domain == "transfer-gateway"
    told: dict[str, Any] = {"code": info.reason, "message": error.details(), **info.metadata}
    told["retryable"] = info.metadata["retryable"] == "true"
    if "RetryInfo" in found:
        told["retryAfter"] = found["RetryInfo"].retry_delay.ToNanoseconds() / 1e9
    if "BadRequest" in found:
        (violation,) = found["BadRequest"].field_violations
        told["field"] = violation.field
    return told


def to_json(message: Message) -> Any:
    """A message in GraphQL's form: camelCase names, null for absent fields, enum values without prefix."""
    return {_camel(field.name): _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_value(field, inner) for inner in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(field, value)


def _value(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_value(field.enum_type, value)
    if isinstance(value, Timestamp):
        return value.ToDatetime().isoformat()
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e9
    return to_json(value) if field.message_type is not None else value


def enum_value(kind: EnumDescriptor, number: int) -> str:
    return str(kind.values_by_number[number].name).removeprefix(
        re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper() + "_"
    )


def _even(value: Any) -> Any:
    """Without inherent differences: gRPC has no absent lists, and times and ids differ from call to call."""
    if isinstance(value, list):
        return [_even(inner) for inner in value] or None
    if not isinstance(value, dict):
        return value
    renamed = value | (value["target"] or {}) if "target" in value and "code" in value else value
    if "code" in renamed:
        renamed = dict.fromkeys(("accountId", "region", "retryAfter", "awsRequestId")) | renamed
        renamed["awsRequestId"] = bool(renamed["awsRequestId"])
        renamed.pop("requestId", None)
    evened = {
        name: _even(inner)
        for name, inner in renamed.items()
        if name not in {"observedAt", "__typename", "cursor", "target"}
    }
    if "rawStepType" in evened:
        evened = {"definition": None, "definitionError": None} | evened
    if "alias" in evened:
        evened.pop("id", None)  # an account's, its account id again
    return evened


def _page(found: dict[str, Any]) -> Any:
    return {
        "entries": [
            {"node": _whole(_even(edge["node"])), "detailsError": _even(edge["detailsError"])}
            for edge in found["edges"]
        ],
        "next": found["pageInfo"]["endCursor"] if found["pageInfo"]["hasNextPage"] else None,
        "failures": _even(found["targetFailures"]),
    }


def _rpc_page(found: dict[str, Any], entries: str, node: str) -> Any:
    return {
        "entries": [
            {"node": _whole(entry[node]), "detailsError": entry["detailsError"]}
            for entry in found[entries] or ()
        ],
        "next": found["nextPageToken"],
        "failures": found["targetFailures"],
    }


def _whole(node: dict[str, Any]) -> dict[str, Any]:
    """Fields that GraphQL did not request are absent in gRPC."""
    kind = "Execution" if "executionId" in node else "Workflow"
    return dict.fromkeys(_DETAILS[kind]) | node


def _failure_as_even(failed: Failed) -> Any:
    if failed.error["code"] in {"BAD_USER_INPUT", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL_SERVER_ERROR"}:
        raise failed
    return _even(failed.error)


def _or_error(kind: str, *, definitions: bool = False) -> str:
    return f"__typename ... on {kind} {{ {selection(kind, definitions=definitions)} }} ... on Error {{ {ERROR} }}"


def _execution_key(key: dict[str, str]) -> execution_pb2.ExecutionKey:
    return execution_pb2.ExecutionKey(**_snake(key))


def _page_request(page: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if page.get("filter") is not None:
        wanted = _snake(page["filter"])
        if "statuses" in wanted:
            wanted["statuses"] = [f"EXECUTION_STATUS_{status}" for status in wanted["statuses"]]
        request["filter"] = kind(**wanted)
    if page.get("first") is not None:
        request["page_size"] = page["first"]
    if page.get("after") is not None:
        request["page_token"] = page["after"]
    return request


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def _snake(values: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"(?=[A-Z])", "_", name).lower(): value for name, value in values.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
