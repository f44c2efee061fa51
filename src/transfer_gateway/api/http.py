"""The HTTP server's application: routes, request ids, and one JSON format for all errors."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from transfer_gateway.api.errors import log_fault
from transfer_gateway.api.executions_page import PATH, executions_routes
from transfer_gateway.api.graphiql_page import GraphiqlPage, graphiql_routes
from transfer_gateway.api.graphql.exchange import error_body, error_response
from transfer_gateway.api.graphql.view import GraphQLView
from transfer_gateway.api.graphql.websocket import sockets
from transfer_gateway.api.health import health_routes
from transfer_gateway.api.metrics import metrics_route
from transfer_gateway.api.overview import overview_route
from transfer_gateway.api.request_headers import RequestHeaders
from transfer_gateway.api.request_id import HEADER
from transfer_gateway.api.request_id import request_id as request_id_of
from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.telemetry import CANCELLED, LOG_IDS, current_request, get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.graphiql_page import GraphiqlOptions
    from transfer_gateway.api.graphql.view import GraphQLOptions
    from transfer_gateway.api.health import Readiness
    from transfer_gateway.api.unread import UnreadBytes
    from transfer_gateway.telemetry import Metrics, Requests, WorkerMetrics

_log = get_logger(__name__)
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d*)?", re.IGNORECASE)
_GRAPHQL = "/graphql"
_PROBES = ("/livez", "/readyz", "/metrics")
_HEADER = HEADER.encode()
_PIECE_BYTES = 65_536
_CONNECTION_LOST = "the handler is closed"  # uvloop's error before it reports a lost connection
_RPC_PATHS = ("/transfer_api.", "/grpc.")
_NOT_GRPC = (
    "gRPC has its own port (TRANSFER_GATEWAY_GRPC_PORT), over HTTP/2. gRPC-Web and Connect are not supported."
)
_CLIENT_LEFT = 499  # nginx's code for it; only logged, never sent


def create_app(
    admission: Admission,
    readiness: Readiness,
    requests: Requests,
    metrics: Metrics | WorkerMetrics,
    unread: UnreadBytes,
    *,
    options: GraphQLOptions,
    graphiql: GraphiqlOptions | None,
    executions: Path | None,
    loopback_hosts_only: bool,
) -> ASGIApp:
    """The ASGI application; without GraphiQL if `graphiql` is None, without the page if `executions` is.

    FastAPI's own pages are disabled: they load scripts from other sites.
    """
    app = FastAPI(
        title="transfer-gateway", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    graphql = GraphQLView(admission, options, requests, unread)
    door = GraphiqlPage(graphql, graphiql) if graphiql else graphql
    app.router.routes += [
        Route(_GRAPHQL, door),
        WebSocketRoute(_GRAPHQL, sockets(graphql, options.cors_origins)),
        *(
            [overview_route(executions=bool(executions), graphiql=bool(graphiql))]
            if executions or graphiql
            else ()
        ),
        *(graphiql_routes(graphiql, executions_page=bool(executions)) if graphiql else ()),
        *(executions_routes(executions) if executions else ()),
        *health_routes(readiness),
        metrics_route(metrics),
    ]
    app.add_exception_handler(HTTPException, _http_error)

    def around(inner: ASGIApp) -> ASGIApp:
        if options.cors_origins:
            inner = CORSMiddleware(
                inner,
                allow_origins=options.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("content-type", "authorization", HEADER, "x-request-timeout", "last-event-id"),
                expose_headers=(HEADER,),
            )
        if loopback_hosts_only:
            inner = LoopbackHosts(inner)
        return RequestLog(inner, requests, unread, PATH if executions else None)

    app.add_middleware(around)
    return DirectRoute(around(door), _GRAPHQL, app)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # registered only for HTTPException
        raise error
    if request.scope["path"].startswith(_RPC_PATHS):
        return _not_grpc()
    response = error_response(error.status_code, f"{error.detail}.".replace("..", "."))
    response.headers.update(error.headers or {})
    return response


def _not_grpc() -> Response:
    """A response that gRPC-Web and Connect clients report as UNIMPLEMENTED, with the message.

    Source: the specifications of gRPC over HTTP/2 (grpc-message) and of the Connect protocol (error end).
    """
    body = error_body(_NOT_GRPC, ErrorCode.BAD_USER_INPUT) | {"code": "unimplemented", "message": _NOT_GRPC}
    headers = {"cache-control": "no-store", "grpc-status": "12", "grpc-message": _NOT_GRPC}
    return Response(orjson.dumps(body), 404, headers, "application/json")


class DirectRoute:
    """Routes one path directly to its application, all others to FastAPI, whose routing takes 40 µs."""

    def __init__(self, direct_app: ASGIApp, path: str, app: ASGIApp) -> None:
        self._direct_app = direct_app
        self._path = path
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_direct = scope["type"] == "http" and scope["path"] == self._path
        await (self._direct_app if is_direct else self._app)(scope, receive, send)


class LoopbackHosts:
    """Rejects requests whose Host is not a loopback name or address.

    Protects against DNS rebinding: a browser treats a page whose name resolves to this address as same-origin, and lets
    it read responses. Its requests still have the page's name as Host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            # A WebSocket's headers are not parsed yet.
            headers = scope["state"].get("headers") or RequestHeaders(scope)
            host = headers.get("host")
            if host is not None and not _LOOPBACK.fullmatch(host):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close"})  # before accepting, this sends a 403
                    return
                response = error_response(421, "Host must be localhost or a loopback address.")
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class RequestLog:
    """Assigns each request an id, logs its end, and answers a bug with an error without details.

    The id is the caller's `X-Request-Id` if that is well-formed, and is returned in the same header. GraphQL requests
    are counted, too, and those for the page, if `page` is its path. Plain ASGI: Starlette's BaseHTTPMiddleware costs
    269 µs per request.
    """

    def __init__(
        self, app: ASGIApp, requests: Requests, unread: UnreadBytes, page: str | None = None
    ) -> None:
        self._app = app
        self._requests = requests
        self._unread = unread
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = RequestHeaders(scope)
        request_id = request_id_of(headers.get(HEADER))
        scope.setdefault("state", {}).update(request_id=request_id, headers=headers)
        ids, started, head = {"request_id": request_id}, time.perf_counter(), _Head()
        request = None
        if scope["path"] == "/graphql" and scope["method"] != "OPTIONS":  # a CORS preflight
            request = self._requests.begin("graphql", "none", request_id, headers.get)
            ids = request.ids()
        elif scope["path"] == self._page:
            request = self._requests.begin("graphql", "page", request_id, headers.get)
            ids = request.ids()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                head.status = message["status"]
                message["headers"] = [*message["headers"], (_HEADER, request_id.encode())]
            elif len(message["body"]) > _PIECE_BYTES:
                await self._send_in_pieces(message, scope, send)
                return
            await send(message)

        LOG_IDS.set(ids)  # no reset needed: uvicorn's task ends with the request
        try:
            await self._answer(scope, receive, send_with_id, head)
        finally:
            summary = {}
            if request is not None:
                self._requests.end(request, str(head.status))
                summary = request.aws_summary()
            log = _log.debug if scope["path"] in _PROBES else _log.info
            log(
                "http_request",
                method=scope["method"],
                path=scope["path"],
                status=head.status,
                took_ms=round((time.perf_counter() - started) * 1000, 1),
                **summary,
            )

    async def _send_in_pieces(self, message: Message, scope: Scope, send: Send) -> None:
        """Pass data to the transport only as the client reads it. With TLS, the transport would hide what it buffers.

        Waiting data counts as unread bytes of the caller.
        """
        body, state = message["body"], scope["state"]
        connection, known = state["connection"], state.get("caller")
        caller = (scope.get("client") or ("",))[0] if known is None else known.name
        unread = self._unread.add(caller, len(body), connection.end)
        try:
            for start in range(0, len(body), _PIECE_BYTES):
                end = start + _PIECE_BYTES
                connection.waiting_bytes = max(0, len(body) - end)
                more = end < len(body) or message.get("more_body", False)
                await send({"type": "http.response.body", "body": body[start:end], "more_body": more})
        finally:
            unread.remove()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, head: _Head) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            _give_up(head)
        except asyncio.CancelledError:  # by the server, at the end of the grace period
            if not head.status:
                response = error_response(
                    503, "The service is shutting down.", ErrorCode.UPSTREAM_UNAVAILABLE
                )
                await response(scope, receive, send)
            raise
        except Exception as error:  # callers see nothing of a bug but the request id
            if isinstance(error, RuntimeError) and _CONNECTION_LOST in str(error):
                _give_up(head)
                return
            log_fault(error)
            if head.status:
                raise
            request_id = scope["state"]["request_id"]
            response = error_response(
                500,
                f"Internal server error. Request id: {request_id}.",
                ErrorCode.INTERNAL_SERVER_ERROR,
                requestId=request_id,
            )
            await response(scope, receive, send)


def _give_up(head: _Head) -> None:
    head.status = _CLIENT_LEFT
    if (request := current_request()) is not None:
        request.code = CANCELLED


@dataclass(slots=True)
class _Head:
    """The response's status, once it is sent."""

    status: int = 0
