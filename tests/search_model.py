"""What searches should find, in plain Python, among executions that are made up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from history_events import START, event, observed
from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
from transfer_gateway.domain.execution import (
    EfsFileLocation,
    Execution,
    ExecutionStatus,
    FileLocation,
    S3FileLocation,
    ServiceMetadata,
    UserDetails,
)
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, Target, WorkflowId
from transfer_gateway.domain.record import record_of
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.domain.search import SearchFilter, SearchOrder
from transfer_gateway.history.codec import to_ms

if TYPE_CHECKING:
    from random import Random

    from transfer_gateway.domain.record import Record

ACCOUNTS = [AccountId(f"{number:012d}") for number in range(1, 5)]
REGIONS = [Region("eu-west-1"), Region("us-east-1")]
WORKFLOWS = [WorkflowId("w-1a2b3c4d5e6f7a8b9"), WorkflowId("w-000000000000000aa")]
USERS = ["ada", "Bob", "müller", None]
SERVERS = ["s-0123456789abcdef0", "s-aaaaaaaaaaaaaaaaa"]
SESSIONS = ["session-1", "s_2%", None]
NAMES = [
    "claims-2026.csv",
    "in/CLAIMS_old.CSV",
    "100%.txt",
    "a_b\\c",
    "Straße.pdf",
    "x\ny",
    "Ünï/cöde",
    "報告書.txt",
]
STALE_MS = 2_400_000
NOW_MS = to_ms(START) + 3 * STALE_MS
Hidden = frozenset[Hideable]


@dataclass
class Known:
    """One execution: what the store was given. Complete before it is asked."""

    key: ExecutionKey
    events: list[ExecutionEvent] = field(default_factory=list)
    answer: Execution | None = None

    @cached_property
    def record(self) -> Record | None:
        return record_of(self.events) if self.events else None

    @property
    def last_at(self) -> int:
        times = [one.occurred_at for one in self.events] + [one.observed_at for one in (self.answer,) if one]
        return max(map(to_ms, times))

    @property
    def ended_at(self) -> int | None:
        return None if self.record is None or self.record.ended_at is None else to_ms(self.record.ended_at)

    @property
    def began_at(self) -> int:
        if self.record is not None and self.record.started_at is not None:
            return to_ms(self.record.started_at)
        times = [one.occurred_at for one in self.events] + [one.observed_at for one in (self.answer,) if one]
        return min(map(to_ms, times))

    @property
    def last_status(self) -> ExecutionStatus:
        """By the events, if they tell the end; else by them and AWS's answer."""
        if self.record is not None and self.record.status is not None:
            return self.record.status
        answered = ExecutionStatus.IN_PROGRESS if self.answer is None else self.answer.status
        if answered in {ExecutionStatus.COMPLETED, ExecutionStatus.EXCEPTION}:
            return answered
        failing = (
            bool(self.error_type or self.answered_error_type)
            or answered is ExecutionStatus.HANDLING_EXCEPTION
        )
        return ExecutionStatus.HANDLING_EXCEPTION if failing else ExecutionStatus.IN_PROGRESS

    @property
    def has_end(self) -> bool:
        return self.last_status in {ExecutionStatus.COMPLETED, ExecutionStatus.EXCEPTION}

    def runs(self, as_of_ms: int) -> bool:
        return not self.has_end and self.last_at >= as_of_ms - STALE_MS

    def status(self, as_of_ms: int) -> ExecutionStatus | None:
        return self.last_status if self.has_end or self.runs(as_of_ms) else None

    def duration_ms(self, as_of_ms: int) -> int:
        """Until then, or until its end, or until the last sign of it if its end is not recorded."""
        if self.runs(as_of_ms) or (self.ended_at or 0) > as_of_ms:
            return as_of_ms - self.began_at
        return (self.last_at if self.ended_at is None else self.ended_at) - self.began_at

    @property
    def error_type(self) -> str | None:
        if self.record is not None:
            return None if self.record.error is None else self.record.error.raw_type
        return self.answered_error_type

    @property
    def answered_error_type(self) -> str | None:
        steps = self.answer.results.steps if self.answer and self.answer.results else None
        return next((step.error.raw_type for step in steps or () if step.error), None)

    @property
    def service(self) -> list[str | None]:
        """User, server, session."""
        upload = None if self.record is None else self.record.upload
        logged = [None] * 3 if upload is None else [upload.user_name, upload.server_id, upload.session_id]
        user = (
            self.answer.service_metadata.user_details
            if self.answer and self.answer.service_metadata
            else None
        )
        answered = [None] * 3 if user is None else [user.user_name, user.server_id, user.session_id]
        return [one if one is not None else other for one, other in zip(logged, answered, strict=True)]

    @property
    def files(self) -> list[str]:
        located = None if self.record is None else self.record.initial_file_location
        if located is None and self.answer is not None:
            located = self.answer.initial_file_location
        if located is None:
            return []
        s3, efs = located.s3_file_location, located.efs_file_location
        names = [None if s3 is None else s3.key, None if efs is None else efs.path]
        return [name for name in names if name is not None]

    def value(self, order: SearchOrder, as_of_ms: int) -> int:
        return self.duration_ms(as_of_ms) if order is SearchOrder.LONGEST_FIRST else self.began_at


def matches(known: Known, wanted: SearchFilter, hidden: Hidden) -> bool:  # noqa: PLR0911  each field, one by one
    files = [] if Hideable.INITIAL_FILE_LOCATION in hidden else known.files
    service = [None] * 3 if Hideable.SERVICE_METADATA in hidden else known.service
    exact = (
        (wanted.account_ids, known.key.account_id),
        (wanted.regions, known.key.region),
        (wanted.workflow_ids, known.key.workflow_id),
        (wanted.execution_ids, known.key.execution_id),
        (wanted.user_names, service[0]),
        (wanted.server_ids, service[1]),
        (wanted.session_ids, service[2]),
        (wanted.error_types, known.error_type),
        (wanted.statuses, known.status(NOW_MS)),
    )
    if any(values and value not in values for values, value in exact):
        return False
    if wanted.running is not None and wanted.running != known.runs(NOW_MS):
        return False
    if wanted.result_unknown is not None and wanted.result_unknown != (known.status(NOW_MS) is None):
        return False
    if wanted.file_name is not None and not any(contains(name, wanted.file_name) for name in files):
        return False
    texts = [
        known.key.execution_id,
        known.key.workflow_id,
        *files,
        *(name for name in service if name is not None),
    ]
    if wanted.text is not None and not any(contains(text, wanted.text) for text in texts):
        return False
    bounds = (
        (wanted.started_after, known.began_at, wanted.started_before),
        (wanted.ended_after, known.ended_at, wanted.ended_before),
    )
    for after, at, before in bounds:
        if after is not None and (at is None or at < to_ms(after)):
            return False
        if before is not None and (at is None or at > to_ms(before)):
            return False
    duration_s = known.duration_ms(NOW_MS) / 1000
    return (wanted.min_duration_s is None or duration_s >= wanted.min_duration_s) and (
        wanted.max_duration_s is None or duration_s <= wanted.max_duration_s
    )


def contains(text: str, part: str) -> bool:
    return part.casefold() in text.casefold()


def found(
    knowns: list[Known],
    targets_by_hidden: dict[Hidden, list[Target]],
    wanted: SearchFilter,
    order: SearchOrder,
    as_of_ms: int,
) -> list[Known]:
    """All of the list, in order."""
    hidden_of = {target: hidden for hidden, targets in targets_by_hidden.items() for target in targets}
    listed = [
        known
        for known in knowns
        if (hidden := hidden_of.get(known.key.target)) is not None and matches(known, wanted, hidden)
    ]
    return sorted(
        listed,
        key=lambda known: (known.value(order, as_of_ms), known.key),
        reverse=order is not SearchOrder.OLDEST_FIRST,
    )


def made_up(random: Random, number: int) -> Known:
    key = ExecutionKey(
        random.choice(ACCOUNTS),
        random.choice(REGIONS),
        random.choice(WORKFLOWS),
        ExecutionId(str(UUID(int=random.getrandbits(128)))),
    )
    began_ms = random.choice([0, 10, 100, STALE_MS, 2 * STALE_MS, 3 * STALE_MS - 500]) + random.choice(
        [0, 0, 1]
    )
    name = random.choice(NAMES)
    file = random.choice(
        [
            FileLocation(S3FileLocation("inbox", name, None, None), None),
            FileLocation(None, EfsFileLocation("fs-1", f"/mnt/{name}")),
            None,
        ]
    )
    upload = Upload(random.choice(USERS), random.choice(SERVERS), random.choice(SESSIONS))
    kinds = [
        EventKind.EXECUTION_STARTED,
        EventKind.STEP_STARTED,
        random.choice([EventKind.STEP_COMPLETED, EventKind.STEP_ERRORED]),
        random.choice([EventKind.EXECUTION_COMPLETED, EventKind.EXECUTION_ERRORED]),
    ][random.choice([0, 0, 1]) : random.choice([0, 2, 3, 4, 4, 4])]
    known = Known(key)
    for at, kind in enumerate(kinds):
        step = "copy" if kind.value.startswith("Step") else None
        one = event(key, kind, began_ms + at * random.choice([10, 20, 60_000]), number * 10 + at, step)
        known.events.append(replace(one, file_location=file, upload=random.choice([upload, None])))
    if not known.events or random.random() < 0.3:
        status = random.choice(["IN_PROGRESS", "IN_PROGRESS", "HANDLING_EXCEPTION", "COMPLETED"])
        answer = observed(key, began_ms + random.choice([0, 5, 1000]), status)
        user = ServiceMetadata(UserDetails("ada", SERVERS[0], random.choice(SESSIONS)))
        known.answer = replace(
            answer,
            initial_file_location=file,
            service_metadata=random.choice([user, None]),
            results=random.choice([answer.results, None]),
        )
    return known
