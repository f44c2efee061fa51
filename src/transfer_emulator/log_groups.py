"""Log groups of CloudWatch Logs, and the events in them.

A group's events come from its sources, which compute them for a time window on request, and from `put`.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Protocol

DAY_S = 86_400.0
CREATED_AT = 1_704_067_200.0  # 2024-01-01
# Of those that were `put`; the oldest are dropped.
MAX_EVENTS = 1_000_000


class LogEvent(NamedTuple):
    """An event. `number`: unique in its group. `text`: the message, or a function that renders it.

    Events sort as AWS sorts them: by time, time of ingestion, and number.
    """

    timestamp_ms: int
    ingested_ms: int
    number: int
    stream: str
    text: str | Callable[[], str]

    @property
    def message(self) -> str:
        return self.text if isinstance(self.text, str) else self.text()

    @property
    def event_id(self) -> str:
        """56 digits, as AWS's."""
        return f"{self.timestamp_ms:017d}{self.number:039d}"


class LogSource(Protocol):
    """Computes a group's events between two times (ms, both included); it may return further ones."""

    def events(self, group_name: str, first_ms: int, last_ms: int) -> Iterable[LogEvent]: ...


@dataclass(slots=True)
class LogGroup:
    """A log group. Its events are gone after `retention_s` (seconds; infinity: never). `created_at`: since 1970."""

    name: str
    retention_s: float = DAY_S
    created_at: float = CREATED_AT
    sources: list[LogSource] = field(default_factory=list)
    _put: list[LogEvent] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)

    def put(self, stream: str, message: str, timestamp_ms: int, ingested_ms: int | None = None) -> LogEvent:
        """Add an event. It is visible from `ingested_ms` on; default: its own time."""
        event = LogEvent(
            timestamp_ms,
            timestamp_ms if ingested_ms is None else ingested_ms,
            next(self._numbers),
            stream,
            message,
        )
        insort(self._put, event)
        if len(self._put) > MAX_EVENTS:
            del self._put[: MAX_EVENTS // 10]
        return event

    def oldest_ms(self, now_ms: int) -> int:
        """The time before which events are gone."""
        return 0 if math.isinf(self.retention_s) else now_ms - int(self.retention_s * 1000)

    @property
    def retention_days(self) -> int | None:
        """In whole days, as AWS has it, at least one; None: its events are never gone."""
        return None if math.isinf(self.retention_s) else max(1, round(self.retention_s / DAY_S))

    def between(self, first_ms: int, last_ms: int, now_ms: int) -> list[LogEvent]:
        """The events that are visible at `now_ms`, from `first_ms` to `last_ms`, both included, oldest first."""
        first_ms = max(first_ms, self.oldest_ms(now_ms))
        start = bisect_left(self._put, first_ms, key=_time_of)
        stop = bisect_right(self._put, last_ms, key=_time_of)
        events = [event for event in self._put[start:stop] if event.ingested_ms <= now_ms]
        for source in self.sources:
            events += [
                event
                for event in source.events(self.name, first_ms, last_ms)
                if event.ingested_ms <= now_ms and first_ms <= event.timestamp_ms <= last_ms
            ]
        events.sort()
        return events


def _time_of(event: LogEvent) -> int:
    return event.timestamp_ms
