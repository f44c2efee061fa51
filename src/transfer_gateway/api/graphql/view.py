"""GraphQL over HTTP: what a request must look like, and the status and form of its answer.

Source: the GraphQL-over-HTTP draft. A client that accepts `application/json` alone gets 200 even for a
document that can't be run, as the draft asks for such clients; every other client gets 400.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.errors import to_errors
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.domain.errors import ErrorCode

if TYPE_CHECKING:
    from cross_web import AsyncHTTPRequestAdapter
    from starlette.types import Message, Receive, Scope, Send
    from starlette.websockets import WebSocket
    from strawberry.http import GraphQLHTTPResponse
    from strawberry.http.base import BaseRequestProtocol
    from strawberry.types import ExecutionResult

    from transfer_gateway.core.gateway import Gateway

_RESPONSE_JSON = "application/graphql-response+json"
_PARAMETERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string"),
    ("operationName", str, "a string"),
    ("variables", dict, "an object"),
    ("extensions", dict, "an object"),
)


class GraphQLView(GraphQL[Context, None]):
    """The ASGI application behind /graphql."""

    def __init__(self, gateway: Gateway, *, request_timeout_s: float, max_body_bytes: int) -> None:
        super().__init__(
            build_schema(), graphql_ide=None, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL]
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
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        deadline = asyncio.get_running_loop().time() + self._request_timeout_s
        return Context(self._gateway, deadline, request_id=request.scope["state"]["request_id"])

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The answer's head, while the body is being made."""
        accepts = request.headers.get("accept", "")
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
            data = self.parse_json(await request.get_body())
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


def error_response(status: int, message: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> Response:
    """A failure of the HTTP request itself, in GraphQL's form, so that clients read one form only."""
    body = {"errors": [{"message": message, "extensions": {"code": code}}]}
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
