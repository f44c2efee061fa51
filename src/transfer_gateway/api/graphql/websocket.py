"""Operations over WebSocket, by the protocol graphql-transport-ws. Strawberry keeps the protocol's rules.

The schema has no subscriptions yet; queries run here as they do over HTTP, by the same rules and with the same
errors. Strawberry's own way would send out errors as they were raised, by a path without our limits.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
from cross_web import HTTPException
from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from transfer_gateway.api.errors import log_failure, log_fault
from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.errors import to_answer, to_extensions
from transfer_gateway.api.graphql.exchange import address
from transfer_gateway.api.request_id import request_id as request_id_of
from transfer_gateway.domain.errors import ErrorCode, GatewayError, Unauthenticated
from transfer_gateway.telemetry import GIVEN_UP, LOG_IDS, current_request, get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import strawberry
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket
    from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import Operation

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.graphql.view import GraphQLView
    from transfer_gateway.domain.caller import Caller

_log = get_logger(__name__)
_OPERATIONS_PER_SOCKET = 50  # at a time


class TextSocket(ASGIWebSocketAdapter):
    """Sends text: what bytes are to a browser, graphql-ws's client can't read."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            await self.ws.send_text(orjson.dumps(message).decode())
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error


@dataclass(slots=True)
class SocketContext:
    """What is known of a connection: its caller is told by the handshake's header, or by the first message."""

    authorization: str | None
    remote: str | None
    connection_params: dict[str, object] | None = None
    caller: Caller | None = None

    async def connect(self, admission: Admission) -> None:
        """Raises: ConnectionRejectionError."""
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        authorization = given.get("authorization", self.authorization)
        try:
            self.caller = await admission.caller(authorization if isinstance(authorization, str) else None)
        except GatewayError as error:
            log_failure(error)
            raise ConnectionRejectionError from error

    def still(self) -> Caller:
        """The caller, for as long as its token is good. Raises: Unauthenticated."""
        if self.caller is None or (
            self.caller.expires_at is not None and time.time() >= self.caller.expires_at
        ):
            raise Unauthenticated("The token of this connection has expired.")
        return self.caller


class OperationsOverWebSocket(BaseGraphQLTransportWSHandler[Context, None]):
    view: Sockets

    async def handle_message(self, message: Any) -> None:  # noqa: ANN401  any JSON
        """Strawberry takes it for granted that messages have the protocol's form."""
        payload = message.get("payload", {}) if isinstance(message, dict) else None
        if not isinstance(payload, dict) or not isinstance(message.get("id", ""), str):
            await self.handle_invalid_message("Failed to parse message")
            return
        if message.get("type") == "subscribe":  # the operation is to have all of it: see `_answer`
            message["payload"] = {"query": payload}
        await super().handle_message(message)

    @property
    def _connection(self) -> SocketContext:
        return cast("SocketContext", self.context)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        request_id, requests = request_id_of(None), self.view.door.requests
        request, problems = requests.begin("graphql", "none", request_id), 0
        LOG_IDS.set(request.ids())  # of the operation's own task
        try:
            answer = await self._answer(operation, request_id)
        except Exception as error:  # noqa: BLE001  the door: nothing of a fault goes out but its request's id
            log_fault(error)
            answer = _refusal("Internal server error.", ErrorCode.INTERNAL_SERVER_ERROR, requestId=request_id)
        except asyncio.CancelledError:
            request.code = GIVEN_UP
            raise
        finally:
            took_s = requests.end(request)
        problems = len(answer.get("errors", ()))
        _log.info(
            "websocket_operation",
            errors=problems,
            took_ms=round(took_s * 1000, 1),
            **request.about_aws(),
        )
        if "data" in answer:
            await operation.send_operation_message({"id": operation.id, "type": "next", "payload": answer})
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        else:
            await operation.send_operation_message(
                {"id": operation.id, "type": "error", "payload": answer["errors"]}
            )

    async def _answer(self, operation: Operation[Context, None], request_id: str) -> Any:  # noqa: ANN401  JSON
        door = self.view.door
        try:
            connection = self._connection
            reader = door.admission.admit(connection.still(), "graphql", lambda: connection.remote)
            request = door.read(operation.query)  # the whole request
        except HTTPException as error:
            return _refusal(error.reason, ErrorCode.BAD_USER_INPUT)
        except GatewayError as error:
            log_failure(error)
            return _refusal(error.message, **to_extensions(error))
        context = door.context_of(reader, request_id)
        return to_answer(await door.operations.run(request, context), request_id)


class Sockets(GraphQL[Context, None]):
    """The ASGI application of /graphql's WebSockets: Strawberry's, of which nothing else is used."""

    websocket_adapter_class = TextSocket
    graphql_transport_ws_handler_class = OperationsOverWebSocket

    def __init__(
        self, schema: strawberry.Schema, door: GraphQLView, origins: Sequence[str], init_timeout_s: float
    ) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=init_timeout_s),
            max_subscriptions_per_connection=_OPERATIONS_PER_SOCKET,
            allowed_origins=origins,
        )
        self.door = door

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return SocketContext(request.headers.get("authorization"), address(request))  # type: ignore[return-value]  # until an operation

    async def on_ws_connect(self, context: Context) -> Any:  # noqa: ANN401  the payload of the acknowledgement, or none
        await cast("SocketContext", context).connect(self.door.admission)
        return await super().on_ws_connect(context)

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)


def _refusal(message: str, code: ErrorCode, **more: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    if (request := current_request()) is not None:
        request.code = code
    return {"errors": [{"message": message, "extensions": {"code": code, **more}}]}
