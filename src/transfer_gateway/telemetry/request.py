"""What is recorded about a request while it is answered, and about each of its AWS calls."""

from __future__ import annotations

import time
from contextvars import Context, ContextVar
from dataclasses import dataclass
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Any

from transfer_gateway.telemetry.log import LOG_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span

CANCELLED = "CANCELLED"  # code if the deadline passed or the caller left before the end
FAILURES_LOGGED = 5  # per code and request: a search can have 1,000 failures, a list more
_CALLS_LISTED = 10  # per request

CURRENT_REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)


def current_request() -> Request | None:
    """The request that this task, or the shared work it does, was started for."""
    return CURRENT_REQUEST.get()


def leave_request() -> None:
    """Go on without it, since it has ended, as a subscription does that has begun."""
    CURRENT_REQUEST.set(None)


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
    CURRENT_REQUEST.set(request)
    LOG_IDS.set(request.ids())


@dataclass(slots=True)
class AwsCall:
    """One call. `request_id`: AWS's. `code`: OK, an error code, or CANCELLED."""

    operation: str
    account_id: str
    region: str
    code: str = "OK"
    took_s: float = 0.0
    request_id: str | None = None


class Request:
    """What is recorded about a request. `operation` and `code` come from fixed lists, never from caller input.

    `code`: OK, or the code of the error that failed the whole request. `failed` records partial failures.
    `is_subscription`: it has become one, so it is no request in progress.
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
        "is_subscription",
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
        self.is_subscription = False
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
        return count <= FAILURES_LOGGED

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
        if other.id in self.joined:  # it has started several of them
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
