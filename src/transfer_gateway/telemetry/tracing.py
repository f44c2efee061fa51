"""OpenTelemetry traces: a span per request, with a child span for each AWS call that it starts.

Imported only if traces are exported, so that otherwise the SDK is not loaded and no span is created. Apart from ids,
span attributes come from fixed lists: no documents, variables or tokens.
Source: OpenTelemetry's semantic conventions for GraphQL servers, RPC and the AWS SDK.
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

_EXPORT_TIMEOUT_S = 3.0
_NAME_CHARACTERS = 100  # of an operation name, which the caller chooses
_CALLER_ERRORS = {  # correct responses to callers' mistakes: the span has not failed
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.SERVER_NOT_FOUND,
    ErrorCode.LOG_GROUP_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    ErrorCode.HISTORY_OFF,
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
}
_GRPC_SERVICE = "transfer_api.v1.ExecutionService"


class Tracing:
    """Creates spans and exports them by OTLP. OpenTelemetry's environment variables set endpoint and sampling."""

    def __init__(self) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("transfer_gateway", version("transfer-gateway"))
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, request: Request, header: Callable[[str], str | None]) -> Span:
        """Start a request's span, within the caller's trace if the caller sends one."""
        trace_headers = {
            name: value for name in (TRACEPARENT, TRACESTATE) if (value := header(name)) is not None
        }
        span = self._tracer.start_span(
            request.operation,
            self._propagator.extract(trace_headers),
            SpanKind.SERVER,
            {"request.id": request.id},
        )
        request.trace_id = format_trace_id(span.get_span_context().trace_id)
        return span

    def end_request(self, request: Request, span: Span, status: str | None) -> None:
        """`status`: the HTTP or gRPC status."""
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
            _set_outcome(span, request.code)
        span.end()

    def begin_call(self, call: AwsCall, request: Request | None) -> Span:
        """Start an AWS call's span, a child of the span of the request that started the call."""
        parent = request.span if request is not None else None
        return self._tracer.start_span(
            call.operation,
            set_span_in_context(parent) if parent is not None else None,
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
        _set_outcome(span, call.code)
        span.end()

    async def close(self) -> None:
        """Export the remaining spans within a few seconds: an unresponsive collector must not delay shutdown."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def export_remaining() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the wait timed out and the loop is closed
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=export_remaining, name="span export", daemon=True).start()
        try:
            async with asyncio.timeout(_EXPORT_TIMEOUT_S):
                await sent.wait()
        except TimeoutError:
            _log.warning("spans_not_exported", waited_s=_EXPORT_TIMEOUT_S)


def _set_outcome(span: Span, code: str) -> None:
    if code != "OK":
        span.set_attribute("error.type", code)
        if code not in _CALLER_ERRORS:
            span.set_status(StatusCode.ERROR)


def _resource() -> Resource:
    """From OpenTelemetry's environment variables, with our service name as the default."""
    ours = {SERVICE_NAME: "transfer-gateway", SERVICE_VERSION: version("transfer-gateway")}
    given = Resource.create()
    if not str(given.attributes[SERVICE_NAME]).startswith("unknown_service"):
        del ours[SERVICE_NAME]
    return given.merge(Resource(ours))
