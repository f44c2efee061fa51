"""GraphQL over HTTP: what a request must look like, and the status and form of its answer.

Source: the GraphQL-over-HTTP draft. A client that accepts `application/json` alone gets 200 even for a
document that can't be run, as the draft asks for such clients; every other client gets 400.
"""

from __future__ import annotations

import asyncio
import gzip
import math
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import orjson
from cross_web import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from transfer_gateway.api.errors import TABLE, log_failure
from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.errors import to_answer, to_extensions
from transfer_gateway.api.graphql.operations import Operations
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.api.graphql.trusted import TrustedDocuments
from transfer_gateway.api.graphql.websocket import OperationsOverWebSocket, SocketContext, TextSocket
from transfer_gateway.domain.errors import ErrorCode, Forbidden, GatewayError
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cross_web import AsyncHTTPRequestAdapter
    from starlette.types import Message, Receive, Scope, Send
    from starlette.websockets import WebSocket
    from strawberry.http import GraphQLHTTPResponse
    from strawberry.http.base import BaseRequestProtocol
    from strawberry.types import ExecutionResult

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.graphql.limits import Limits
    from transfer_gateway.core.reader import Reader
    from transfer_gateway.telemetry import Requests

_RESPONSE_JSON = "application/graphql-response+json"
_VARY = "accept, accept-encoding"
_FAILED = 400  # and above
_OPERATIONS_PER_SOCKET = 50  # at a time
_WORTH_COMPRESSING, _LONG_TO_COMPRESS, _COMPRESSION = 8192, 131_072, 4  # bytes, bytes, of zlib's 9 levels
_WATCH_AFTER_S = 0.25
_REFUSED = re.compile(r"(^|;)\s*q\s*=\s*0(\.0*)?\s*(;|$)")  # a media range's parameters, with q=0 among them
_HEADERS = {
    401: {"www-authenticate": "Bearer"},
    405: {"allow": "GET, POST"},
    408: {"connection": "close"},
}  # by status, as RFC 9110 has it
_PARAMETERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string"),
    ("operationName", str, "a string"),
    ("documentId", str, "a string"),
    ("variables", dict, "an object"),
    ("extensions", dict, "an object"),
)


@dataclass(frozen=True, slots=True)
class GraphQLOptions:
    """What an operator sets of this door. `cors_origins`: whose pages may call from a browser."""

    limits: Limits
    request_timeout_s: float
    max_body_bytes: int
    cors_origins: tuple[str, ...] = ()
    introspection: bool = True
    suggestions: bool = True
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)


class GraphQLView(GraphQL[Context, None]):
    """The ASGI application behind /graphql. Raises, when built: ConfigurationError for trusted documents."""

    websocket_adapter_class = TextSocket
    graphql_transport_ws_handler_class = OperationsOverWebSocket

    def __init__(self, admission: Admission, options: GraphQLOptions, requests: Requests) -> None:
        schema = build_schema()
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=options.request_timeout_s),
            max_subscriptions_per_connection=_OPERATIONS_PER_SOCKET,
            allowed_origins=options.cors_origins,
        )
        self.admission = admission
        self.requests = requests
        self._options = options
        self.operations = Operations(
            schema, options.limits, introspection=options.introspection, suggestions=options.suggestions
        )
        self.operations.check_trusted(options.trusted.texts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, _limited(receive, self._options.max_body_bytes))
        try:
            self._refuse_foreign_pages(request)
            async with while_client_waits(receive):
                response = await self.run(request)
        except HTTPException as error:
            response = error_response(error.status_code, error.reason)
            response.headers.update(_HEADERS.get(error.status_code, {}))
        except GatewayError as error:
            log_failure(error)
            status, told = TABLE[error.code].http_status, to_extensions(error)
            response = error_response(status, error.message, **told)
            response.headers.update(_HEADERS.get(status, {}))
            if "retryAfter" in told:
                response.headers["retry-after"] = str(math.ceil(told["retryAfter"]))
        if response.status_code >= _FAILED and _RESPONSE_JSON in _named(request, "accept"):
            response.headers["content-type"] = _RESPONSE_JSON
            response.headers["vary"] = _VARY
        await (await _compressed(request, response))(scope, receive, send)

    def _refuse_foreign_pages(self, request: Request) -> None:
        """Raises: Forbidden for what a page of another site makes a browser send, such as an image's GET.

        It comes with the reader's place in the network. Browsers tell it, and no page can make them not.
        """
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"} and (
            request.headers.get("origin") not in self._options.cors_origins
        ):
            raise Forbidden("Pages of other origins may not call, but for those in HTTP_CORS_ORIGINS.")

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        if request.scope["type"] == "websocket":
            return SocketContext(request.headers.get("authorization"), _address(request))  # type: ignore[return-value]  # until an operation
        timeout_s = _asked_timeout_s(request.headers.get("x-request-timeout"))
        reader = await self.admission.enter(
            lambda: request.headers.get("authorization"), "graphql", lambda: _address(request)
        )
        return self.context_of(reader, request.scope["state"]["request_id"], timeout_s)

    def context_of(self, reader: Reader, request_id: str, timeout_s: float = math.inf) -> Context:
        timeout_s = min(self._options.request_timeout_s, timeout_s)
        return Context(reader, asyncio.get_running_loop().time() + timeout_s, request_id)

    async def on_ws_connect(self, context: Context) -> Any:  # noqa: ANN401  the payload of the acknowledgement, or none
        await cast("SocketContext", context).connect(self.admission)
        return await super().on_ws_connect(context)

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The answer's head, while the body is being made."""
        accepts = _named(request, "accept")
        modern = _RESPONSE_JSON in accepts
        head = Response(
            media_type=_RESPONSE_JSON if modern else "application/json",
            headers={"cache-control": "no-store", "vary": _VARY},
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
            timeout_s = self._options.request_timeout_s
            try:
                async with asyncio.timeout(timeout_s):
                    body = await request.get_body()
            except TimeoutError:
                raise HTTPException(408, f"The body did not arrive within {timeout_s:g} s.") from None
            data = self.parse_json(body)
        return self.read(data)

    def read(self, data: object) -> GraphQLRequestData:
        """A request of its JSON. Raises: HTTPException, BadUserInput, Forbidden."""
        if not isinstance(data, dict):
            raise HTTPException(
                400, "The body must be one JSON object with `query` and, optionally, `variables`."
            )
        for name, kind, form in _PARAMETERS:
            if data.get(name) is not None and not isinstance(data[name], kind):
                raise HTTPException(400, f"`{name}` must be {form}, or absent.")
        extensions = data.get("extensions")
        query = self._options.trusted.text(data.get("query") or None, data.get("documentId"), extensions)
        if not query:
            raise HTTPException(400, "`query` is missing: it holds the GraphQL document.")
        return GraphQLRequestData(
            query=query,
            variables=data.get("variables"),
            operation_name=data.get("operationName"),
            extensions=extensions,
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
        return await self.operations.run(request_data, context)

    def should_render_graphql_ide(self, request: BaseRequestProtocol) -> bool:
        """Never: Strawberry's own page loads scripts from elsewhere."""
        return False

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer = to_answer(result, request.scope["state"]["request_id"])
        if "data" not in answer:
            request.state.head.status_code = request.state.refuse_with
        return answer

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


def _address(request: Request | WebSocket) -> str | None:
    return request.client.host if request.client else None


def _asked_timeout_s(header: str | None) -> float:
    """A caller may want its answer sooner than we would take for it."""
    try:
        timeout_s = float(header) if header is not None else math.inf
    except ValueError:
        timeout_s = math.nan
    if not timeout_s > 0:
        raise HTTPException(400, "X-Request-Timeout must be a number of seconds, more than 0.")
    return timeout_s


def _named(request: Request | WebSocket, header: str) -> set[str]:
    """What the client names in that header, such as media ranges, without what it refuses with q=0."""
    items = ",".join(request.headers.getlist(header)).lower().split(",")
    named = (item.partition(";") for item in items)
    return {name.strip() for name, _, parameters in named if not _REFUSED.search(parameters)}


async def _compressed(request: Request, response: Response) -> Response:
    """The same with its body compressed, if it is large and the client can read that."""
    body = response.body
    if len(body) >= _WORTH_COMPRESSING and "gzip" in _named(request, "accept-encoding"):
        compress = partial(gzip.compress, body, compresslevel=_COMPRESSION, mtime=0)
        # zlib lets other threads run.
        response.body = await asyncio.to_thread(compress) if len(body) >= _LONG_TO_COMPRESS else compress()
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response


@asynccontextmanager
async def while_client_waits(receive: Receive) -> AsyncIterator[None]:
    """Cancels what runs in it when the client has left: nobody would read the answer, but AWS be asked for it.

    Quick answers are not worth the watch. Raises: ClientDisconnect.
    """
    loop, answering = asyncio.get_running_loop(), asyncio.current_task()
    watching: asyncio.Task[None] | None = None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        answering.cancel()  # type: ignore[union-attr]  # it runs in a task

    def start() -> None:
        nonlocal watching
        watching = loop.create_task(watch())

    timer = loop.call_later(_WATCH_AFTER_S, start)
    try:
        yield
    except asyncio.CancelledError:
        if not left:
            raise
        answering.uncancel()  # type: ignore[union-attr]  # as above
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()


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
    status: int,
    message: str,
    code: ErrorCode = ErrorCode.BAD_USER_INPUT,
    **extensions: Any,  # noqa: ANN401  JSON
) -> Response:
    """A failure of the HTTP request itself, in GraphQL's form, so that clients read one form only."""
    if (request := current_request()) is not None:
        request.code = code
    body = {"errors": [{"message": message, "extensions": {"code": code, **extensions}}]}
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
