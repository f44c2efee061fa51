"""Decodes log groups, and the entries that Transfer writes there about executions.

An entry may be anyone's, since groups can be shared: whatever is wrong with one is no failure. Any of its members but
`type` and the ids may be missing; one that has another type or is too long counts as missing.
Source: the samples in AWS's user guide, whose spelling is not the API's.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import orjson

from transfer_gateway.aws.decode import IncompleteAnswer, Wire, required
from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.event import EventKind, ExecutionEvent, Upload
from transfer_gateway.domain.execution import (
    EfsFileLocation,
    FileLocation,
    S3FileLocation,
    Source,
    StepError,
    StepErrorType,
    StepType,
)
from transfer_gateway.domain.identity import ExecutionId, ExecutionKey, WorkflowId
from transfer_gateway.domain.log_group import LogGroup
from transfer_gateway.domain.log_page import DroppedExecution, DropReason, LogPage
from transfer_gateway.domain.server import ServerId

if TYPE_CHECKING:
    from collections.abc import Container

    from transfer_gateway.domain.log_group import LogGroupKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORKFLOW_ID, _NOT_STARTED = '"workflowId"', "Service failure on starting workflow"
_ANY_WORKFLOW_ID = re.compile(r"(?<![a-z0-9-])w-[a-z0-9]{17}(?![a-z0-9])")
_GROUP_OF_SERVER = re.compile(r"/aws/transfer/(s-[0-9a-f]{17})")
# Characters. Those of the API's model, or of S3; a message's and a path's are the store's and the screen's.
_MAX_ID, _MAX_NAME, _MAX_KEY, _MAX_TEXT, _MAX_DETAILS = 128, 256, 1024, 4096, 8192
_STEP_ENDS = {EventKind.STEP_COMPLETED, EventKind.STEP_ERRORED}
_KINDS = {kind.value: kind for kind in EventKind}
# What becomes a field of its own.
_IN_FIELDS = {"input", "stepType", "stepName", "errorType", "errorMessage"}
_NUL = "\\u0000"  # as JSON writes it; PostgreSQL can't store it


class UnreadableEntry(Exception):
    """Of a workflow, but without what identifies it; the argument says what is wrong."""


def decode_log_group(answer: Wire, key: LogGroupKey) -> LogGroup | None:
    """The group of that exact name in DescribeLogGroups' answer, which has those that begin with it.

    None: it does not exist. Raises: IncompleteAnswer.
    """
    for wire in required(answer, "logGroups"):
        if wire.get("logGroupName") != key.name:
            continue
        created_at = _time(required(wire, "creationTime"))
        if created_at is None:
            raise IncompleteAnswer("a valid creationTime")
        return LogGroup(key.name, created_at, wire.get("retentionInDays"))
    return None


class LogDecoder:
    """Decodes the pages of one group. Ids repeat, so each is validated once a page.

    `skip`: ids of entries that are known.
    """

    def __init__(self, group: LogGroupKey, skip: Container[str] = ()) -> None:
        self._group = group
        self._skip = skip
        self._keys: dict[tuple[object, object], ExecutionKey] = {}
        self._uploads: dict[tuple[object, object, object], Upload] = {}
        self.unreadable: tuple[str, str] | None = None  # the last one's event id, and what is wrong

    def page(self, answer: Wire) -> LogPage:
        """Decode FilterLogEvents."""
        events: list[ExecutionEvent] = []
        dropped: list[DroppedExecution] = []
        unreadable: list[str] = []
        lag_ms = -1
        entries = answer.get("events") or ()
        for wire in entries:
            if wire is None or wire.get("eventId") in self._skip:
                continue
            message = wire.get("message") or ""
            if _WORKFLOW_ID not in message and _NOT_STARTED not in message:
                continue
            try:
                told = self._entry(wire, message)
            except (UnreadableEntry, BadUserInput) as error:
                unreadable.append(str(wire.get("eventId"))[:_MAX_ID])
                self.unreadable = unreadable[-1], str(error)
                continue
            if told is None:
                continue
            lag_ms = max(lag_ms, wire["ingestionTime"] - wire["timestamp"])
            if isinstance(told, ExecutionEvent):
                events.append(told)
            else:
                dropped.append(told)
        return LogPage(
            events=tuple(events),
            entries=len(entries),
            unreadable=len(unreadable),
            dropped=tuple(dropped),
            newest_lag_s=max(lag_ms, 0) / 1000 if events or dropped else None,
            token=answer.get("nextToken"),
            unreadable_ids=tuple(unreadable),
        )

    def _entry(self, wire: Wire, message: str) -> ExecutionEvent | DroppedExecution | None:
        """What an entry tells; None: nothing of a workflow. Raises: UnreadableEntry, BadUserInput."""
        stamp = _Stamp.of(wire)
        if _NUL in message:
            message = message.replace(_NUL, "\\ufffd")
        try:
            entry = orjson.loads(message)
        except orjson.JSONDecodeError as error:
            if _NOT_STARTED not in message:
                raise UnreadableEntry("it is not JSON") from error
            entry = None
        if not isinstance(entry, dict):
            return self._free_text(message, wire, stamp) if _NOT_STARTED in message else None
        kind, workflow_id, execution_id = entry.get("type"), entry.get("workflowId"), entry.get("executionId")
        if kind == _NOT_STARTED or (kind is execution_id is None and _NOT_STARTED in message):
            return self._dropped(DropReason.NOT_STARTED, entry, stamp)
        if workflow_id is None:
            return None  # a session's, a connector's, or not Transfer's
        if not isinstance(kind, str) or not 0 < len(kind) <= _MAX_ID:
            raise UnreadableEntry("it has no type")
        if execution_id is None and kind == EventKind.EXECUTION_THROTTLED:
            return self._dropped(DropReason.THROTTLED, entry, stamp)
        return self._event(kind, self._key(workflow_id, execution_id), entry, stamp)

    def _event(self, raw_kind: str, key: ExecutionKey, entry: Wire, stamp: _Stamp) -> ExecutionEvent:
        kind = _KINDS.get(raw_kind, EventKind.UNRECOGNIZED)
        details = _structure(entry.get("details")) or {}
        step_type = _text(details.get("stepType"), _MAX_ID)
        given = _structure(details.get("input"))
        file = None if given is None else given.get("fileLocation") or given.get("initialFileLocation")
        return ExecutionEvent(
            key,
            stamp.event_id,
            stamp.occurred_at,
            stamp.observed_at,
            Source.LOG,
            kind,
            raw_kind,
            None if step_type is None else StepType(step_type),
            step_type,
            _text(details.get("stepName"), _MAX_NAME),
            None if file is None else _file_location(_structure(file)),
            _error(details) if kind is EventKind.STEP_ERRORED else None,
            self._upload(entry.get("transferDetails")),
            _rest(kind, details),
        )

    def _dropped(self, reason: DropReason, entry: Wire, stamp: _Stamp) -> DroppedExecution:
        workflow_id = entry.get("workflowId")
        return DroppedExecution(
            self._group,
            stamp.event_id,
            stamp.occurred_at,
            stamp.observed_at,
            reason,
            None if workflow_id is None else WorkflowId(workflow_id),
            self._upload(entry.get("transferDetails")),
        )

    def _free_text(self, text: str, wire: Wire, stamp: _Stamp) -> DroppedExecution:
        """What the text doesn't name is taken from the group, and from the stream: `user.workflow.suffix`."""
        stream = wire.get("logStreamName") or ""
        workflow_id = _ANY_WORKFLOW_ID.search(text) or _ANY_WORKFLOW_ID.search(stream)
        server_id = _GROUP_OF_SERVER.fullmatch(self._group.name)
        user_name, dot, _ = stream.partition(f".{workflow_id.group()}.") if workflow_id else ("", "", "")
        user = _text(user_name, _MAX_NAME) if dot else None
        return DroppedExecution(
            self._group,
            stamp.event_id,
            stamp.occurred_at,
            stamp.observed_at,
            DropReason.NOT_STARTED,
            WorkflowId(workflow_id.group()) if workflow_id else None,
            Upload(user, server_id.group(1), None) if server_id else None,
            _cut(text, _MAX_TEXT),
        )

    def _key(self, workflow_id: object, execution_id: object) -> ExecutionKey:
        """Raises: BadUserInput."""
        if not isinstance(execution_id, str) or not isinstance(workflow_id, str):
            raise UnreadableEntry("it has no executionId")
        ids = (workflow_id, execution_id)
        if (key := self._keys.get(ids)) is None:
            account_id, region, _ = self._group
            key = ExecutionKey(account_id, region, WorkflowId(workflow_id), ExecutionId(execution_id))
            self._keys[ids] = key
        return key

    def _upload(self, given: object) -> Upload | None:
        details = _structure(given)
        if details is None:
            return None
        ids = (
            _text(details.get("username"), _MAX_NAME),
            _text(details.get("serverId"), _MAX_ID),
            _text(details.get("sessionId"), _MAX_ID),
        )
        if (upload := self._uploads.get(ids)) is None:
            user, server_id, session_id = ids
            if server_id is not None and ServerId.PATTERN.fullmatch(server_id) is None:
                server_id = None
            upload = self._uploads[ids] = Upload(user, server_id, session_id)
        return upload


class _Stamp(NamedTuple):
    """What CloudWatch says of an entry."""

    event_id: str
    occurred_at: datetime
    observed_at: datetime

    @classmethod
    def of(cls, wire: Wire) -> _Stamp:
        """Raises: UnreadableEntry."""
        event_id, occurred_at = wire.get("eventId"), _time(wire.get("timestamp"))
        observed_at = _time(wire.get("ingestionTime"))
        if not event_id or occurred_at is None or observed_at is None:
            raise UnreadableEntry("it has no eventId, timestamp or ingestionTime")
        return cls(event_id, occurred_at, observed_at)


def _time(ms: int | None) -> datetime | None:
    try:
        return None if ms is None else _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None


def _structure(value: object) -> Wire | None:
    return value if isinstance(value, dict) else None


def _text(value: object, most: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= most else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _file_location(wire: Wire | None) -> FileLocation | None:
    """S3's form, or EFS's."""
    if wire is None:
        return None
    bucket, key = _text(wire.get("bucket"), _MAX_ID), _text(wire.get("key"), _MAX_KEY)
    if bucket is not None or key is not None:
        version_id, etag = _text(wire.get("versionId"), _MAX_KEY), _text(wire.get("etag"), _MAX_KEY)
        return FileLocation(S3FileLocation(bucket, key, version_id, etag), None)
    file_system_id = wire.get("filesystemId", wire.get("fileSystemId"))
    path = _text(wire.get("path"), _MAX_TEXT)
    if file_system_id is None and path is None:
        return None
    return FileLocation(None, EfsFileLocation(_text(file_system_id, _MAX_ID), path))


def _error(details: Wire) -> StepError:
    raw_type = _text(details.get("errorType"), _MAX_ID) or StepErrorType.UNRECOGNIZED.value
    message = details.get("errorMessage")
    return StepError(
        StepErrorType(raw_type), raw_type, _cut(message, _MAX_TEXT) if isinstance(message, str) else ""
    )


def _rest(kind: EventKind, details: Wire) -> str | None:
    """The details that have no field of their own, as JSON: of a step's end its output, of an unknown type all."""
    rest: object
    if kind is EventKind.UNRECOGNIZED:
        rest = details
    elif kind in _STEP_ENDS and "output" in details:
        rest = details["output"]
    else:
        rest = {name: value for name, value in details.items() if name not in _IN_FIELDS}
        if not rest:
            return None
    text = orjson.dumps(rest).decode()
    if len(text) <= _MAX_DETAILS:
        return text
    return orjson.dumps({"truncated": text[: _MAX_DETAILS // 2]}).decode()
