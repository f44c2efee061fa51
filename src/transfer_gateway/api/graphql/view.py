"""GraphQL over HTTP: what a request must look like, and the status and form of its answer.

Source: the GraphQL-over-HTTP draft. A client that accepts `application/json` alone gets 200 even for a
document that can't be run, as the draft asks for such clients; every other client gets 400.
"""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from cross_web import HTTPException
from graphql import GraphQLError, GraphQLSyntaxError, OperationDefinitionNode
from starlette.requests import Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.errors import to_errors
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    from cross_web import AsyncHTTPRequestAdapter
    from graphql import DocumentNode
    from starlette.types import Message, Receive, Scope, Send
    from starlette.websockets import WebSocket
    from strawberry.http import GraphQLHTTPResponse
    from strawberry.http.base import BaseRequestProtocol

    from transfer_gateway.core.gateway import Gateway

_RESPONSE_JSON = "application/graphql-response+json"
_REFUSED = re.compile(r"(^|;)\s*q\s*=\s*0(\.0*)?\s*(;|$)")  # a media range's parameters, with q=0 among them
_HEADERS = {405: {"allow": "GET, POST"}, 408: {"connection": "close"}}  # by status, as RFC 9110 has it
_PARAMETERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string"),
    ("operationName", str, "a string"),
    ("variables", dict, "an object"),
    ("extensions", dict, "an object"),
)


class GraphQLView(GraphQL[Context, None]):
    """The ASGI application behind /graphql."""

    def __init__(self, gateway: Gateway, *, request_timeout_s: float, max_body_bytes: int) -> None:
        schema = build_schema()
        super().__init__(schema, graphql_ide=None, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
        (self._parse,) = (
            extension.cached_parse_document
            for extension in schema.get_extensions()
            if isinstance(extension, ParserCache)
        )
        self._gateway = gateway
        self._request_timeout_s = request_timeout_s
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, _limited(receive, self._max_body_bytes))
        try:
            response = await self.run(request)
        except HTTPException as error:
            response = error_response(error.status_code, error.reason)
            response.headers.update(_HEADERS.get(error.status_code, {}))
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        timeout_s = min(self._request_timeout_s, _asked_timeout_s(request.headers.get("x-request-timeout")))
        deadline = asyncio.get_running_loop().time() + timeout_s
        return Context(self._gateway, deadline, request_id=request.scope["state"]["request_id"])

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The answer's head, while the body is being made."""
        accepts = _accepted(request)
        modern = _RESPONSE_JSON in accepts
        head = Response(
            media_type=_RESPONSE_JSON if modern else "application/json",
            headers={"cache-control": "no-store", "vary": "accept"},
        )
        request.state.head = head
        request.state.refuse_with = 400 if modern or "application/json" not in accepts else 200
        return head

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        if request.method == "GET":
            data: Any = self.parse_query_params(request.query_params)
        else:
            media_type = (request.content_type or "").partition(";")[0].strip().lower()
            if media_type != "application/json":
                raise HTTPException(415, "Content-Type must be application/json.")
            try:
                async with asyncio.timeout(self._request_timeout_s):
                    body = await request.get_body()
            except TimeoutError:
                raise HTTPException(
                    408, f"The body did not arrive within {self._request_timeout_s:g} s."
                ) from None
            data = self.parse_json(body)
        if not isinstance(data, dict):
            raise HTTPException(
                400, "The body must be one JSON object with `query` and, optionally, `variables`."
            )
        for name, kind, form in _PARAMETERS:
            if data.get(name) is not None and not isinstance(data[name], kind):
                raise HTTPException(400, f"`{name}` must be {form}, or absent.")
        if not data.get("query"):
            raise HTTPException(400, "`query` is missing: it holds the GraphQL document.")
        return GraphQLRequestData(
            query=data["query"],
            variables=data.get("variables"),
            operation_name=data.get("operationName"),
            extensions=data.get("extensions"),
        )

    async def execute_single(  # noqa: PLR0917  Strawberry's signature
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        """Strawberry would run the first operation where none is named, and GraphQL forbids that."""
        with suppress(GraphQLSyntaxError, RecursionError):  # the base class says so
            document = self._parse(request_data.query)
            if problem := _operation_problem(document, request_data.operation_name):
                return ExecutionResult(data=None, errors=[GraphQLError(problem)])
        return await super().execute_single(
            request, request_adapter, sub_response, context, root_value, request_data
        )

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Never: there is no page yet, and Strawberry's own loads scripts from elsewhere."""
        return False

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        if not result.errors:
            return {"data": result.data}
        errors = to_errors(result, request.scope["state"]["request_id"])
        if result.data is None and not any("path" in error for error in errors):
            request.state.head.status_code = request.state.refuse_with
            return {"errors": list(errors)}
        return {"data": result.data, "errors": list(errors)}

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        sub_response.body = self.encode_json(response_data)
        sub_response.headers["content-length"] = str(len(sub_response.body))
        return sub_response

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def _asked_timeout_s(header: str | None) -> float:
    """A caller may want its answer sooner than we would take for it."""
    try:
        timeout_s = float(header) if header is not None else math.inf
    except ValueError:
        timeout_s = math.nan
    if not timeout_s > 0:
        raise HTTPException(400, "X-Request-Timeout must be a number of seconds, more than 0.")
    return timeout_s


def _accepted(request: Request | WebSocket) -> set[str]:
    """The media ranges that the client names, without those that it refuses with q=0."""
    ranges = ",".join(request.headers.getlist("accept")).lower().split(",")
    named = (media_range.partition(";") for media_range in ranges)
    return {name.strip() for name, _, parameters in named if not _REFUSED.search(parameters)}


def _operation_problem(document: DocumentNode, operation_name: str | None) -> str | None:
    """Why it can't be told which operation is meant. Source: GraphQL, GetOperation()."""
    names = [
        definition.name.value if definition.name else None
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    if not names:
        return "The document has no operation, such as `query { ... }`, to run."
    if operation_name is None:
        return (
            f"`operationName` is required: the document has {len(names)} operations."
            if len(names) > 1
            else None
        )
    return None if operation_name in names else f'Unknown operation named "{operation_name}".'


def _limited(receive: Receive, max_bytes: int) -> Receive:
    """Starlette's own limit answers in plain text, whatever we would say."""
    read = 0

    async def receive_some() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > max_bytes:
            raise HTTPException(413, f"The body has more than {max_bytes} bytes.")
        return message

    return receive_some


def error_response(
    status: int, message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT, **extensions: str
) -> Response:
    """A failure of the HTTP request itself, in GraphQL's form, so that clients read one form only."""
    body = {"errors": [{"message": message, "extensions": {"code": code, **extensions}}]}
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
