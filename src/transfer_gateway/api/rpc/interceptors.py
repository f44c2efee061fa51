"""What every call goes through: its id, its log line, and a status for whatever goes wrong."""

from __future__ import annotations

import asyncio
import time
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
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Any  # types-grpcio has that of servers without asyncio

_log = get_logger(__name__)
_OURS = "/transfer_api."


class Calls(grpc.aio.ServerInterceptor):
    """Answers every call, and knows those under way, so that they end properly when the service does."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()
        self._endless: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()

    def end_watches(self) -> None:
        """End what would never end by itself: health watches and reflection. Our own methods have deadlines."""
        self._end(self._endless)

    def end_all(self) -> None:
        """End whatever is still under way."""
        self._end(self._under_way)

    def _end(self, calls: set[asyncio.Task[Any]]) -> None:
        for call in calls - self._ended:
            self._ended.add(call)
            call.cancel()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        metadata: Any = handler_call_details.invocation_metadata  # text, where the name doesn't end in -bin
        sent = next((text for name, text in metadata if name == HEADER), None)
        handler = await continuation(handler_call_details)

        async def answer(request: Any, context: Context) -> Any:  # noqa: ANN401  messages of any kind
            return await self._answer(handler, method, request, context, request_id_of(sent))

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
        return make(answer, None, handler.response_serializer)

    async def _answer(
        self,
        handler: Handler | None,
        method: str,
        request: Any,  # noqa: ANN401  as above
        context: Context,
        request_id: str,
    ) -> Any:  # noqa: ANN401  as above
        call = asyncio.current_task()
        assert call is not None  # noqa: S101  grpc.aio runs each call in a task
        self._under_way.add(call)
        if not method.startswith(_OURS):
            self._endless.add(call)
        context.set_trailing_metadata(((HEADER, request_id),))
        started = time.perf_counter()
        status, code = None, "OK"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                return await _run(handler, method, request, context)
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
                    code = "CANCELLED"
                    raise
                status = to_status(UpstreamUnavailable("The service is shutting down."), request_id)
            except Exception as fault:  # noqa: BLE001  the door: nothing of a fault goes out but its request's id
                log_fault(fault)
                masked = InternalServerError(f"Internal server error. Request id: {request_id}.")
                status = to_status(masked, request_id)
            finally:
                for calls in (self._under_way, self._endless, self._ended):
                    calls.discard(call)
                if status is not None:
                    code = status[0].name
                log = _log.info if method.startswith(_OURS) else _log.debug
                log(
                    "grpc_request",
                    method=method,
                    code=code,
                    took_ms=round((time.perf_counter() - started) * 1000, 1),
                )
        code_to_send, message, details = status
        return await context.abort(code_to_send, message, (*details, (HEADER, request_id)))


class _Unimplemented(Exception):
    """There is no such method."""


async def _run(handler: Handler | None, method: str, request: Any, context: Context) -> Any:  # noqa: ANN401  as above
    """The method's answer; those of a stream are written to it."""
    if handler is None:
        raise _Unimplemented(f"There is no method {method}. Server reflection lists those that are.")
    if not handler.request_streaming:
        try:
            request = handler.request_deserializer(request)
        except DecodeError as error:
            raise BadUserInput(f"The request is no message that {method} takes.") from error
    if not handler.response_streaming:
        return await handler.unary_unary(request, context)
    behavior = handler.stream_stream if handler.request_streaming else handler.unary_stream
    answers = behavior(request, context)
    if not hasattr(answers, "__aiter__"):  # it writes by itself
        return await answers
    try:
        async for answer in answers:
            await context.write(answer)
    finally:
        await answers.aclose()
    return None
