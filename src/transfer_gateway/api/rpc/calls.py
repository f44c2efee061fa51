"""What every call goes through: its id, its log line, and a status for whatever goes wrong."""

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
from transfer_gateway.api.rpc.active_calls import LARGE_BYTES, SENDS, WORKS, Call
from transfer_gateway.api.rpc.errors import to_status, unimplemented
from transfer_gateway.domain.errors import BadUserInput, GatewayError, InternalServerError
from transfer_gateway.telemetry import CANCELLED, LOG_IDS, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from transfer_gateway.api.rpc.active_calls import ActiveCalls
    from transfer_gateway.telemetry import Requests

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Any  # types-grpcio has that of servers without asyncio

_log = get_logger(__name__)
_OURS = "/transfer_api."
_UNKNOWN = "unknown"  # its name may be anything
_WATCH = "/grpc.health.v1.Health/Watch"


class Calls(grpc.GenericRpcHandler):
    """Answers every call, and tells `under_way` of it, so that each ends: with the service, or without its client.

    Services are added to it as to a server; `read` are methods whose messages are not to be read as grpc's code does.
    Not an interceptor: those of grpc.aio cost every call a coroutine and a new handler, a tenth of all that a lookup
    costs (bench/grpc_overhead.py).
    """

    def __init__(
        self, requests: Requests, under_way: ActiveCalls, read: Mapping[str, Callable[[bytes], Any]]
    ) -> None:
        self.requests = requests
        self.under_way = under_way
        self._open = under_way.open
        self._forget = under_way.open.pop  # a task's call, when it is done
        self._read = read
        self._methods: dict[str, _Method] = {}
        self._unknown = _Method(_UNKNOWN, None)

    @property
    def methods(self) -> Iterable[str]:
        """The paths of all that there are."""
        return self._methods

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same methods as below, as grpc's generated code tells them to servers of old."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """What grpc's generated code calls for each service."""
        for name, handler in handlers.items():
            method = _Method(f"/{service}/{name}", handler, self._read.get(f"/{service}/{name}"))
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
        call.is_stream, call.is_public, call.lasts = method.is_stream, method.is_public, method.lasts
        if method.is_public:
            self.under_way.add_public(call)
        return method.streaming(call.unary_unary)


class _Call(Call):
    """One call: the handler that grpc.aio gets for it, of a method that takes one message and gives one.

    Made for each call, as the call's metadata are told with it; whoever asks grpc.aio's context for them has them made
    anew. And its method is soon seen to be a coroutine function, which grpc.aio looks at in each call.
    Messages are bytes to grpc.aio: what it makes of one that can't be read is no answer to its sender.
    """

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None

    def __init__(self, calls: Calls, method: _Method, metadata: Iterable[tuple[str, Any]]) -> None:
        self._calls = calls
        self._method = method
        self._metadata = metadata  # text, where the name doesn't end in -bin

    async def unary_unary(self, message: Any, context: Context) -> Any:  # noqa: ANN401  of any kind
        calls, method = self._calls, self._method
        self.stage = WORKS
        headers = dict(self._metadata)
        request_id = request_id_of(headers.get(HEADER))
        context.set_trailing_metadata(((HEADER, request_id),))
        request = method.operation and calls.requests.begin("grpc", method.operation, request_id, headers.get)
        started = 0.0 if request else time.perf_counter()
        status, code = None, "OK"
        LOG_IDS.set(request.ids() if request else {"request_id": request_id})  # the task ends with the call
        try:
            answer = await method.answer(message, context, self)
            return answer if type(answer) is bytes or answer is None else self._written(answer)
        except GatewayError as error:
            log_failure(error)
            status = to_status(error, request_id)
        except _Unimplemented as error:
            status = unimplemented(str(error))
        except grpc.aio.AbortError:  # by a servicer that is not ours
            code = "ABORTED_BY_SERVICER"
            raise
        except asyncio.CancelledError:
            if self.ended_by is None:
                code = CANCELLED
                if request:
                    request.code = code
                raise
            status = to_status(self.ended_by, request_id)
        except Exception as fault:  # noqa: BLE001  the door: nothing of a fault goes out but its request's id
            log_fault(fault)
            masked = InternalServerError(f"Internal server error. Request id: {request_id}.")
            status = to_status(masked, request_id)
        finally:
            self.stage, self.answered = SENDS, True
            if status is not None:
                code = status[0].name
            took_s = calls.requests.end(request, code) if request else time.perf_counter() - started
            if method.is_logged:  # what would be said costs more than to ask
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

    def _written(self, answer: Any) -> bytes:  # noqa: ANN401  a message
        written: bytes = self._method.write(answer)
        if len(written) > LARGE_BYTES:
            self._calls.under_way.answers_to(self.caller, len(written))
        return written

    async def write(self, answer: Any, context: Context) -> None:  # noqa: ANN401  a message
        """Send one of a stream's answers. It waits while the client does not read."""
        written: bytes = self._method.write(answer)
        try:
            if not self.writes:
                # Headers pass any window. Sent with a message that waits, they would make a status impossible.
                await context.send_initial_metadata(())
            self.waiting_bytes, self.stage = len(written), SENDS
            await context.write(written)
        except grpc.aio.InternalError:
            raise asyncio.CancelledError from None  # its connection is gone
        finally:
            self.stage = WORKS
            self.writes += 1
            self.was_read()


class _Unimplemented(Exception):
    """There is no such method."""


class _Method:
    """One that there is, or is not: then without a handler.

    `operation`: what calls of it are counted as; None: they are not, being no requests of our API.
    `answer` gives what answers a call, as a message or its bytes; of a stream nothing, as it writes its answers.
    `streaming` makes a handler of what answers one call; None where both sides send one message.
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
        self.is_stream = handler is not None and handler.response_streaming
        self.is_public = not self.ours and self.streaming is not None
        self.lasts = name == _WATCH


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


def _answer(
    method: str, handler: Handler | None, deserialize: Callable[[bytes], Any] | None
) -> Callable[[Any, Context, _Call], Awaitable[Any]]:
    async def unimplemented(_request: object, _context: Context, _call: _Call) -> None:
        raise _Unimplemented("There is no such method. Server reflection lists those that are.")

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
                await call.write(answer, context)
        finally:
            await answers.aclose()

    return stream if handler.response_streaming else unary
