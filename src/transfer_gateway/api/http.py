"""The HTTP door: routes, the request's id, and one JSON form for whatever goes wrong."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Route

from transfer_gateway.api.errors import log_fault
from transfer_gateway.api.graphql.view import GraphQLView, error_response
from transfer_gateway.api.health import health_routes
from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from transfer_gateway.api.health import Readiness
    from transfer_gateway.core.gateway import Gateway

_log = get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_PROBES = ("/livez", "/readyz")


def create_app(
    gateway: Gateway, readiness: Readiness, *, request_timeout_s: float, max_body_bytes: int
) -> FastAPI:
    """The ASGI application. No pages of FastAPI's own: they load scripts from elsewhere."""
    app = FastAPI(title="transfer-gateway", openapi_url=None, docs_url=None, redoc_url=None)
    graphql = GraphQLView(gateway, request_timeout_s=request_timeout_s, max_body_bytes=max_body_bytes)
    app.router.routes.append(Route("/graphql", graphql))
    app.include_router(health_routes(readiness))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(RequestLog)
    return app


async def _http_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # only registered for it
        raise error
    response = error_response(error.status_code, f"{error.detail}.".replace("..", "."))
    response.headers.update(error.headers or {})
    return response


class RequestLog:
    """Gives each request an id, logs its end, and turns a fault of ours into an answer without detail.

    The id is the caller's own `X-Request-Id` where it is well-formed, and goes back in the same header.
    Plain ASGI: Starlette's BaseHTTPMiddleware costs 269 µs a request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:  # the door: nothing of a fault goes out but its request's id
                log_fault(error)
                if status:
                    raise
                response = error_response(
                    500, f"Internal server error. Request id: {request_id}.", ErrorCode.INTERNAL_SERVER_ERROR
                )
                await response(scope, receive, send_with_id)
            log = _log.debug if scope["path"] in _PROBES else _log.info
            log(
                "http_request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                took_ms=round((time.perf_counter() - started) * 1000, 1),
            )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(text := value.decode("latin-1")):
            return str(text)
    return uuid.uuid4().hex
