"""Request telemetry, from start to end: the operation, its AWS calls and its outcome."""

from __future__ import annotations

import time
from collections import Counter
from contextvars import Context, ContextVar
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.telemetry.log import LOG_IDS, get_logger
from transfer_gateway.telemetry.metrics import Durations, counter, gauge
from transfer_gateway.telemetry.traceparent import TRACEPARENT, trace_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span
    from prometheus_client.core import Metric

    from transfer_gateway.telemetry.aws_calls import AwsCall
    from transfer_gateway.telemetry.tracing import Tracing

CANCELLED = "CANCELLED"  # code if the deadline passed or the caller left before the end

# Caused by callers, or logged elsewhere: not worth a warning.
EXPECTED_CODES = {
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    ErrorCode.AUDIT_LOG_UNAVAILABLE,  # logged once, as `audit_log_unavailable`
}

_log = get_logger(__name__)

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DOORS = ("graphql", "grpc")
_CALLS_LISTED = 10  # per request
_FAILURES_LOGGED = 5  # per code and request: a search can have 1,000 failures, a list more

_current: ContextVar[Request | None] = ContextVar("request", default=None)


def current_request() -> Request | None:
    """The request that this task, or the shared work it does, was started for."""
    return _current.get()


def context_of(request: Request | None) -> Context:
    """A context for a shared task that a request starts. It contains only that request.

    The task's log lines have the request's ids, and its AWS calls are counted and traced as the request's. Requests
    that join the task later name this one in their own log lines (`joined_requests`). None: an empty context.
    """
    if request is None:
        return Context()
    if request.context is None:
        request.context = Context()
        request.context.run(_enter, request)
    return request.context.copy()


def _enter(request: Request) -> None:
    _current.set(request)
    LOG_IDS.set(request.ids())


class Request:
    """What is recorded about a request. `operation` and `code` come from fixed lists, never from caller input.

    `code`: OK, or the code of the error that failed the whole request. `failed` records partial failures.
    Kept small: an AWS connection opened during the request keeps it, and its whole context, until it is closed.
    """

    __slots__ = (
        "aws_calls",
        "code",
        "context",
        "door",
        "failures",
        "graphql_name",
        "graphql_type",
        "id",
        "joined",
        "operation",
        "release",
        "slowest",
        "span",
        "started",
        "trace_id",
    )

    def __init__(self, door: str, operation: str, request_id: str) -> None:
        self.door = door
        self.operation = operation
        self.id = request_id
        self.trace_id: str | None = None
        self.span: Span | None = None
        self.graphql_type: str | None = None
        self.graphql_name: str | None = None
        self.code = "OK"
        self.release: Callable[[], None] | None = None  # called at the request's end
        self.started = time.perf_counter()
        self.failures: dict[str, int] = {}  # by code
        self.aws_calls = 0
        self.slowest: list[tuple[float, str]] = []  # a heap of (seconds, AWS request id)
        self.joined: list[str] = []
        self.context: Context | None = None  # what `context_of` copies

    def ids(self) -> dict[str, str]:
        """Ids for every log line about this request."""
        if self.trace_id is None:
            return {"request_id": self.id}
        return {"request_id": self.id, "trace_id": self.trace_id}

    def failed(self, code: str) -> bool:
        """Record a failure returned to the caller.

        Returns: whether to log it on its own line. Further ones are summed up in one line at the request's end.
        """
        count = self.failures[code] = self.failures.get(code, 0) + 1
        return count <= _FAILURES_LOGGED

    def record_aws_call(self, call: AwsCall) -> None:
        self.aws_calls += 1
        entry = (call.took_s, call.request_id or "")
        if len(self.slowest) < _CALLS_LISTED:
            heappush(self.slowest, entry)
        else:
            heappushpop(self.slowest, entry)

    def record_join(self, other: Request | None) -> None:
        """Record that this request waits for an AWS call that the other one started."""
        if other is None or other is self or len(self.joined) >= _CALLS_LISTED:
            return
        self.joined.append(other.id)
        if self.span is not None and other.span is not None:
            self.span.add_link(other.span.get_span_context())

    def aws_summary(self) -> dict[str, Any]:
        """Log fields: the number of AWS calls it started, the slowest ones' ids, and requests whose calls it shared."""
        summary: dict[str, Any] = {}
        if self.aws_calls:
            summary["aws_calls"] = self.aws_calls
            summary["aws_request_ids"] = [
                call_id for _, call_id in sorted(self.slowest, reverse=True) if call_id
            ]
        if self.joined:
            summary["joined_requests"] = self.joined
        return summary


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
        _current.set(request)
        return request

    def end(self, request: Request, status: str | None = None) -> float:
        """`status`: the HTTP or gRPC status. Returns: the duration in seconds."""
        took_s = time.perf_counter() - request.started
        request.context = None  # it leads back to the request
        if request.release is not None:
            request.release()
        self._in_flight[request.door] -= 1
        self._durations.observe((request.door, request.operation, request.code), took_s)
        if self._tracing is not None and request.span is not None:
            self._tracing.end_request(request, request.span, status)
        if request.failures:
            self._count_failures(request)
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

    def _count_failures(self, request: Request) -> None:
        for code, count in request.failures.items():
            self._failures[request.door, code] += count
        if any(
            count > _FAILURES_LOGGED for code, count in request.failures.items() if code not in EXPECTED_CODES
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
