"""Tracks calls from their headers to the last response byte, and ends those whose clients are too slow.

grpc.aio's behavior, each point observed on the wire (tests/api/test_rpc_slow_clients.py):

- It has no timeouts: not for a call's message, not for a write while the client's window is closed or its socket full,
  not for a unary response after the handler has returned, and not for a status queued behind any of these.
- A call has two tasks. One runs the handler; the other, named `rpc_task`, waits until grpc's core reports that the call
  has ended. Cancelling only the first leaves the call open as long as its connection. Once both have ended, nothing
  references the call, and core cancels it: the client gets CANCELLED regardless of its window, and the memory is freed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.api.rpc.grpc_internals import handlers_of, tasks_of_calls
from transfer_gateway.backoff import jittered
from transfer_gateway.domain.errors import DeadlineExceeded, GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from transfer_gateway.api.unread import UnreadBytes, UnreadEntry

    AnyTask = asyncio.Task[object]

_log = get_logger(__name__)

LARGE_BYTES = 16_384  # of a unary response; the limit on calls bounds smaller ones
AWAITING_MESSAGE, RUNNING, SENDING = range(3)

_SCAN_INTERVAL_S = 0.1
_SCANS_PER_SLOW_SCAN = 10  # of orphans and subscriptions
_STATUS_TIMEOUT_S = 1.0  # for a status to reach a slow client
_URGENT_READ_TIMEOUT_S = 2.0  # at shutdown, and near the limit on calls
# At shutdown: until no call came in so many scans, each of which takes so many rounds of the event loop at least, as a
# call takes some from grpc's core to us.
_QUIET_SCANS, _ACCEPTING_S, _ACCEPTING_ROUNDS, _MAX_ACCEPTING_S = 2, 0.02, 5, 2.0
_NEAR_LIMIT = 0.75  # of the maximum number of calls; above it, slow readers are dropped sooner
_CALL_MEMORY_BYTES = 32_768
_REQUEST_MEMORY_FACTOR = 10  # memory of a request per byte on the wire, measured with 1,000 keys
_SPREAD = 0.9  # of the maximum age, so that subscriptions that began together don't end together
_RESUME = "Subscribe again with the cursor of the last change received."
_MAX_AWAITING_MESSAGE = 50  # seen in two scans; most messages arrive in one packet with their headers


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`request_timeout_s` includes sending the response. `max_public`: streams that need no token.

    `max_calls`: without subscriptions, which the core limits. `max_subscription_s`: each ends after that, at most.
    """

    max_calls: int
    request_timeout_s: float
    message_timeout_s: float
    max_public: int
    max_subscription_s: float


class Call:
    """State of a call. Class attributes are defaults: most calls end before they change."""

    task: AnyTask
    stage = AWAITING_MESSAGE
    writes = 0  # streams only
    caller = ""  # set once authenticated
    request_bytes = 0  # streams only
    waiting_bytes = 0  # of the response being sent
    ended_by: GatewayError | None = None
    dropped = False
    is_stream = False  # of responses
    is_public = False
    is_long_lived = False  # open until its client disconnects: a health watch, or a subscription
    is_subscription = False
    ends_at = 0.0  # loop time; subscriptions only
    answered = False  # the handler has returned

    first_seen: float | None = None  # loop time; set by `observe`
    _last_seen: tuple[int, int] | None = None
    unchanged_since = 0.0
    _unread: UnreadEntry | None = None

    def observe(self, now: float) -> float:
        """Returns: seconds without progress."""
        if self.first_seen is None:
            self.first_seen = now
        seen = (self.stage, self.writes)
        if seen != self._last_seen:
            self._last_seen, self.unchanged_since = seen, now
        return now - self.unchanged_since

    def count_unread(self, unread: UnreadBytes) -> None:
        """Count its memory as held for a slow client."""
        if self._unread is None:
            size_bytes = _CALL_MEMORY_BYTES + self.waiting_bytes + self.request_bytes * _REQUEST_MEMORY_FACTOR
            too_slow = Throttled("The client reads its responses too slowly.")
            self._unread = unread.add(self.caller, size_bytes, lambda: self.end(too_slow))

    @property
    def is_counted(self) -> bool:
        return self._unread is not None

    def uncount_unread(self) -> None:
        if self._unread is not None:
            self._unread.remove()
            self._unread = None

    def end(self, error: GatewayError) -> None:
        """End the call with this error's status, unless it is ending already."""
        if self.answered:
            self.dropped = True  # a status would be queued behind the response
        elif self.ended_by is None:
            self.ended_by = error
            self.task.cancel()


class ActiveCalls:
    """All active calls. If no status can reach a call's client, it is dropped: the client gets CANCELLED."""

    def __init__(self, limits: CallLimits, unread: UnreadBytes) -> None:
        self._limits = limits
        self._unread = unread
        self.open: dict[AnyTask, Call] = {}  # by handler task; `Calls` adds and removes them
        self._public: dict[AnyTask, Call] = {}  # oldest first
        self._subscriptions: dict[AnyTask, Call] = {}  # not in `open`
        self._orphans: set[AnyTask] = set()
        self._stopping = self._subscriptions_end = False

    @property
    def subscriptions(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, call: Call) -> None:
        """The call has become a subscription. `max_calls` is not for it, nor is the request's deadline."""
        task, now = call.task, asyncio.get_running_loop().time()
        del self.open[task]
        task.remove_done_callback(self.open.pop)
        self._subscriptions[task] = call
        task.add_done_callback(self._subscriptions.pop)
        call.is_subscription = call.is_long_lived = True
        call.ends_at = now + jittered(self._limits.max_subscription_s, _SPREAD, 1.0)
        if self._subscriptions_end:
            self.end_subscriptions()

    def add_public(self, call: Call) -> None:
        self._public[call.task] = call
        call.task.add_done_callback(self._public.pop)
        if len(self._public) > self._limits.max_public:
            oldest = next((each for each in self._public.values() if not _is_ending(each)), call)
            if oldest.stage == AWAITING_MESSAGE:
                oldest.dropped = True
            else:
                oldest.end(
                    Throttled("Too many unauthenticated calls are open; this one, the oldest, was closed.")
                )

    def set_caller(self, caller: str, size_bytes: int = 0) -> None:
        """Set the caller of the running task's call. `size_bytes`: of the response, once it is ready to send."""
        task = asyncio.current_task()
        if task is None or (call := self.open.get(task)) is None:
            return
        call.caller = caller
        if size_bytes:
            call.waiting_bytes = size_bytes
            self._count_unread(call)

    def _count_unread(self, call: Call) -> None:
        call.count_unread(self._unread)
        if call.answered:
            call.task.add_done_callback(lambda _: call.uncount_unread())

    async def watch(self) -> None:
        """Scan all calls periodically."""
        scans = 0
        while True:
            await asyncio.sleep(_SCAN_INTERVAL_S)
            scans += 1
            stuck = self._scan(self.open.values())
            if scans % _SCANS_PER_SLOW_SCAN == 0:
                self._drop_orphans()
                stuck += self._scan(self._subscriptions.values())
            if stuck:
                # After the event loop was blocked, data that arrived meanwhile reaches its task only now.
                for _ in range(3):
                    await asyncio.sleep(0)
                now = asyncio.get_running_loop().time()
                self._drop([call for call in stuck if call.dropped or call.observe(now) > 0])

    def _scan(self, calls: Iterable[Call]) -> list[Call]:
        now = asyncio.get_running_loop().time()
        stuck, awaiting = [], []
        for call in list(calls):
            unchanged_s = call.observe(now)
            if self._is_stuck(call, now, unchanged_s):
                stuck.append(call)
            elif call.stage == AWAITING_MESSAGE and unchanged_s:
                awaiting.append(call)
            elif call.stage == SENDING and unchanged_s and not call.is_counted and call.ended_by is None:
                self._count_unread(call)
        allowed = 0 if self._is_near_limit() else _MAX_AWAITING_MESSAGE
        return stuck + awaiting[: max(len(awaiting) - allowed, 0)]

    def _is_near_limit(self) -> bool:
        return len(self.open) > self._limits.max_calls * _NEAR_LIMIT

    def _is_stuck(self, call: Call, now: float, unchanged_s: float) -> bool:
        """Whether the call must be dropped. Ends it with a status instead if one may still reach the client."""
        if call.dropped:
            return True
        if call.stage == AWAITING_MESSAGE:
            return unchanged_s >= (_STATUS_TIMEOUT_S if self._stopping else self._limits.message_timeout_s)
        is_urgent = self._stopping or (self._is_near_limit() and not call.is_subscription)
        if is_urgent and call.stage == SENDING and unchanged_s >= _URGENT_READ_TIMEOUT_S:
            return True
        assert call.first_seen is not None  # noqa: S101  `observe` sets it
        is_late = now - call.first_seen >= self._limits.request_timeout_s
        if call.answered:
            return unchanged_s >= _STATUS_TIMEOUT_S and (is_late or call.ended_by is not None)
        if call.is_long_lived:
            is_late = call.stage == SENDING and unchanged_s >= self._limits.request_timeout_s
        if call.is_subscription:
            self._end_subscription_if_due(call, now, is_late=is_late)
        elif (
            call.is_stream
            and is_late
            and now - call.first_seen >= self._limits.request_timeout_s + _STATUS_TIMEOUT_S
        ):
            call.end(DeadlineExceeded("The client did not read the responses before the request's deadline."))
        return False

    def _end_subscription_if_due(self, call: Call, now: float, *, is_late: bool) -> None:
        if is_late:
            call.end(DeadlineExceeded(f"The client did not read for too long. {_RESUME}"))
        elif now >= call.ends_at:
            call.end(
                UpstreamUnavailable(
                    f"The subscription was open for long; another replica may take it. {_RESUME}"
                )
            )

    def _drop(self, calls: Collection[Call]) -> None:
        if not calls:
            return
        handlers = {call.task for call in calls}
        for task in tasks_of_calls():
            if not handlers.isdisjoint(handlers_of(task)):
                task.cancel()
        for task in handlers:
            task.cancel()
        _log.info("slow_grpc_clients", dropped_calls=len(handlers))

    def _drop_orphans(self) -> None:
        """Free calls that stay open after their handlers have ended without a status.

        This happens if a client closes its side without a message, or if a status can no longer be sent.
        """
        orphans = {
            task
            for task in tasks_of_calls()
            if (found := handlers_of(task)) and all(each.done() for each in found)
        }
        for task in orphans & self._orphans:
            task.cancel()
        self._orphans = orphans

    def end_public(self) -> None:
        """End health watches and reflection streams, which have no deadline. Our own methods do."""
        self._end(list(self._public.values()))

    def end_subscriptions(self) -> None:
        """End all subscriptions, from now on."""
        self._subscriptions_end = True
        self._end(list(self._subscriptions.values()))

    def end_all(self) -> None:
        """End all active calls."""
        self._stopping = True
        self._end(list(self.open.values()))

    def _end(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.stage != AWAITING_MESSAGE and not call.answered:
                resume = f" {_RESUME}" if call.is_subscription else ""
                call.end(UpstreamUnavailable(f"The service is shutting down.{resume}"))

    async def until_accepted(self) -> None:
        """Wait until no calls have come for 40 ms, at most two seconds: grpc cancels those that wait in its core."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + _MAX_ACCEPTING_S
        known: set[AnyTask] = set()
        quiet = 0
        while loop.time() < ends_at:
            await asyncio.sleep(_ACCEPTING_S)
            for _ in range(_ACCEPTING_ROUNDS):
                await asyncio.sleep(0)
            accepted = {*self.open, *self._subscriptions}
            quiet = quiet + 1 if accepted <= known else 0
            if quiet == _QUIET_SCANS:
                return
            known = accepted

    async def drain(self) -> None:
        """Wait until all calls have ended. From now on clients that don't read are dropped after two seconds."""
        self._stopping = True
        while calls := [*self.open, *self._subscriptions]:
            await asyncio.wait(calls)


def _is_ending(call: Call) -> bool:
    return call.dropped or call.ended_by is not None
