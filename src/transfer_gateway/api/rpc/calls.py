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
from transfer_gateway.api.rpc.errors import to_status, unimplemented
from transfer_gateway.domain.errors import (
    BadUserInput,
    GatewayError,
    InternalServerError,
    UpstreamUnavailable,
)
from transfer_gateway.telemetry import GIVEN_UP, LOG_IDS, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from transfer_gateway.telemetry import Requests

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Any  # types-grpcio has that of servers without asyncio

_log = get_logger(__name__)
_OURS = "/transfer_api."


class Calls(grpc.GenericRpcHandler):
    """Answers every call, and knows those under way, so that they end properly when the service does.

    Services are added to it as to a server; `read` are methods whose messages are not to be read as grpc's code does.
    Not an interceptor: those of grpc.aio cost every call a coroutine and a new handler, a tenth of all that a lookup
    costs (bench/grpc_overhead.py).
    """

    def __init__(self, requests: Requests, read: Mapping[str, Callable[[bytes], Any]]) -> None:
        self.requests = requests
        self._read = read
        self.under_way: dict[asyncio.Task[Any], _Method] = {}
        self.ended: set[asyncio.Task[Any]] = set()
        self._methods: dict[str, _Method] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same methods as below, as grpc's generated code tells them to servers of old."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """What grpc's generated code calls for each service."""
        for name, handler in handlers.items():
            method = _Method(f"/{service}/{name}", handler, self._read.get(f"/{service}/{name}"))
            self._methods[method.name] = method

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        name = handler_call_details.method
        method = self._methods.get(name)
        if method is None:
            method = _Method(name, None)
        call = _Call(self, method, handler_call_details.invocation_metadata)
        return call if method.streaming is None else method.streaming(call.unary_unary)

    def end_watches(self) -> None:
        """End what would never end by itself: health watches and reflection. Our own methods have deadlines."""
        self._end({call for call, method in self.under_way.items() if not method.ours})

    def end_all(self) -> None:
        """End whatever is still under way."""
        self._end(set(self.under_way))

    def _end(self, calls: set[asyncio.Task[Any]]) -> None:
        for call in calls - self.ended:
            self.ended.add(call)
            call.cancel()


class _Call:
    """One call: the handler that grpc.aio gets for it, of a method that takes one message and gives one.

    Made for each call, as the call's metadata are told with it; whoever asks grpc.aio's context for them has them made
    anew. And its method is soon seen to be a coroutine function, which grpc.aio looks at in each call.
    Messages are bytes to grpc.aio: what it makes of one that can't be read is no answer to its sender.
    """

    __slots__ = ("_calls", "_metadata", "_method")

    request_streaming = response_streaming = False
    request_deserializer = response_serializer = None

    def __init__(self, calls: Calls, method: _Method, metadata: Iterable[tuple[str, Any]]) -> None:
        self._calls = calls
        self._method = method
        self._metadata = metadata  # text, where the name doesn't end in -bin

    async def unary_unary(self, message: Any, context: Context) -> Any:  # noqa: ANN401  of any kind
        calls, method = self._calls, self._method
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  grpc.aio runs each call in a task
        calls.under_way[task] = method
        headers = dict(self._metadata)
        request_id = request_id_of(headers.get(HEADER))
        context.set_trailing_metadata(((HEADER, request_id),))
        request = method.operation and calls.requests.begin("grpc", method.operation, request_id, headers.get)
        started = 0.0 if request else time.perf_counter()
        status, code = None, "OK"
        LOG_IDS.set(request.ids() if request else {"request_id": request_id})  # the task ends with the call
        try:
            answer = await method.answer(message, context)
            return answer if type(answer) is bytes or answer is None else method.write(answer)
        except GatewayError as error:
            log_failure(error)
            status = to_status(error, request_id)
        except _Unimplemented as error:
            status = unimplemented(str(error))
        except grpc.aio.AbortError:  # by a servicer that is not ours
            code = "ABORTED_BY_SERVICER"
            raise
        except asyncio.CancelledError:
            if task not in calls.ended:
                code = GIVEN_UP
                if request:
                    request.code = code
                raise
            status = to_status(UpstreamUnavailable("The service is shutting down."), request_id)
        except Exception as fault:  # noqa: BLE001  the door: nothing of a fault goes out but its request's id
            log_fault(fault)
            masked = InternalServerError(f"Internal server error. Request id: {request_id}.")
            status = to_status(masked, request_id)
        finally:
            del calls.under_way[task]
            calls.ended.discard(task)
            if status is not None:
                code = status[0].name
            took_s = calls.requests.end(request, code) if request else time.perf_counter() - started
            if method.is_logged:  # what would be said costs more than to ask
                method.log(
                    "grpc_request",
                    method=method.name,
                    code=code,
                    took_ms=round(took_s * 1000, 1),
                    **(request.about_aws() if request else {}),
                )
        code_to_send, why, details = status
        return await context.abort(code_to_send, why, (*details, (HEADER, request_id)))


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
        self.ours = name.startswith(_OURS)
        self.operation = None if not self.ours else "none" if handler is None else name.rpartition("/")[2]
        self.log = _log.info if self.ours else _log.debug
        self.is_logged = _log.is_enabled_for(logging.INFO if self.ours else logging.DEBUG)
        self.answer = _answer(name, handler, read)
        self.write: Any = None if handler is None else handler.response_serializer
        self.streaming = _streaming(handler)


def _streaming(handler: Handler | None) -> Callable[[Any], Handler] | None:
    if handler is None:
        return grpc.stream_stream_rpc_method_handler
    if handler.request_streaming:
        return partial(
            grpc.stream_stream_rpc_method_handler,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.response_streaming:
        return partial(grpc.unary_stream_rpc_method_handler, response_serializer=handler.response_serializer)
    return None


def _answer(
    method: str, handler: Handler | None, deserialize: Callable[[bytes], Any] | None
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def unimplemented(_request: object, _context: Context) -> None:
        raise _Unimplemented(f"There is no method {method}. Server reflection lists those that are.")

    if handler is None:
        return unimplemented
    deserialize = deserialize or handler.request_deserializer

    def read(request: bytes) -> Any:  # noqa: ANN401  a message
        try:
            return deserialize(request)
        except DecodeError as error:
            raise BadUserInput(f"The request is no message that {method} takes.") from error

    def unary(request: bytes, context: Context) -> Awaitable[Any]:
        answering: Awaitable[Any] = handler.unary_unary(read(request), context)
        return answering

    async def stream(request: Any, context: Context) -> None:  # noqa: ANN401  a message, or many
        answers = (
            handler.stream_stream(request, context)
            if handler.request_streaming
            else handler.unary_stream(read(request), context)
        )
        if not hasattr(answers, "__aiter__"):  # it writes by itself
            await answers
            return
        try:
            async for answer in answers:
                await context.write(answer)
        finally:
            await answers.aclose()

    return stream if handler.response_streaming else unary
