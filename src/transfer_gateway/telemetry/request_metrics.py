"""Requests at each server: those in progress, how long each took, and how it ended."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.telemetry.log import get_logger
from transfer_gateway.telemetry.metrics import Durations, counter, gauge
from transfer_gateway.telemetry.request import CURRENT_REQUEST, FAILURES_LOGGED, Request
from transfer_gateway.telemetry.traceparent import TRACEPARENT, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.telemetry.tracing import Tracing

# Caused by callers, or logged elsewhere: not worth a warning.
EXPECTED_CODES = {
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.SERVER_NOT_FOUND,
    ErrorCode.LOG_GROUP_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    ErrorCode.HISTORY_OFF,
    ErrorCode.AUDIT_LOG_UNAVAILABLE,  # logged once, as `audit_log_unavailable`
}

_log = get_logger(__name__)

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DOORS = ("graphql", "grpc")


class Requests:
    """Starts and ends requests and counts them. Requests that take `slow_s` seconds or longer are logged.

    `tracing` None: no spans; the trace id is known only if the caller sends one.
    """

    def __init__(self, *, slow_s: float, tracing: Tracing | None = None) -> None:
        self._slow_s = slow_s
        self._tracing = tracing
        self._in_flight = dict.fromkeys(_DOORS, 0)
        # Start at 0: Prometheus sees no increase in a series that first appears with the value 1.
        self._failures = Counter({(door, code.value): 0 for door in _DOORS for code in ErrorCode})
        self._durations = Durations(
            "request",
            "Request duration by operation and outcome.",
            ("door", "operation", "code"),
            _BUCKETS_S,
        )

    def begin(
        self,
        door: str,
        operation: str,
        request_id: str,
        header: Callable[[str], str | None] = lambda _: None,
    ) -> Request:
        """Start a request for the running task and the tasks it creates. `header` looks up a request header."""
        request = Request(door, operation, request_id)
        if self._tracing is not None:
            request.span = self._tracing.begin_request(request, header)
        elif (traceparent := header(TRACEPARENT)) is not None:
            request.trace_id = trace_id_of(traceparent)
        self._in_flight[door] += 1
        CURRENT_REQUEST.set(request)
        return request

    def end(self, request: Request, status: str | None = None) -> float:
        """`status`: the HTTP or gRPC status. Returns: the duration in seconds."""
        took_s = time.perf_counter() - request.started
        request.context = None  # it leads back to the request
        if request.failures:
            self._count_failures(request)
        if request.is_subscription:
            return took_s
        if request.release is not None:
            request.release()
        self._in_flight[request.door] -= 1
        self._durations.observe((request.door, request.operation, request.code), took_s)
        if self._tracing is not None and request.span is not None:
            self._tracing.end_request(request, request.span, status)
        if took_s >= self._slow_s:
            _log.warning(
                "slow_request",
                door=request.door,
                operation=request.operation,
                code=request.code,
                took_ms=round(took_s * 1000, 1),
                **request.aws_summary(),
            )
        return took_s

    def subscribed(self, request: Request) -> None:
        """It is a subscription from now on: no request in progress, however long it lasts. `end` it nevertheless."""
        self.end(request)
        request.failures = {}
        request.is_subscription = True

    def _count_failures(self, request: Request) -> None:
        for code, count in request.failures.items():
            self._failures[request.door, code] += count
        if any(
            count > FAILURES_LOGGED for code, count in request.failures.items() if code not in EXPECTED_CODES
        ):
            _log.warning(
                "lookups_failed", door=request.door, operation=request.operation, failures=request.failures
            )

    def collect(self) -> Iterator[Metric]:
        yield from self._durations.collect()
        yield gauge(
            "requests_in_flight",
            "Requests in progress.",
            ("door",),
            {(door,): count for door, count in self._in_flight.items()},
        )
        yield counter(
            "failures",
            "Failures returned to callers, as a request's error or as data in its response.",
            ("door", "code"),
            self._failures,
        )
