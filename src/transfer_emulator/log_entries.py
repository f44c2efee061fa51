"""The log entries that Transfer writes about an upload: those of its session and those of its execution.

Source: AWS's samples in "CloudWatch log structure" and "Example CloudWatch log entries". An entry has no time of its
own, and no number of the step.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import orjson

from transfer_emulator.log_groups import LogEvent
from transfer_emulator.response_shaper import Wire
from transfer_emulator.sample_data import SeededRandom
from transfer_emulator.uploads import Destination, Mechanism, Outcome, Step, Upload

SERVICE_FAILURE = "Service failure on starting workflow"
UNKNOWN_TYPE = "StepProgressed"
# A session begins before its upload and ends after it, by at most so much.
SESSION_S = 10.0


@dataclass(frozen=True, slots=True)
class LogQuirks:
    """How logs differ from what happened. Shares are between 0 and 1, of entries; times in seconds (minimum, maximum).

    Doubled entries have the same content and another event id; so have damaged ones, which come beside intact ones.
    `lag_s`: from an entry's time to its ingestion. `late_s`: the same, for `late_share` of the entries.
    """

    lag_s: tuple[float, float] = (0.2, 3.0)
    late_share: float = 0.02
    late_s: tuple[float, float] = (5.0, 30.0)
    doubled_share: float = 0.03
    damaged_share: float = 0.02
    unknown_share: float = 0.02
    connector_share: float = 0.01

    def lag_ms(self, rng: random.Random) -> int:
        late = rng.random() < self.late_share
        return round(rng.uniform(*(self.late_s if late else self.lag_s)) * 1000)


NO_QUIRKS = LogQuirks((0.0, 0.0), 0.0, (0.0, 0.0), 0.0, 0.0, 0.0, 0.0)


def entries_of(upload: Upload, destination: Destination, quirks: LogQuirks, seed: object) -> list[LogEvent]:
    """The upload's events in a log group, oldest first."""
    group_name, mechanism = destination
    rng = SeededRandom(seed, upload.key, group_name, mechanism)
    digest = blake2b(f"{seed}/{upload.key}/{group_name}/{mechanism}".encode(), digest_size=12).digest()
    number = int.from_bytes(digest) << 16
    events: list[LogEvent] = []
    stream = _stream(upload, mechanism, rng)
    entries = _session(upload, rng) if mechanism is Mechanism.SESSIONS else _execution(upload, rng, quirks)
    for at, text in entries:
        timestamp_ms = round(at * 1000)
        copies: list[str | Callable[[], str]] = [text]
        if rng.random() < quirks.doubled_share:
            copies.append(text)
        if rng.random() < quirks.damaged_share and not isinstance(text, str):
            copies.append(partial(_damaged, text, rng.randrange(3)))
        for copy in copies:
            number += 1
            ingested_ms = timestamp_ms + quirks.lag_ms(rng)
            events.append(LogEvent(timestamp_ms, ingested_ms, number, stream, copy))
    events.sort()
    return events


def _stream(upload: Upload, mechanism: Mechanism, rng: SeededRandom) -> str:
    suffix = rng.hex(16)
    match mechanism:
        case Mechanism.WORKFLOW:
            return f"{upload.workflow_id}/{upload.execution_id or suffix}"
        case Mechanism.SERVER:
            return f"{upload.user_name}.{upload.workflow_id}.{suffix}"
        case Mechanism.SESSIONS:
            return f"{upload.user_name}.{upload.session_id}"


def _session(upload: Upload, rng: random.Random) -> Iterator[tuple[float, str | Callable[[], str]]]:
    closed_at = upload.started_at - rng.uniform(0.05, 0.4)
    opened_at = upload.connected_at + 0.1
    yield upload.connected_at, partial(_connected, upload)
    yield opened_at, partial(_opened, upload)
    yield closed_at, partial(_closed, upload)
    yield upload.started_at + rng.uniform(0.5, SESSION_S), partial(_session_entry, upload, "DISCONNECTED")


def _execution(
    upload: Upload, rng: random.Random, quirks: LogQuirks
) -> Iterator[tuple[float, str | Callable[[], str]]]:
    match upload.outcome:
        case Outcome.EXECUTED:
            yield from _steps(upload, rng, quirks)
        case Outcome.NOTHING_RAN:
            yield upload.ended_at, partial(_entry, upload, "ExecutionErrored")
        case Outcome.THROTTLED:
            yield upload.started_at, partial(_entry, upload, "ExecutionThrottled")
        case Outcome.SERVICE_FAILURE:
            yield upload.started_at, SERVICE_FAILURE
    if rng.random() < quirks.connector_share:  # another feature that uses a type of the workflows'
        entry = {"type": "ExecutionThrottled", "details": {}, "connectorId": f"c-{upload.server_id[2:]}"}
        yield upload.started_at, orjson.dumps(entry).decode()


def _steps(
    upload: Upload, rng: random.Random, quirks: LogQuirks
) -> Iterator[tuple[float, str | Callable[[], str]]]:
    yield upload.started_at, partial(_entry, upload, "ExecutionStarted")
    for step in upload.steps:
        yield step.started_at, partial(_entry, upload, "StepStarted", step)
        if rng.random() < quirks.unknown_share:
            yield (step.started_at + step.ended_at) / 2, partial(_entry, upload, UNKNOWN_TYPE, step)
        kind = "StepCompleted" if step.error is None else "StepErrored"
        yield step.ended_at, partial(_entry, upload, kind, step)
    yield (
        upload.ended_at,
        partial(_entry, upload, "ExecutionErrored" if upload.is_failed else "ExecutionCompleted"),
    )


def _entry(upload: Upload, kind: str, step: Step | None = None) -> str:
    details: Wire = {}
    if step is not None:
        details = _step_details(kind, step) | {"stepType": step.step_type, "stepName": step.name}
    elif kind == "ExecutionStarted":
        details = {"input": {"initialFileLocation": upload.file.log_location()}}
    entry: Wire = {"type": kind, "details": details, "workflowId": upload.workflow_id}
    if upload.execution_id:
        entry["executionId"] = upload.execution_id
    entry["transferDetails"] = {
        "serverId": upload.server_id,
        "username": upload.user_name,
        "sessionId": upload.session_id,
    }
    return orjson.dumps(entry).decode()


def _step_details(kind: str, step: Step) -> Wire:
    match kind:
        case "StepStarted":
            return {"input": {"fileLocation": step.file.output()}}
        case "StepCompleted":
            return {"output": {} if step.step_type == "COPY" else orjson.loads(step.outputs)}
        case "StepErrored":
            error_type, message = step.error or ("", "")
            return {"errorType": error_type, "errorMessage": message}
    return {"percent": 50}


def _damaged(text: Callable[[], str], how: int) -> str:
    """As in AWS's own samples: a missing brace, a doubled prefix; and an entry with few members."""
    whole = text()
    entry = orjson.loads(whole)
    if how == 0 or "type" not in entry:
        return whole[:-1]
    if how == 1:
        return whole.replace('"w-', '"w-w-')
    return orjson.dumps({name: entry[name] for name in ("type", "executionId") if name in entry}).decode()


def _connected(upload: Upload) -> str:
    return _session_entry(
        upload,
        "CONNECTED",
        {
            "role": upload.resources.role_arn("transfer-user"),
            "client": "SSH-2.0-OpenSSH_9.6",
            "source-ip": "203.0.113.7",
            "home-dir": f"/{upload.file.home}/inbound/{upload.user_name}",
            "user": upload.user_name,
            "kex": "ecdh-sha2-nistp256",
        },
    )


def _opened(upload: Upload) -> str:
    members = {"mode": "CREATE|TRUNCATE|WRITE", "path": f"/{upload.file.home}/{upload.file.path}"}
    return _session_entry(upload, "OPEN", members)


def _closed(upload: Upload) -> str:
    kind = "PARTIAL_CLOSE" if upload.is_partial else "CLOSE"
    members = {"path": f"/{upload.file.home}/{upload.file.path}", "bytes-in": str(upload.size_bytes)}
    return _session_entry(upload, kind, members)


def _session_entry(upload: Upload, kind: str, members: Wire | None = None) -> str:
    resources = upload.resources
    arn = f"arn:aws:transfer:{resources.region}:{resources.account_id}:server/{upload.server_id}"
    entry = {
        **(members or {}),
        "activity-type": kind,
        "resource-arn": arn,
        "session-id": upload.session_id,
    }
    return orjson.dumps(entry).decode()
