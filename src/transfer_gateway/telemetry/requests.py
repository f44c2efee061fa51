"""One request at a door, from its beginning to its end: what it wanted, what it asked of AWS, and what came of it."""

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

GIVEN_UP = "CANCELLED"  # the code of what was not waited for: its deadline came first, or its caller left

# What callers cause by asking, or an operator knows already: no news.
EVERYDAY = {
    ErrorCode.EXECUTION_NOT_FOUND,
    ErrorCode.WORKFLOW_NOT_FOUND,
    ErrorCode.ACCOUNT_NOT_AVAILABLE,
    ErrorCode.BAD_USER_INPUT,
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.FORBIDDEN,
    ErrorCode.AUDIT_LOG_UNAVAILABLE,  # told once, as `audit_log_unavailable`
}

_log = get_logger(__name__)

_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DOORS = ("graphql", "grpc")
_CALLS_TOLD = 10  # of one request's
_FAILURES_LOGGED = 5  # of each code in one request: a search may be told 1,000 of them, a list more

_current: ContextVar[Request | None] = ContextVar("request", default=None)


def current_request() -> Request | None:
    """The request that this task works for, or that began the shared task that this is."""
    return _current.get()


def context_of(request: Request | None) -> Context:
    """A context for a shared task that a request begins, empty but for that request.

    The task's log lines carry the request's ids, and its AWS calls are counted and traced as the request's. Whoever
    joins the task later names this request in its own log line (`joined_requests`). None: nobody's request.
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
    """What becomes known of a request. `operation` and `code` are from short lists, never a caller's words.

    `code`: OK, or that of the error that the whole request failed with. Failures of parts go by `failed`.
    It is small, since a connection to AWS that it opens keeps it, with all of its context, for as long as it is open.
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
        self.release: Callable[[], None] | None = None  # what it holds, at its end
        self.started = time.perf_counter()
        self.failures: dict[str, int] = {}  # by code
        self.aws_calls = 0
        self.slowest: list[tuple[float, str]] = []  # a heap: the seconds that each took, and AWS's id of it
        self.joined: list[str] = []
        self.context: Context | None = None  # what `context_of` copies

    def ids(self) -> dict[str, str]:
        """What each line of the log about it has."""
        if self.trace_id is None:
            return {"request_id": self.id}
        return {"request_id": self.id, "trace_id": self.trace_id}

    def failed(self, code: str) -> bool:
        """Something that it asked for went out as a failure of that code.

        Returns: whether it gets a line of its own in the log; the others are counted in one line at the request's end.
        """
        count = self.failures[code] = self.failures.get(code, 0) + 1
        return count <= _FAILURES_LOGGED

    def asked_aws(self, call: AwsCall) -> None:
        self.aws_calls += 1
        told = (call.took_s, call.request_id or "")
        if len(self.slowest) < _CALLS_TOLD:
            heappush(self.slowest, told)
        else:
            heappushpop(self.slowest, told)

    def waits_for(self, other: Request | None) -> None:
        """It shares a call to AWS that the other one began."""
        if other is None or other is self or len(self.joined) >= _CALLS_TOLD:
            return
        self.joined.append(other.id)
        if self.span is not None and other.span is not None:
            self.span.add_link(other.span.get_span_context())

    def about_aws(self) -> dict[str, Any]:
        """For the log: how many calls to AWS it began, the ids of the slowest, and whose calls it shared."""
        told: dict[str, Any] = {}
        if self.aws_calls:
            told["aws_calls"] = self.aws_calls
            told["aws_request_ids"] = [
                call_id for _, call_id in sorted(self.slowest, reverse=True) if call_id
            ]
        if self.joined:
            told["joined_requests"] = self.joined
        return told


class Requests:
    """Those under way and those that have ended. One that took longer than `slow_s` is logged.

    `tracing` None: no span is made, and a request's trace is known only where its caller tells it.
    """

    def __init__(self, *, slow_s: float, tracing: Tracing | None = None) -> None:
        self._slow_s = slow_s
        self._tracing = tracing
        self._in_flight = dict.fromkeys(_DOORS, 0)
        # From 0 on: what appears with its first failure has not risen, to Prometheus.
        self._failures = Counter({(door, code.value): 0 for door in _DOORS for code in ErrorCode})
        self._durations = Durations(
            "request",
            "Requests by what they asked for and what came of it; how long each took.",
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
        """A request of the running task's, and of those that it starts. `header` gives one of its headers."""
        request = Request(door, operation, request_id)
        if self._tracing is not None:
            request.span = self._tracing.begin_request(request, header)
        elif (traceparent := header(TRACEPARENT)) is not None:
            request.trace_id = trace_id_of(traceparent)
        self._in_flight[door] += 1
        _current.set(request)
        return request

    def end(self, request: Request, status: str | None = None) -> float:
        """`status` is what its door calls the outcome. Returns: the seconds it took."""
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
                **request.about_aws(),
            )
        return took_s

    def _count_failures(self, request: Request) -> None:
        for code, count in request.failures.items():
            self._failures[request.door, code] += count
        if any(count > _FAILURES_LOGGED for code, count in request.failures.items() if code not in EVERYDAY):
            _log.warning(
                "lookups_failed", door=request.door, operation=request.operation, failures=request.failures
            )

    def collect(self) -> Iterator[Metric]:
        yield from self._durations.collect()
        yield gauge(
            "requests_in_flight",
            "Requests that are being answered.",
            ("door",),
            {(door,): count for door, count in self._in_flight.items()},
        )
        yield counter(
            "failures",
            "Failures told to callers, as a request's error or as data in its answer.",
            ("door", "code"),
            self._failures,
        )
