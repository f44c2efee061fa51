"""Operations over WebSocket, with the graphql-transport-ws protocol, which Strawberry implements.

All run as they do over HTTP, with the same limits and errors. Strawberry's own execution would bypass our limits and
expose internal errors.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
from cross_web import HTTPException
from starlette.websockets import WebSocketDisconnect
from strawberry.exceptions import ConnectionRejectionError
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from transfer_gateway.api.errors import log_failure
from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.errors import to_answer
from transfer_gateway.api.graphql.exchange import address, error_body, error_of
from transfer_gateway.api.graphql.operations import has_long_list
from transfer_gateway.api.graphql.strawberry_internals import (
    ASGIWebSocketAdapter,
    BaseGraphQLTransportWSHandler,
    GraphQL,
    check_websocket,
)
from transfer_gateway.api.graphql.trusted import TextRequired
from transfer_gateway.api.graphql.updates import Updates
from transfer_gateway.api.request_id import request_id as request_id_of
from transfer_gateway.domain.errors import ErrorCode, GatewayError, Unauthenticated, UpstreamUnavailable
from transfer_gateway.library_checks import Check
from transfer_gateway.telemetry import CANCELLED, LOG_IDS, get_logger, leave_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.graphql.strawberry_internals import Operation
    from transfer_gateway.api.graphql.view import GraphQLView
    from transfer_gateway.api.open_streams import OpenStreams
    from transfer_gateway.domain.caller import Caller

_log = get_logger(__name__)
_OPERATIONS_PER_SOCKET, _LARGE_PER_SOCKET = 50, 4  # concurrent
_CHECK_TOKEN_EVERY_S = 2.0
_WITH_ID = ("subscribe", "complete")
_MAX_ID = 256  # characters; each message of the operation repeats it
_MESSAGE_TYPES = ("connection_init", "ping", "pong", *_WITH_ID)
_REASON_CHARACTERS = 120  # in a close frame: RFC 6455, section 5.5
_SMALL_BYTES = 16_384  # smaller messages are not limited: at most 50 wait per connection


class TextSocket(ASGIWebSocketAdapter):
    """Sends text frames, since graphql-ws's client can't read binary frames in a browser.

    A message counts as unread bytes of the caller until it is read, at most for the request timeout.
    """

    def __init__(self, view: Any, request: WebSocket, response: WebSocket) -> None:  # noqa: ANN401  `Sockets`
        super().__init__(view, request, response)
        self._door: GraphQLView = view.door
        self.caller: str | None = None

    async def send_json(self, message: Mapping[str, object]) -> None:
        await self.send_encoded(orjson.dumps(message))

    async def send_encoded(self, text: bytes) -> None:
        """A message in JSON. Raises: WebSocketDisconnected."""
        unread = None
        if len(text) > _SMALL_BYTES and self.caller is not None:
            unread = self._door.unread.add(self.caller, len(text), self.end)
        try:
            async with asyncio.timeout(self._door.request_timeout_s):
                await self.ws.send_text(text.decode())
        except TimeoutError:
            _log.info("websocket_ended", reason="the client does not read")
            self.end()
            raise WebSocketDisconnected from None
        except WebSocketDisconnect as error:
            raise WebSocketDisconnected from error
        finally:
            if unread is not None:
                unread.remove()

    @property
    def streams(self) -> OpenStreams:
        """Subscriptions. At shutdown, uvicorn closes the WebSocket with 1012, after which clients come back."""
        streams: OpenStreams = self.ws.scope["state"]["connection"].streams
        return streams

    def end(self) -> None:
        """Close the connection at once, discarding unread data."""
        self.ws.scope["state"]["connection"].end()


@dataclass(slots=True)
class SocketContext:
    """A connection's state: the caller's token, from the handshake's header or the first message."""

    authorization: str | None
    remote: str | None
    connection_params: dict[str, object] | None = None
    caller: Caller | None = None

    async def connect(self, admission: Admission) -> None:
        """Raises: ConnectionRejectionError."""
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        authorization = given.get("authorization", self.authorization)
        self.authorization = authorization if isinstance(authorization, str) else None
        try:
            self.caller = await admission.caller(self.authorization)
        except GatewayError as error:
            log_failure(error)
            raise ConnectionRejectionError from error


class OperationsOverWebSocket(BaseGraphQLTransportWSHandler[Context, None]):
    """A connection and its operations. Its token is checked for each operation, and every two seconds."""

    view: Sockets
    websocket: TextSocket

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  Strawberry's
        super().__init__(*args, **options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = 0  # each keeps its keys in memory
        self._large_lock = asyncio.Lock()

    async def handle(self) -> None:
        checking = asyncio.create_task(self._check_token())
        try:
            await super().handle()
        finally:
            checking.cancel()
            await asyncio.wait([checking])

    async def _check_token(self) -> None:
        """Close the connection when its token becomes invalid: expired, or its key withdrawn."""
        while True:
            await asyncio.sleep(_CHECK_TOKEN_EVERY_S)
            if not self.connection_acknowledged:
                continue
            try:
                # If the issuer's keys can't be fetched, the last result stays valid.
                with suppress(UpstreamUnavailable):
                    await self.view.door.admission.caller(self._connection.authorization)
            except Unauthenticated as error:
                log_failure(error)
                await self.websocket.close(code=4403, reason=error.message[:_REASON_CHARACTERS])
                return

    async def handle_connection_init(self, message: Any) -> None:  # noqa: ANN401  JSON
        await super().handle_connection_init(message)
        if self._connection.caller is not None:
            self.websocket.caller = self._connection.caller.name

    async def handle_subscribe(self, message: Any) -> None:  # noqa: ANN401  JSON
        """Limits operations ourselves: Strawberry does not count one whose last message is unread."""
        is_large = has_long_list(message["payload"]["query"].get("variables"))
        if is_large and self._large >= _LARGE_PER_SOCKET:
            await self._reject(message["id"], f"{_LARGE_PER_SOCKET} large operations at a time")
            return
        if len(self._tasks) >= _OPERATIONS_PER_SOCKET:
            await self._reject(message["id"], f"{_OPERATIONS_PER_SOCKET} operations at a time")
            return
        await super().handle_subscribe(message)
        operation = self.operations.get(message["id"])
        if operation is not None and operation.task is not None:
            self._tasks.add(operation.task)
            operation.task.add_done_callback(self._tasks.discard)
            if is_large:
                self._large += 1
                operation.task.add_done_callback(self._large_ended)

    def _large_ended(self, _task: asyncio.Task[None]) -> None:
        self._large -= 1

    async def _reject(self, operation_id: str, allowed: str) -> None:
        refusal = error_body(f"A connection may have {allowed}.", ErrorCode.THROTTLED)
        await self.send_message({"id": operation_id, "type": "error", "payload": refusal["errors"]})

    async def handle_message(self, message: Any) -> None:  # noqa: ANN401  any JSON
        """Check the message's structure, which Strawberry assumes."""
        if (problem := _problem(message)) is not None:
            await self.handle_invalid_message(problem)
            return
        if message["type"] == "subscribe":  # pass all of it to the operation: see `_answer`
            message["payload"] = {"query": message["payload"]}
        elif message.get("payload", {}) is None:  # as if absent
            del message["payload"]
        await super().handle_message(message)

    @property
    def _connection(self) -> SocketContext:
        return cast("SocketContext", self.context)

    async def run_operation(self, operation: Operation[Context, None]) -> None:
        """A large operation runs only after the previous one's response has been read."""
        request: Any = operation.query  # the whole message: see `handle_message`
        async with self._large_lock if has_long_list(request.get("variables")) else nullcontext():
            await self._run_operation(operation)

    async def _run_operation(self, operation: Operation[Context, None]) -> None:
        request_id, requests = request_id_of(None), self.view.door.requests
        request = requests.begin("graphql", "none", request_id)
        LOG_IDS.set(request.ids())  # in the operation's own task
        try:
            answer = await self._answer(operation, request_id)
        except Exception as error:  # noqa: BLE001  callers see nothing of a bug but the request id
            answer = error_of(error, request_id)
        except asyncio.CancelledError:
            request.code = CANCELLED
            raise
        finally:
            took_s = requests.end(request)
        _log.info(
            "websocket_operation",
            errors=0 if isinstance(answer, Updates) else len(answer.get("errors", ())),
            took_ms=round(took_s * 1000, 1),
            **request.aws_summary(),
        )
        if isinstance(answer, Updates):
            await self._send_updates(operation, answer, request_id)
            return
        if "data" not in answer:
            await operation.send_operation_message(
                {"id": operation.id, "type": "error", "payload": answer["errors"]}
            )
            return
        text = orjson.dumps({"id": operation.id, "type": "next", "payload": answer})
        del answer  # ten times as large as its text, which may wait for a slow client
        await self.websocket.send_encoded(text)
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def _send_updates(
        self, operation: Operation[Context, None], updates: Updates, request_id: str
    ) -> None:
        """Not part of a request any more: that has begun the subscription, and is over."""
        leave_request()
        prefix = b'{"id":%b,"type":"next","payload":' % orjson.dumps(operation.id)
        async with updates:
            with self.websocket.streams.one():
                refusal = None
                try:
                    async for update in updates:
                        if update is not None:
                            await self.websocket.send_encoded(b"%b%b}" % (prefix, update.text))
                except WebSocketDisconnected:
                    raise
                except Exception as error:  # noqa: BLE001  as for queries
                    refusal = error_of(error, request_id)
        if refusal is None:
            await operation.send_operation_message({"id": operation.id, "type": "complete"})
        else:
            await operation.send_operation_message(
                {"id": operation.id, "type": "error", "payload": refusal["errors"]}
            )

    async def _answer(self, operation: Operation[Context, None], request_id: str) -> Any:  # noqa: ANN401  JSON, or Updates
        door = self.view.door
        try:
            connection = self._connection
            reader = await door.admission.enter(
                lambda: connection.authorization, "graphql", lambda: connection.remote
            )
            request = door.read(operation.query)  # the whole request
        except TextRequired as error:
            return error_body(error.message, error.code)
        except HTTPException as error:
            return error_body(error.reason, ErrorCode.BAD_USER_INPUT)
        except GatewayError as error:
            return error_of(error, request_id)
        context = door.context_to_watch(door.context_of(reader, request_id), lambda: connection.authorization)
        result = await door.operations.run(request, context, streams=True)
        return result if isinstance(result, Updates) else to_answer(result, request_id)


def _problem(message: Any) -> str | None:  # noqa: ANN401  JSON
    """What is wrong with a client's message. Source: the graphql-transport-ws protocol, Message types."""
    if not isinstance(message, dict):
        return "A message must be a JSON object"
    kind, payload = message.get("type"), message.get("payload")
    if not isinstance(kind, str) or kind not in _MESSAGE_TYPES:
        return f"`type` must be one of {', '.join(_MESSAGE_TYPES)}"
    if kind in _WITH_ID and not (isinstance(id_ := message.get("id"), str) and len(id_) <= _MAX_ID):
        return f"`id` must be a string of at most {_MAX_ID} characters"
    if not isinstance(payload, dict) and (payload is not None or kind == "subscribe"):
        return "`payload` must be an object"
    return None


class Sockets(GraphQL[Context, None]):
    """The ASGI application of /graphql's WebSockets, based on Strawberry's."""

    websocket_adapter_class = TextSocket
    graphql_transport_ws_handler_class = OperationsOverWebSocket

    def __init__(self, door: GraphQLView, origins: Sequence[str]) -> None:
        super().__init__(
            door.schema,
            graphql_ide=None,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=timedelta(seconds=door.request_timeout_s),
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


def sockets(door: GraphQLView, origins: Sequence[str]) -> ASGIApp:
    """The application of WebSockets: `Sockets`, unless Strawberry's private parts fail their self-test."""
    with Check("strawberry-graphql", fallback="no GraphQL over WebSocket; HTTP serves the same") as check:
        check_websocket()
    return Sockets(door, origins) if check.passed else _RejectAll()


class _RejectAll:
    """An object, since Starlette treats a function as a request handler."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})  # before accepting, this sends a 403
