"""Traces, by OpenTelemetry: a span for each request at a door, and below it one for each call to AWS that it began.

Imported only where traces are exported: without it there is no SDK in memory, and no span is made. What spans say of
requests is from short lists, ids aside: no documents, no variables, no tokens.
Source: OpenTelemetry's semantic conventions for GraphQL servers, RPC and AWS's SDK.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.telemetry.log import get_logger
from transfer_gateway.telemetry.traceparent import TRACEPARENT, TRACESTATE

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

    from transfer_gateway.telemetry.request import AwsCall, Request

_log = get_logger(__name__)

_LAST_WORDS_S = 3.0
_NAME_CHARACTERS = 100  # of an operation's name, which its caller has chosen
_CALLERS_FAULT = {  # a span with these has not failed: its answer is the right one
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
}
_GRPC_SERVICE = "transfer_api.v1.ExecutionService"


class Tracing:
    """The way of spans to OTLP's receiver. Where that is, and what is sampled, OpenTelemetry's variables say."""

    def __init__(self) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("transfer_gateway", version("transfer-gateway"))
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, request: Request, header: Callable[[str], str | None]) -> Span:
        """The span of a request, within its caller's trace where the caller tells one."""
        told = {name: value for name in (TRACEPARENT, TRACESTATE) if (value := header(name)) is not None}
        span = self._tracer.start_span(
            request.operation, self._propagator.extract(told), SpanKind.SERVER, {"request.id": request.id}
        )
        request.trace_id = format_trace_id(span.get_span_context().trace_id)
        return span

    def end_request(self, request: Request, span: Span, status: str | None) -> None:
        """`status` is what the door calls the outcome."""
        if span.is_recording():
            if request.door == "grpc":
                method = f"{_GRPC_SERVICE}/{request.operation}"
                span.update_name(method)
                span.set_attributes({"rpc.system.name": "grpc", "rpc.method": method})
                if status is not None:
                    span.set_attribute("rpc.response.status_code", status)
            else:
                span.update_name(f"{request.graphql_type or 'graphql'} {request.operation}")
                if request.graphql_type is not None:
                    span.set_attribute("graphql.operation.type", request.graphql_type)
                if request.graphql_name is not None:
                    span.set_attribute("graphql.operation.name", request.graphql_name[:_NAME_CHARACTERS])
                if status is not None:
                    span.set_attributes({"http.route": "/graphql", "http.response.status_code": int(status)})
            if request.failures:
                span.set_attribute("transfer_gateway.failures", list(request.failures))
            _tell_outcome(span, request.code)
        span.end()

    def begin_call(self, call: AwsCall, request: Request | None) -> Span:
        """The span of a call to AWS, below that of the request that began it."""
        within = request.span if request is not None else None
        return self._tracer.start_span(
            call.operation,
            set_span_in_context(within) if within is not None else None,
            SpanKind.CLIENT,
            {
                "rpc.system.name": "aws-api",
                "rpc.method": call.operation,
                "cloud.account.id": call.account_id,
                "cloud.region": call.region,
            },
        )

    @staticmethod
    def end_call(call: AwsCall, span: Span) -> None:
        if call.request_id is not None:
            span.set_attribute("aws.request_id", call.request_id)
        _tell_outcome(span, call.code)
        span.end()

    async def close(self) -> None:
        """Send what is left, for some seconds at most: a receiver that does not answer must not hold up the end."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def send_the_rest() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send_the_rest, name="last spans", daemon=True).start()
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await sent.wait()
        except TimeoutError:
            _log.warning("spans_not_exported", waited_s=_LAST_WORDS_S)


def _tell_outcome(span: Span, code: str) -> None:
    if code != "OK":
        span.set_attribute("error.type", code)
        if code not in _CALLERS_FAULT:
            span.set_status(StatusCode.ERROR)


def _resource() -> Resource:
    """As OpenTelemetry's variables have it; our own name where they give none."""
    ours = {SERVICE_NAME: "transfer-gateway", SERVICE_VERSION: version("transfer-gateway")}
    given = Resource.create()
    if not str(given.attributes[SERVICE_NAME]).startswith("unknown_service"):
        del ours[SERVICE_NAME]
    return given.merge(Resource(ours))
