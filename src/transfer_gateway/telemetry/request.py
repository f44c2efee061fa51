"""What becomes known of a request while it is answered, and of each call to AWS that it makes."""

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

GIVEN_UP = "CANCELLED"  # the code of what was not waited for: its deadline came first, or its caller left
_CALLS_TOLD = 10  # of one request's
FAILURES_LOGGED = 5  # of each code in one request: a search may be told 1,000 of them, a list more

CURRENT_REQUEST: ContextVar[Request | None] = ContextVar("request", default=None)


def current_request() -> Request | None:
    """The request that this task works for, or that began the shared task that this is."""
    return CURRENT_REQUEST.get()


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
    CURRENT_REQUEST.set(request)
    LOG_IDS.set(request.ids())


@dataclass(slots=True)
class AwsCall:
    """One call. `request_id` is AWS's; `code` OK, that of the error it led to, or CANCELLED."""

    operation: str
    account_id: str
    region: str
    code: str = "OK"
    took_s: float = 0.0
    request_id: str | None = None


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
        return count <= FAILURES_LOGGED

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
