"""What every call goes through: its id, its log line, and a status for whatever goes wrong."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
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
from transfer_gateway.telemetry import GIVEN_UP, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer_gateway.telemetry import Requests

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Any  # types-grpcio has that of servers without asyncio

_log = get_logger(__name__)
_OURS = "/transfer_api."


class Calls(grpc.GenericRpcHandler):
    """Answers every call, and knows those under way, so that they end properly when the service does.

    Services are added to it as to a server. Not an interceptor: those of grpc.aio cost every call a coroutine and
    a new handler, a tenth of all that a lookup costs (bench/grpc_overhead.py).
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._handlers: dict[str, Handler] = {}
        self._under_way: dict[asyncio.Task[Any], str] = {}  # each with its method
        self._ended: set[asyncio.Task[Any]] = set()

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same methods as below, as grpc's generated code tells them to servers of old."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        """What grpc's generated code calls for each service."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = self._wrapped(method, handler)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        method = handler_call_details.method
        handler = self._handlers.get(method)
        return self._wrapped(method, None) if handler is None else handler

    def end_watches(self) -> None:
        """End what would never end by itself: health watches and reflection. Our own methods have deadlines."""
        self._end({call for call, method in self._under_way.items() if not method.startswith(_OURS)})

    def end_all(self) -> None:
        """End whatever is still under way."""
        self._end(set(self._under_way))

    def _end(self, calls: set[asyncio.Task[Any]]) -> None:
        for call in calls - self._ended:
            self._ended.add(call)
            call.cancel()

    def _wrapped(self, method: str, handler: Handler | None) -> Handler:
        """The handler of a method, or of one that there is not, with all of this around it."""
        answer = partial(self._answer, _behavior(method, handler), method, _operation(method, handler))
        if handler is None:
            return grpc.stream_stream_rpc_method_handler(answer)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                answer, handler.request_deserializer, handler.response_serializer
            )
        # The request stays bytes: what grpc.aio makes of one that can't be read is no answer to its sender.
        make = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(
            answer,
            None,
            lambda message: message if type(message) is bytes else handler.response_serializer(message),
        )

    async def _answer(
        self,
        behavior: Callable[[Any, Context], Awaitable[Any]],
        method: str,
        operation: str | None,
        message: Any,  # noqa: ANN401  of any kind
        context: Context,
    ) -> Any:  # noqa: ANN401  as above
        call = asyncio.current_task()
        assert call is not None  # noqa: S101  grpc.aio runs each call in a task
        self._under_way[call] = method
        metadata: Any = context.invocation_metadata()  # text, where the name doesn't end in -bin
        headers = dict(metadata)
        request_id = request_id_of(headers.get(HEADER))
        context.set_trailing_metadata(((HEADER, request_id),))
        request = operation and self._requests.begin("grpc", operation, request_id, headers.get)
        started = time.perf_counter()
        status, code = None, "OK"
        structlog.contextvars.bind_contextvars(  # the task's own: it ends with the call
            **(request.ids() if request else {"request_id": request_id})
        )
        try:
            return await behavior(message, context)
        except GatewayError as error:
            log_failure(error)
            status = to_status(error, request_id)
        except _Unimplemented as error:
            status = unimplemented(str(error))
        except grpc.aio.AbortError:  # by a servicer that is not ours
            code = "ABORTED_BY_SERVICER"
            raise
        except asyncio.CancelledError:
            if call not in self._ended:
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
            del self._under_way[call]
            self._ended.discard(call)
            if status is not None:
                code = status[0].name
            if request:
                self._requests.end(request, code)
            log = _log.info if method.startswith(_OURS) else _log.debug
            log(
                "grpc_request",
                method=method,
                code=code,
                took_ms=round((time.perf_counter() - started) * 1000, 1),
                **(request.about_aws() if request else {}),
            )
        code_to_send, why, details = status
        return await context.abort(code_to_send, why, (*details, (HEADER, request_id)))


def _operation(method: str, handler: Handler | None) -> str | None:
    """What calls of the method are counted as; None: they are not, being no requests of our API."""
    if not method.startswith(_OURS):
        return None
    return "none" if handler is None else method.rpartition("/")[2]


class _Unimplemented(Exception):
    """There is no such method."""


def _behavior(method: str, handler: Handler | None) -> Callable[[Any, Context], Awaitable[Any]]:
    """A coroutine that answers; the answers of a stream are written to it."""

    async def unimplemented(_request: object, _context: Context) -> None:
        raise _Unimplemented(f"There is no method {method}. Server reflection lists those that are.")

    if handler is None:
        return unimplemented

    def read(request: bytes) -> Any:  # noqa: ANN401  a message
        try:
            return handler.request_deserializer(request)
        except DecodeError as error:
            raise BadUserInput(f"The request is no message that {method} takes.") from error

    async def unary(request: bytes, context: Context) -> Any:  # noqa: ANN401  as above
        return await handler.unary_unary(read(request), context)

    async def stream(request: Any, context: Context) -> None:  # noqa: ANN401  as above
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
