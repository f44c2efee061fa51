"""Calls from their head to the last byte of their answer, and the end of those whose clients hold them up.

What grpc.aio does by itself, each seen on the wire (tests/api/test_rpc_slow_clients.py):

- It waits for ever: for a call's message, in a write while the client's window is closed or its socket full, for the
  bytes of a unary answer after the handler has returned, and for a status behind any of these.
- A call has two tasks. One runs the handler; the other, named `rpc_task`, waits until grpc's core says that the call
  is over. Cancelling the first alone leaves the call open as long as its connection is. Once both have ended nothing
  refers to the call, and core cancels it: the client is told CANCELLED past its window, and all of it is freed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.api.rpc.grpc_internals import handlers_of, tasks_of_calls
from transfer_gateway.domain.errors import DeadlineExceeded, GatewayError, Throttled, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from transfer_gateway.api.unread import Unread, UnreadBytes

    AnyTask = asyncio.Task[object]

_log = get_logger(__name__)

LARGE_BYTES = 16_384  # of a unary answer; smaller ones are bounded by the number of calls
AWAITS_MESSAGE, WORKS, SENDS = range(3)

_LOOK_EVERY_S = 0.1
_LOOKS_FOR_ORPHANS_EVERY = 10
_STATUS_S = 1.0  # for a status to reach a client that was told to stop reading so slowly
_SLOW_READERS_WHEN_URGENT_S = 2.0  # at the service's end, and where few calls are left
_CROWDED = 0.75  # of the calls that there may be: from then on who reads slowly gives way
_CALL_COSTS_BYTES = 32_768
_REQUEST_COSTS = 10  # times its bytes in memory: measured with 1,000 keys
_MAX_AWAITING_MESSAGE = 50  # for longer than a look or two: most messages come in one packet with their head


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`request_timeout_s` bounds an answer's way to its client, too. `max_public`: streams that need no token."""

    max_calls: int
    request_timeout_s: float
    message_timeout_s: float
    max_public: int


class Call:
    """What is known of a call. Not in slots: a lookup's call is made and gone before most of it matters."""

    task: AnyTask
    stage = AWAITS_MESSAGE
    writes = 0  # of a stream
    caller = ""  # known when it was admitted
    request_bytes = 0  # of a stream
    waiting_bytes = 0  # of the answer that is being sent
    ended_by: GatewayError | None = None
    dropped = False
    is_stream = False  # of answers
    is_public = False
    lasts = False  # until its client leaves
    answered = False  # the handler has ended

    first_seen: float | None = None  # these by `look`, in the loop's time
    _last_seen: tuple[int, int] | None = None
    still_since = 0.0
    _unread: Unread | None = None

    def see(self, now: float) -> float:
        """Returns: the seconds for which it has not moved."""
        if self.first_seen is None:
            self.first_seen = now
        seen = (self.stage, self.writes)
        if seen != self._last_seen:
            self._last_seen, self.still_since = seen, now
        return now - self.still_since

    def is_unread(self, unread: UnreadBytes) -> None:
        """What it holds in memory waits for its client."""
        if self._unread is None:
            size_bytes = _CALL_COSTS_BYTES + self.waiting_bytes + self.request_bytes * _REQUEST_COSTS
            too_slow = Throttled("The client reads its responses too slowly.")
            self._unread = unread.add(self.caller, size_bytes, lambda: self.end(too_slow))

    @property
    def is_counted(self) -> bool:
        return self._unread is not None

    def was_read(self) -> None:
        if self._unread is not None:
            self._unread.remove()
            self._unread = None

    def end(self, error: GatewayError) -> None:
        """Its status becomes this error's, unless it ends by itself just now."""
        if self.answered:
            self.dropped = True  # its status waits behind the answer
        elif self.ended_by is None:
            self.ended_by = error
            self.task.cancel()


class ActiveCalls:
    """A call is dropped where no status can reach its client: it is freed, and the client is told CANCELLED."""

    def __init__(self, limits: CallLimits, unread: UnreadBytes) -> None:
        self._limits = limits
        self._unread = unread
        self.open: dict[AnyTask, Call] = {}  # by the tasks of their handlers; `Calls` adds and removes them
        self._public: dict[AnyTask, Call] = {}  # the longest open first
        self._orphans: set[AnyTask] = set()
        self._stopping = False

    def add_public(self, call: Call) -> None:
        self._public[call.task] = call
        call.task.add_done_callback(self._public.pop)
        if len(self._public) > self._limits.max_public:
            oldest = next((each for each in self._public.values() if not _is_ending(each)), call)
            if oldest.stage == AWAITS_MESSAGE:
                oldest.dropped = True
            else:
                oldest.end(
                    Throttled("Too many unauthenticated calls are open; this one, the oldest, was closed.")
                )

    def answers_to(self, caller: str, size_bytes: int = 0) -> None:
        """The running task's call is this caller's. Its answer's size, where nothing but the answer is left to send."""
        task = asyncio.current_task()
        if task is None or (call := self.open.get(task)) is None:
            return
        call.caller = caller
        if size_bytes:
            call.waiting_bytes = size_bytes
            self._is_unread(call)

    def _is_unread(self, call: Call) -> None:
        call.is_unread(self._unread)
        if call.answered:
            call.task.add_done_callback(lambda _: call.was_read())

    async def watch(self) -> None:
        """Look at all calls again and again."""
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            looks += 1
            if looks % _LOOKS_FOR_ORPHANS_EVERY == 0:
                self._drop_orphans()
            stuck = self._look()
            if stuck:
                # After a stall, what has arrived meanwhile is told to its task only now.
                for _ in range(3):
                    await asyncio.sleep(0)
                now = asyncio.get_running_loop().time()
                self._drop([call for call in stuck if call.dropped or call.see(now) > 0])

    def _look(self) -> list[Call]:
        now = asyncio.get_running_loop().time()
        stuck, awaiting = [], []
        for call in list(self.open.values()):
            still_s = call.see(now)
            if self._is_stuck(call, now, still_s):
                stuck.append(call)
            elif call.stage == AWAITS_MESSAGE and still_s:
                awaiting.append(call)
            elif call.stage == SENDS and still_s and not call.is_counted and call.ended_by is None:
                self._is_unread(call)
        may_wait = 0 if self._is_crowded() else _MAX_AWAITING_MESSAGE
        return stuck + awaiting[: max(len(awaiting) - may_wait, 0)]

    def _is_crowded(self) -> bool:
        return len(self.open) > self._limits.max_calls * _CROWDED

    def _is_stuck(self, call: Call, now: float, still_s: float) -> bool:
        """Whether it can only be dropped. Ends it with a status where that can still be tried."""
        if call.dropped:
            return True
        if call.stage == AWAITS_MESSAGE:
            return still_s >= (_STATUS_S if self._stopping else self._limits.message_timeout_s)
        is_urgent = self._stopping or self._is_crowded()
        if is_urgent and call.stage == SENDS and still_s >= _SLOW_READERS_WHEN_URGENT_S:
            return True
        assert call.first_seen is not None  # noqa: S101  `see` sets it
        is_late = now - call.first_seen >= self._limits.request_timeout_s
        if call.answered:
            return still_s >= _STATUS_S and (is_late or call.ended_by is not None)
        if call.lasts:
            is_late = call.stage == SENDS and still_s >= self._limits.request_timeout_s
        if call.is_stream and is_late and now - call.first_seen >= self._limits.request_timeout_s + _STATUS_S:
            call.end(DeadlineExceeded("The client did not read the responses before the request's deadline."))
        return False

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
        """Free calls that are open though their handlers have ended some time ago, without a status.

        As they do where a client ends its side without a message, or where a status can't be sent any more.
        """
        orphans = {
            task
            for task in tasks_of_calls()
            if (found := handlers_of(task)) and all(each.done() for each in found)
        }
        for task in orphans & self._orphans:
            task.cancel()
        self._orphans = orphans

    def end_watches(self) -> None:
        """End what would never end by itself: health watches and reflection. Our own methods have deadlines."""
        self._end(list(self._public.values()))

    def end_all(self) -> None:
        """End whatever is still under way."""
        self._stopping = True
        self._end(list(self.open.values()))

    def _end(self, calls: Iterable[Call]) -> None:
        for call in calls:
            if call.stage != AWAITS_MESSAGE and not call.answered:
                call.end(UpstreamUnavailable("The service is shutting down."))

    async def until_none(self) -> None:
        """The end of all calls: from now on clients that don't read have two seconds, the others what they need."""
        self._stopping = True
        while self.open:
            await asyncio.wait(list(self.open))


def _is_ending(call: Call) -> bool:
    return call.dropped or call.ended_by is not None
