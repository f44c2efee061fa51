"""Handles every call: request id, log line, and the status of failures."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from transfer_gateway.api.errors import log_failure, log_fault
from transfer_gateway.api.request_id import HEADER
from transfer_gateway.api.request_id import request_id as request_id_of
from transfer_gateway.api.rpc.active_calls import LARGE_BYTES, RUNNING, SENDING, Call
from transfer_gateway.api.rpc.errors import to_status, unimplemented
from transfer_gateway.domain.errors import BadUserInput, GatewayError, InternalServerError
from transfer_gateway.telemetry import CANCELLED, LOG_IDS, current_request, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Mapping

    from google.protobuf.message import Message

    from transfer_gateway.api.rpc.active_calls import ActiveCalls
    from transfer_gateway.telemetry import Requests

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Any  # types-grpcio only types the synchronous server's

_log = get_logger(__name__)
_OURS = "/transfer_api."
_UNKNOWN = "unknown"  # its name may be anything
_WATCH = "/grpc.health.v1.Health/Watch"


class Calls(grpc.GenericRpcHandler):
    """Handles every call and registers it with `active_calls`, which ends it at shutdown or if its client is too slow.

    Services are added to it as to a server. `deserializers` replace the generated ones, by method.
    Not an interceptor: grpc.aio's interceptors cost each call a coroutine and a new handler, a tenth of a lookup's cost
    (bench/grpc_overhead.py).
    """

    def __init__(
        self,
        requests: Requests,
        active_calls: ActiveCalls,
        deserializers: Mapping[str, Callable[[bytes], Any]],
    ) -> None:
        self.requests = requests
        self.active_calls = active_calls
        self._open = active_calls.open
        self._forget = active_calls.open.pop  # done callback of handler tasks
        self._deserializers = deserializers
        self._methods: dict[str, _Method] = {}
        self._unknown = _Method(_UNKNOWN, None)

    @property
    def methods(self) -> Iterable[str]:
        """The paths of all methods."""
        return self._methods

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by grpc's generated code for older servers, with the same methods as below."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """Called by grpc's generated code for each service."""
        for name, handler in handlers.items():
            method = _Method(f"/{service}/{name}", handler, self._deserializers.get(f"/{service}/{name}"))
            self._methods[method.name] = method

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        method = self._methods.get(handler_call_details.method, self._unknown)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  grpc.aio runs each call in a task
        call = _Call(self, method, handler_call_details.invocation_metadata)
        call.task = task
        self._open[task] = call
        task.add_done_callback(self._forget)
        if method.streaming is None:
            return call
        call.is_stream, call.is_public, call.is_long_lived = (
            method.is_stream,
            method.is_public,
            method.is_long_lived,
        )
        if method.is_public:
            self.active_calls.add_public(call)
        return method.streaming(call.unary_unary)


class _Call(Call):
    """One call. It is also the handler that grpc.aio runs for it, of a unary-unary method.

    Created per call, because the call's metadata are available here; grpc.aio's context would build them again at each
    access. A bound method is also the fastest for grpc.aio to recognize as a coroutine function, as it does per call.
    Messages are bytes to grpc.aio: its own response to an invalid message is of no use to clients.
    """

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None

    def __init__(self, calls: Calls, method: _Method, metadata: Iterable[tuple[str, Any]]) -> None:
        self._calls = calls
        self._method = method
        self._metadata = metadata  # str, unless the name ends in -bin

    async def unary_unary(self, message: Any, context: Context) -> Any:  # noqa: ANN401  of any kind
        calls, method = self._calls, self._method
        self.stage = RUNNING
        headers = dict(self._metadata)
        request_id = request_id_of(headers.get(HEADER))
        context.set_trailing_metadata(((HEADER, request_id),))
        request = method.operation and calls.requests.begin("grpc", method.operation, request_id, headers.get)
        started = 0.0 if request else time.perf_counter()
        status, code = None, "OK"
        LOG_IDS.set(request.ids() if request else {"request_id": request_id})  # the task ends with the call
        try:
            answer = await method.answer(message, context, self)
            return answer if type(answer) is bytes or answer is None else self._serialize(answer)
        except GatewayError as error:
            log_failure(error)
            status = to_status(error, request_id, method.fields)
        except _Unimplemented as error:
            status = unimplemented(str(error))
        except grpc.aio.AbortError:  # by another servicer, such as health
            code = "ABORTED_BY_SERVICER"
            raise
        except asyncio.CancelledError:
            if self.ended_by is None:
                code = CANCELLED
                if request:
                    request.code = code
                raise
            status = to_status(self.ended_by, request_id)
        except Exception as fault:  # noqa: BLE001  last resort: callers only see the request id
            log_fault(fault)
            masked = InternalServerError(f"Internal server error. Request id: {request_id}.")
            status = to_status(masked, request_id)
        finally:
            self.stage, self.answered = SENDING, True
            if status is not None:
                code = status[0].name
            took_s = calls.requests.end(request, code) if request else time.perf_counter() - started
            if method.is_logged:  # building the fields costs more than this check
                method.log(
                    "grpc_request",
                    method=method.name,
                    code=code,
                    took_ms=round(took_s * 1000, 1),
                    **(request.aws_summary() if request else {}),
                )
        return await self._abort(context, status, request_id)

    async def _abort(
        self, context: Context, status: tuple[grpc.StatusCode, str, Any], request_id: str
    ) -> None:
        code, message, details = status
        try:
            await context.abort(code, message, (*details, (HEADER, request_id)))
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None  # its connection is gone

    def _serialize(self, answer: Any) -> bytes:  # noqa: ANN401  a message
        serialized: bytes = self._method.write(answer)
        if len(serialized) > LARGE_BYTES:
            self._calls.active_calls.set_caller(self.caller, len(serialized))
        return serialized

    async def subscribe(self, context: Context) -> None:
        """It is a subscription from now on: no request in progress. The client learns so by its headers."""
        if self.is_subscription:
            return
        request = current_request()
        assert request is not None  # noqa: S101  only our own methods become subscriptions
        self._calls.requests.subscribed(request)
        self._calls.active_calls.subscribe(self)
        try:
            await _send_headers(context)
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None  # its connection is gone

    async def write(self, answer: Any, context: Context) -> None:  # noqa: ANN401  a message or bytes
        """Send one of a stream's responses. Waits while the client does not read."""
        serialized: bytes = answer if type(answer) is bytes else self._method.write(answer)
        try:
            if not self.writes and not self.is_subscription:
                # Headers are not subject to flow control. Queued with a blocked message, they would prevent a status.
                await _send_headers(context)
            self.waiting_bytes, self.stage = len(serialized), SENDING
            await context.write(serialized)
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None  # its connection is gone
        finally:
            self.stage = RUNNING
            self.writes += 1
            self.uncount_unread()


async def _send_headers(context: Context) -> None:
    """Also if the call is ended meanwhile: grpc.aio would send them again with the status, which fails."""
    sending = asyncio.ensure_future(context.send_initial_metadata(()))
    try:
        await asyncio.shield(sending)
    except asyncio.CancelledError:
        await sending  # until the call is dropped
        raise


class _Unimplemented(Exception):
    """The method does not exist."""


class _Method:
    """A method, or the stand-in for unknown ones, which has no handler.

    `operation`: label for metrics; None: not counted, as it is not part of our API.
    `answer`: returns the response, as a message or bytes; for streams None, as they write their responses.
    `streaming`: wraps a call in a grpc handler; None for unary-unary methods. `fields`: names of its request's fields.

    A stream becomes a subscription when its handler yields None.
    """

    def __init__(
        self, name: str, handler: Handler | None, read: Callable[[bytes], Any] | None = None
    ) -> None:
        self.name = name
        self.ours = name.startswith(_OURS) or handler is None
        self.operation = None if not self.ours else "none" if handler is None else name.rpartition("/")[2]
        self.log = _log.info if self.ours else _log.debug
        self.is_logged = _log.is_enabled_for(logging.INFO if self.ours else logging.DEBUG)
        self.answer = _answer(name, handler, read)
        self.write: Any = None if handler is None else handler.response_serializer
        self.streaming = _streaming(handler)
        self.fields = _fields(handler)
        self.is_stream = handler is not None and handler.response_streaming
        self.is_public = not self.ours and self.streaming is not None
        self.is_long_lived = name == _WATCH


def _streaming(handler: Handler | None) -> Callable[[Any], Handler] | None:
    if handler is None:
        return grpc.stream_stream_rpc_method_handler
    if handler.request_streaming:
        return partial(
            grpc.stream_stream_rpc_method_handler,
            request_deserializer=handler.request_deserializer,
        )
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler
    return None


def _fields(handler: Handler | None) -> Container[str]:
    parse = None if handler is None else handler.request_deserializer  # a message type's own method
    message: type[Message] | None = getattr(parse, "__self__", None)
    return () if message is None else message.DESCRIPTOR.fields_by_name


def _answer(
    method: str, handler: Handler | None, deserialize: Callable[[bytes], Any] | None
) -> Callable[[Any, Context, _Call], Awaitable[Any]]:
    async def unimplemented(_request: object, _context: Context, _call: _Call) -> None:
        raise _Unimplemented("No such method. Use server reflection to list the methods.")

    if handler is None:
        return unimplemented
    deserialize = deserialize or handler.request_deserializer

    def read(request: bytes) -> Any:  # noqa: ANN401  a message
        try:
            return deserialize(request)
        except DecodeError as error:
            raise BadUserInput(f"The request is not a valid message of {method}.") from error

    def unary(request: bytes, context: Context, _call: _Call) -> Awaitable[Any]:
        answering: Awaitable[Any] = handler.unary_unary(read(request), context)
        return answering

    async def stream(request: Any, context: Context, call: _Call) -> None:  # noqa: ANN401  a message, or many
        if not handler.request_streaming:
            call.request_bytes = len(request)
        answers = (
            handler.stream_stream(request, context)
            if handler.request_streaming
            else handler.unary_stream(read(request), context)
        )
        try:
            async for answer in answers:
                await (call.subscribe(context) if answer is None else call.write(answer, context))
        finally:
            await answers.aclose()

    return stream if handler.response_streaming else unary
