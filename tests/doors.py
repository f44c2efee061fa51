"""One client interface for both servers: requests and responses in GraphQL's form.

GraphQL responses are requested with every field; gRPC responses are converted field by field. So anything that only one
of them has shows as a difference.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
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
    from shared_service import SharedService
    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from transfer_gateway import server

GRAPHQL: GraphQLSchema = build_schema()._schema

ERROR = (
    "code message retryable retryAfter target { accountId region } awsRequestId "
    "... on ExecutionNotFound { reason remedy }"
)
_DETAILS = {
    "Execution": {"executionRole", "loggingConfiguration", "posixProfile", "results"},
    "Workflow": {"steps", "onExceptionSteps", "tags", "structuredLogDestinations"},
    "Server": set[str](),
}
# Of executions in progress only the history has these. Selecting them reads it.
_HISTORY = {
    "Execution": {
        "startedAt",
        "endedAt",
        "durationS",
        "ending",
        "stepsDone",
        "failedStep",
        "recordedBy",
    },
    "ExecutionStepResult": {"name", "startedAt", "endedAt", "durationS", "fileLocation"},
}
_TIMES = {"startedAt", "endedAt", "occurredAt", "expiresAt", "since", "completeUntil"}
# Each is a method of its own in gRPC.
JOINED = {("Execution", "events"), ("Execution", "server"), ("Execution", "workflow")}


class Failed(Exception):
    """The whole request failed: its error, and for gRPC its status."""

    def __init__(self, error: dict[str, Any], status: grpc.StatusCode | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.status = status


@cache
def selection(kind: str, *, definitions: bool = False, details: bool = True, history: bool = False) -> str:
    """Every field of a type and of its nested types."""
    found = GRAPHQL.type_map[kind]
    assert isinstance(found, GraphQLObjectType)
    fields = []
    for name, field in found.fields.items():
        inner = get_named_type(field.type)
        if (
            (name == "definition" and not definitions)
            or (name in _DETAILS.get(kind, ()) and not details)
            or (name in _HISTORY.get(kind, ()) and not history)
            or (kind, name) in JOINED
        ):
            continue
        if isinstance(inner, GraphQLScalarType | GraphQLEnumType):
            fields.append(name)
        elif inner.name == "Error":
            fields.append(f"{name} {{ {ERROR} }}")
        else:
            below = selection(inner.name, definitions=definitions, details=details, history=history)
            fields.append(f"{name} {{ {below} }}")
    return " ".join(fields)


class GraphQLDoor:
    """Everything that both servers can do, through GraphQL. `history`: with what only the history has."""

    def __init__(self, gateway: Gateway, *, history: bool = False) -> None:
        self.gateway = gateway
        self._history = history

    async def get(
        self,
        key: dict[str, str],
        max_age: float | None = None,
        *,
        definitions: bool = False,
        in_progress_only: bool = False,
    ) -> Any:
        found = await self._ask(
            "query($key: ExecutionKey!, $maxAge: Float, $only: Boolean) { found: executionOrError("
            "key: $key, maxAge: $maxAge, inProgressOnly: $only) "
            f"{{ {self._or_error('Execution', definitions=definitions)} }} }}",
            key=key,
            maxAge=max_age,
            only=in_progress_only,
        )
        return self._even(found)

    async def batch(
        self,
        keys: Sequence[dict[str, str]],
        max_age: float | None = None,
        *,
        definitions: bool = False,
        in_progress_only: bool = False,
    ) -> list[Any]:
        found = await self._ask(
            "query($keys: [ExecutionKey!]!, $maxAge: Float, $only: Boolean) { found: executions("
            "keys: $keys, maxAge: $maxAge, inProgressOnly: $only) "
            f"{{ {self._or_error('Execution', definitions=definitions)} }} }}",
            keys=keys,
            maxAge=max_age,
            only=in_progress_only,
        )
        return [self._even(item) for item in found]

    async def find(
        self, execution_id: str, *, definitions: bool = False, in_progress_only: bool = False, **where: Any
    ) -> Any:
        fields = selection("FindExecutionResult", definitions=definitions, history=self._history)
        found = await self._ask(
            "query($executionId: ExecutionId!, $workflowId: WorkflowId, $accountIds: [AccountId!], "
            "$regions: [Region!], $only: Boolean) { found: findExecution(executionId: $executionId, "
            "workflowId: $workflowId, accountIds: $accountIds, regions: $regions, inProgressOnly: $only) "
            f"{{ {fields} }} }}",
            executionId=execution_id,
            only=in_progress_only,
            **where,
        )
        return self._even(found)

    async def events(self, key: dict[str, str], first: int | None = None, after: str | None = None) -> Any:
        """A page of an execution's events; None if the execution itself is not found."""
        fields = selection("ExecutionEvent")
        found = await self._ask(
            "query($key: ExecutionKey!, $first: Int! = 100, $after: String) { found: execution(key: $key) { "
            f"events(first: $first, after: $after) {{ edges {{ cursor node {{ {fields} }} }} "
            "pageInfo { endCursor hasNextPage } } } }",
            key=key,
            after=after,
            **({} if first is None else {"first": first}),
        )
        page = found["events"]
        return {
            "events": [self._even(edge["node"]) for edge in page["edges"]],
            "next": page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None,
        }

    async def list_servers(self, **page: Any) -> Any:
        fields = selection("ServerConnection")
        found = await self._ask(
            "query($filter: ServerFilter, $first: Int, $after: String) { found: servers("
            f"filter: $filter, first: $first, after: $after) {{ {fields} }} }}",
            **page,
        )
        return self._page(found)

    async def list_executions(self, *, details: bool = False, definitions: bool = False, **page: Any) -> Any:
        fields = selection(
            "ExecutionConnection",
            definitions=definitions,
            details=details or definitions,
            history=self._history,
        )
        found = await self._ask(
            "query($filter: ExecutionFilter, $first: Int, $after: String, $maxAge: Float) { "
            "found: inProgressExecutions(filter: $filter, first: $first, after: $after, maxAge: $maxAge) "
            f"{{ {fields} }} }}",
            **page,
        )
        return self._page(found) | {"hidden": found["hiddenFilters"]}

    async def get_workflow(self, key: dict[str, str], max_age: float | None = None) -> Any:
        found = await self._ask(
            "query($key: WorkflowKey!, $maxAge: Float) { found: workflowOrError(key: $key, maxAge: $maxAge) "
            f"{{ {self._or_error('Workflow')} }} }}",
            key=key,
            maxAge=max_age,
        )
        return self._even(found)

    async def list_workflows(self, *, details: bool = False, **page: Any) -> Any:
        fields = selection("WorkflowConnection", definitions=False, details=details)
        found = await self._ask(
            "query($filter: WorkflowFilter, $first: Int, $after: String) { found: workflows("
            f"filter: $filter, first: $first, after: $after) {{ {fields} }} }}",
            **page,
        )
        return self._page(found)

    async def search(
        self,
        wanted: dict[str, Any] | None = None,
        order: str = "NEWEST_FIRST",
        *,
        counts: bool = False,
        coverage: bool = False,
        **page: Any,
    ) -> Any:
        """A page: `first`, `after`, `last`, `before`."""
        extra = f"countsByStatus {{ {selection('StatusCounts')} }}" if counts else ""
        if coverage:
            extra += (
                f" coverage {{ {selection('TargetCoverage')} }} "
                f"coverageSummary {{ {selection('CoverageSummary')} }}"
            )
        found = await self._ask(
            "query($filter: SearchFilter!, $order: SearchOrder, $first: Int, $after: String, $last: Int, "
            "$before: String) { found: searchExecutions(filter: $filter, orderBy: $order, first: $first, "
            "after: $after, last: $last, before: $before) { "
            f"edges {{ cursor node {{ {selection('Execution', history=True)} }} }} "
            "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } "
            f"hiddenFilters {{ {selection('HiddenFilter')} }} {extra} }} }}",
            filter=wanted or {},
            order=order,
            **page,
        )
        info = found["pageInfo"]
        return {
            "executions": [_even(edge["node"], history=True) for edge in found["edges"]],
            "next": info["endCursor"] if info["hasNextPage"] else None,
            "previous": info["startCursor"] if info["hasPreviousPage"] else None,
            "counts": _even(found.get("countsByStatus"), history=True),
            "coverage": _even(found.get("coverage"), history=True),
            "summary": found.get("coverageSummary"),
            "hidden": found["hiddenFilters"],
        }

    async def coverage(self, **page: Any) -> Any:
        found = await self._ask(
            "query($filter: CoverageFilter, $first: Int, $after: String) { found: coverage("
            "filter: $filter, first: $first, after: $after) { edges { cursor node "
            f"{{ {selection('TargetCoverage')} }} }} pageInfo {{ hasNextPage endCursor }} "
            f"summary {{ {selection('CoverageSummary')} }} }} }}",
            **page,
        )
        return {
            "coverage": [_even(edge["node"], history=True) for edge in found["edges"]],
            "next": found["pageInfo"]["endCursor"] if found["pageInfo"]["hasNextPage"] else None,
            "summary": found["summary"],
        }

    async def viewer(self) -> Any:
        return self._even(await self._ask(f"{{ found: viewer {{ {selection('Viewer')} }} }}"))

    async def accounts(self) -> Any:
        return self._even(await self._ask("{ found: accounts { accountId alias regions } }"))

    async def _ask(self, query: str, **variables: Any) -> Any:
        answer = await self.gateway.ask(query, **variables)
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

    def _or_error(self, kind: str, *, definitions: bool = False) -> str:
        fields = selection(kind, definitions=definitions, history=self._history)
        return f"__typename ... on {kind} {{ {fields} }} ... on Error {{ {ERROR} }}"

    def _even(self, value: Any) -> Any:
        return _even(value, history=self._history)

    def _page(self, found: dict[str, Any]) -> Any:
        return {
            "entries": [
                {
                    "node": _whole(self._even(edge["node"])),
                    "detailsError": self._even(edge.get("detailsError")),
                }
                for edge in found["edges"]
            ],
            "next": found["pageInfo"]["endCursor"] if found["pageInfo"]["hasNextPage"] else None,
            "failures": self._even(found["targetFailures"]),
        }


class RpcDoor:
    """The same, through gRPC."""

    def __init__(self, stub: ExecutionServiceAsyncStub, *, history: bool = False) -> None:
        self.stub = stub
        self._history = history

    async def get(
        self,
        key: dict[str, str],
        max_age: float | None = None,
        *,
        definitions: bool = False,
        in_progress_only: bool = False,
    ) -> Any:
        request = pb.GetExecutionRequest(
            key=_execution_key(key),
            max_age=_duration(max_age),
            with_definitions=definitions,
            with_history=self._history,
            in_progress_only=in_progress_only,
        )
        try:
            return self._even(to_json((await _ask(self.stub.GetExecution(request))).execution))
        except Failed as failed:
            return _failure_as_even(failed)

    async def batch(
        self,
        keys: Sequence[dict[str, str]],
        max_age: float | None = None,
        *,
        definitions: bool = False,
        in_progress_only: bool = False,
    ) -> list[Any]:
        request = pb.BatchGetExecutionsRequest(
            keys=[_execution_key(key) for key in keys],
            max_age=_duration(max_age),
            with_definitions=definitions,
            with_history=self._history,
            in_progress_only=in_progress_only,
        )
        found: dict[int, Any] = {}
        try:
            async for answer in self.stub.BatchGetExecutions(request):
                assert answer.index not in found
                found[answer.index] = self._even(
                    to_json(answer.error if answer.HasField("error") else answer.execution)
                )
        except grpc.aio.AioRpcError as error:
            raise _failed(error) from error
        return [found[index] for index in range(len(keys))]

    async def find(
        self, execution_id: str, *, definitions: bool = False, in_progress_only: bool = False, **where: Any
    ) -> Any:
        request = pb.FindExecutionRequest(
            execution_id=execution_id,
            with_definitions=definitions,
            with_history=self._history,
            in_progress_only=in_progress_only,
            **_snake(where),
        )
        return self._even(to_json(await _ask(self.stub.FindExecution(request))))

    async def events(self, key: dict[str, str], first: int | None = None, after: str | None = None) -> Any:
        request = pb.ListExecutionEventsRequest(
            key=_execution_key(key), **_page_request({"first": first, "after": after}, None)
        )
        found = to_json(await _ask(self.stub.ListExecutionEvents(request)))
        return {
            "events": [self._even(event) for event in found["events"]],
            "next": found["nextPageToken"],
        }

    async def list_servers(self, **page: Any) -> Any:
        request = pb.ListServersRequest(**_page_request(page, pb.ServerFilter))
        found = to_json(await _ask(self.stub.ListServers(request)))
        found["servers"] = [{"server": server, "detailsError": None} for server in found["servers"]]
        return _rpc_page(self._even(found), "servers", "server")

    async def list_executions(self, *, details: bool = False, definitions: bool = False, **page: Any) -> Any:
        request = pb.ListExecutionsRequest(
            **_page_request(page, pb.ExecutionFilter),
            with_details=details,
            with_definitions=definitions,
            with_history=self._history,
            max_age=_duration(page.get("maxAge")),
        )
        found = self._even(to_json(await _ask(self.stub.ListExecutions(request))))
        hidden = [
            each | {"filterField": _camel(each["filterField"])} for each in found["hiddenFilters"] or ()
        ]
        return _rpc_page(found, "executions", "execution") | {"hidden": hidden}

    async def get_workflow(self, key: dict[str, str], max_age: float | None = None) -> Any:
        request = pb.GetWorkflowRequest(
            key=workflow_pb2.WorkflowKey(**_snake(key)), max_age=_duration(max_age)
        )
        try:
            return self._even(to_json((await _ask(self.stub.GetWorkflow(request))).workflow))
        except Failed as failed:
            return _failure_as_even(failed)

    async def list_workflows(self, *, details: bool = False, **page: Any) -> Any:
        request = pb.ListWorkflowsRequest(**_page_request(page, pb.WorkflowFilter), with_details=details)
        found = self._even(to_json(await _ask(self.stub.ListWorkflows(request))))
        return _rpc_page(found, "workflows", "workflow")

    async def search(
        self,
        wanted: dict[str, Any] | None = None,
        order: str = "NEWEST_FIRST",
        *,
        counts: bool = False,
        coverage: bool = False,
        **page: Any,
    ) -> Any:
        backwards = page.get("last") is not None or page.get("before") is not None
        size, token = ("last", "before") if backwards else ("first", "after")
        request = pb.SearchExecutionsRequest(
            filter=_search_filter(wanted or {}),
            order_by=pb.SearchOrder.Value(f"SEARCH_ORDER_{order}"),
            page_size=page.get(size),
            page_token=page.get(token),
            backwards=backwards,
            with_counts=counts,
            with_coverage=coverage,
        )
        found = to_json(await _ask(self.stub.SearchExecutions(request)))
        return {
            "executions": [_even(each, history=True) for each in found["executions"]],
            "next": found["nextPageToken"],
            "previous": found["previousPageToken"],
            "counts": _even(found["countsByStatus"], history=True),
            "coverage": _even(found["coverage"], history=True),
            "summary": found["coverageSummary"],
            "hidden": [
                each | {"filterField": _camel(each["filterField"])} for each in found["hiddenFilters"]
            ],
        }

    async def coverage(self, **page: Any) -> Any:
        request = pb.ListCoverageRequest(**_page_request(page, pb.CoverageFilter))
        found = to_json(await _ask(self.stub.ListCoverage(request)))
        return {
            "coverage": [_even(each, history=True) for each in found["coverage"]],
            "next": found["nextPageToken"],
            "summary": found["summary"],
        }

    async def viewer(self) -> Any:
        return self._even(to_json((await _ask(self.stub.GetViewer(pb.GetViewerRequest()))).viewer))

    async def accounts(self) -> Any:
        return self._even(to_json(await _ask(self.stub.ListAccounts(pb.ListAccountsRequest()))))["accounts"]

    def _even(self, value: Any) -> Any:
        return _even(value, history=self._history)


Door = GraphQLDoor | RpcDoor


@asynccontextmanager
async def both_doors(
    service: server.Service | SharedService | Started, token: str | None = None, *, history: bool = False
) -> AsyncIterator[tuple[GraphQLDoor, RpcDoor]]:
    async with calling(service.url, token) as gateway, rpc(service, token) as stub:
        yield GraphQLDoor(gateway, history=history), RpcDoor(stub, history=history)


@asynccontextmanager
async def rpc(
    service: server.Service | SharedService | Started,
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
    if "notFoundReason" in told:
        told["reason"] = told.pop("notFoundReason")
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
        return value.ToDatetime(UTC).isoformat()
    if isinstance(value, Duration):
        return value.ToNanoseconds() / 1e9
    return to_json(value) if field.message_type is not None else value


def enum_value(kind: EnumDescriptor, number: int) -> str:
    return str(kind.values_by_number[number].name).removeprefix(
        re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper() + "_"
    )


def _even(value: Any, *, history: bool) -> Any:
    """Without inherent differences: gRPC has no absent lists, and times and ids differ from call to call."""
    if isinstance(value, list):
        return [_even(inner, history=history) for inner in value] or None
    if not isinstance(value, dict):
        return value
    renamed = value | (value["target"] or {}) if "target" in value and "code" in value else value
    if "code" in renamed:
        missing = dict.fromkeys(("accountId", "region", "retryAfter", "awsRequestId", "reason", "remedy"))
        renamed = missing | renamed
        renamed["awsRequestId"] = bool(renamed["awsRequestId"])
        renamed.pop("requestId", None)
    kind = "Execution" if "executionId" in value else "ExecutionStepResult" if "outputs" in value else ""
    left_out = set() if history else _HISTORY.get(kind, set())
    evened = {
        name: _even(datetime.fromisoformat(inner) if name in _TIMES and inner else inner, history=history)
        for name, inner in renamed.items()
        if name not in {"observedAt", "__typename", "cursor", "target"} | left_out
    }
    if "rawStepType" in evened and "outputs" in evened:
        evened = {"definition": None, "definitionError": None} | evened
    if "alias" in evened:
        evened.pop("id", None)  # an account's, its account id again
    return evened


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
    kind = "Execution" if "executionId" in node else "Server" if "serverId" in node else "Workflow"
    return dict.fromkeys(_DETAILS[kind]) | node


def _failure_as_even(failed: Failed) -> Any:
    if failed.error["code"] in {"BAD_USER_INPUT", "UNAUTHENTICATED", "FORBIDDEN", "INTERNAL_SERVER_ERROR"}:
        raise failed
    return _even(failed.error, history=True)


def _execution_key(key: dict[str, str]) -> execution_pb2.ExecutionKey:
    return execution_pb2.ExecutionKey(**_snake(key))


def _page_request(page: dict[str, Any], kind: type[Any] | None) -> dict[str, Any]:
    request: dict[str, Any] = {}
    if kind is not None and page.get("filter") is not None:
        wanted = _snake(page["filter"])
        if "statuses" in wanted:
            wanted["statuses"] = [f"EXECUTION_STATUS_{status}" for status in wanted["statuses"]]
        request["filter"] = kind(**wanted)
    if page.get("first") is not None:
        request["page_size"] = page["first"]
    if page.get("after") is not None:
        request["page_token"] = page["after"]
    return request


def _search_filter(wanted: dict[str, Any]) -> pb.SearchFilter:
    given = _snake(wanted)
    for name, prefix in (("statuses", "EXECUTION_STATUS_"), ("error_types", "STEP_ERROR_TYPE_")):
        if name in given:
            given[name] = [value if isinstance(value, int) else prefix + value for value in given[name]]
    for name in given.keys() & {"started_after", "started_before", "ended_after", "ended_before"}:
        at, given[name] = given[name], Timestamp()
        given[name].FromJsonString(at)
    return pb.SearchFilter(**given)


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
