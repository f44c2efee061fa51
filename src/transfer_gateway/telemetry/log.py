"""Logging. Constant event names with key–value pairs; JSON lines for machines, colours for a terminal."""

from __future__ import annotations

import json
import logging
import re
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, cast

import orjson

from transfer_gateway.telemetry.log_writer import LogWriter
from transfer_gateway.telemetry.metrics import counter, gauge
from transfer_gateway.telemetry.plain_structlog import structlog
from transfer_gateway.telemetry.redaction import HIDDEN, redacted, redacted_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.core import Metric
    from structlog.typing import EventDict, Processor, ProcessorReturnValue

# At DEBUG these log headers and bodies, including credentials.
_TALKATIVE = (
    "_cygrpc",
    "aiobotocore",
    "aiohttp",
    "aiosqlite",
    "asyncio",
    "asyncpg",
    "botocore",
    "grpc",
    "sqlalchemy",
    "urllib3",
)
# Errors with tracebacks in grpc's log that any client can cause: metadata that is not UTF-8, with a token's value; and
# a connection closed before the response.
_CLIENT_ERRORS = ("Invalid encoding on ", "ExecuteBatchError raised in core")
# Tokens in libraries' lines, also with escaped bytes.
_SECRETS = re.compile(r"""(?i:\bbearer\s+)[^\s"',]+|eyJ[\w\\-]+(?:\.[\w\\-]*)+""")


# The request ids in each line of the current task and the tasks that it starts.
LOG_IDS: ContextVar[Mapping[str, str]] = ContextVar("log_ids", default=MappingProxyType({}))

_render: Callable[[Any, str, EventDict], Any] | None = None
_audit: Callable[[Any, str, EventDict], Any] | None = None
_refuses = False  # whether requests fail if the audit log can't be written
_audit_lost = 0
_of_process: Mapping[str, int] = MappingProxyType({})


def configure_logging(
    level: str, form: Literal["auto", "json", "console"], *, audit: bool = False, worker: int | None = None
) -> None:
    """Write our events, audit events (with `audit`) and libraries' records to stderr in one format.

    `worker`: the number of this process, if it is one of several, which each line then has.
    """
    global _render, _audit, _of_process
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    to_line: Processor = (
        _console_line(structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback))
        if console
        else _to_json_line
    )

    def render(logger: Any, level: str, event: EventDict) -> ProcessorReturnValue:  # noqa: ANN401  structlog's
        return to_line(logger, level, _completed(logger, level, event))

    def render_redacted(logger: Any, level: str, event: EventDict) -> ProcessorReturnValue:  # noqa: ANN401  structlog's
        return redacted_line(cast("bytes", render(logger, level, event)))

    structlog.configure(
        processors=[render_redacted],  # one: chaining processors costs more than the work of each
        logger_factory=_StderrLogger,
        wrapper_class=structlog.make_filtering_bound_logger(level),  # filtered levels cost nothing
        cache_logger_on_first_use=True,
    )
    _render, _audit, _of_process = (
        render,
        render if audit else None,
        {} if worker is None else {"worker": worker},
    )
    handler = _Handler()
    handler.addFilter(lambda record: not str(record.msg).startswith(_CLIENT_ERRORS))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_completed, _without_aws_trace],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, to_line, _as_text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _completed(logger: Any, level: str, event: EventDict) -> EventDict:  # noqa: ANN401  structlog's
    """Add the fields that every line has."""
    event.update({**LOG_IDS.get(), **event})
    if _of_process:
        event.update(_of_process)
    event["level"] = level
    event["logger"] = event["_record"].name if "_record" in event else logger.name
    event["timestamp"] = datetime.now(UTC).isoformat()[: -len("+00:00")] + "Z"
    return event


def _without_aws_trace(_logger: Any, _level: str, event: EventDict) -> EventDict:  # noqa: ANN401  structlog's
    """Replace the traceback that botocore logs at each failed credential refresh by the exception's message."""
    if event["logger"].startswith(("aiobotocore", "botocore")) and (raised := event.pop("exc_info", None)):
        event["detail"] = f"{type(raised[1]).__name__}: {raised[1]}"
    return event


def _as_text(_logger: Any, _level: str, line: Any) -> str:  # noqa: ANN401  structlog's
    text: str = line.decode()
    return text


def _as_bytes(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _console_line(render: structlog.dev.ConsoleRenderer) -> Processor:
    def to_line(logger: Any, level: str, event: EventDict) -> bytes:  # noqa: ANN401  structlog's
        return _as_bytes(render(logger, level, event))

    return to_line


def _to_json_line(logger: Any, level: str, event: EventDict) -> ProcessorReturnValue:  # noqa: ANN401  structlog's
    if "exc_info" in event:
        event = _WITH_TRACE(logger, level, event)
    return _AS_JSON(logger, level, event)


def _to_json(event: object, **options: Any) -> bytes:  # noqa: ANN401  those of `json`
    """orjson takes a third of `json`'s time, but rejects lone surrogates, which a caller may send."""
    try:
        return orjson.dumps(event, options["default"], orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(event, **options).encode()


# Tracebacks without local variables, since botocore's contain credentials.
_WITH_TRACE = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_AS_JSON = structlog.processors.JSONRenderer(_to_json)


class _StderrLogger:
    """Bypasses `logging`, with which an event would cost 30 µs instead of 12."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = self.critical = self.exception = _WRITER.put


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _WRITER.put(_as_bytes(redacted(_SECRETS.sub(HIDDEN, self.format(record)))))


@contextmanager
def lines_queued(
    max_bytes: int, *, audit_full: Literal["refuse", "count"] = "refuse", lock: Path | None = None
) -> Iterator[None]:
    """Write lines, including Python warnings, in a thread within the context; flushing at its end takes at most 1 s.

    The queue holds at most `max_bytes`. `lock`: a file that is locked by the one of several processes that writes.
    Use it only once per process: later lines are not written.
    """
    global _refuses  # noqa: PLW0603  global, as logging is
    _refuses = _audit is not None and audit_full == "refuse"
    _WRITER.start(max_bytes, _dropped_line, lock)
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        _WRITER.close()


def _dropped_line(count: int) -> bytes:
    assert _render is not None  # noqa: S101  set before any line can be dropped
    line: bytes = _render(_LOGGER, "warning", {"event": "log_lines_dropped", "count": count})
    return line


_WRITER = LogWriter()
_LOGGER = _StderrLogger(__name__)
_AUDIT_LOGGER = _StderrLogger("audit")


def is_audited() -> bool:
    return _audit is not None


def audit_problem() -> str | None:
    """Why the audit log can't be written now; None if it can, or if requests don't depend on it."""
    return _WRITER.problem if _refuses else None


def check_log() -> None:
    """Update whether lines can be written. Call it periodically: nothing else detects a stuck reader of stderr."""
    _WRITER.update_problem()


def audit_event(event: str, **fields: object) -> bool:
    """Write an audit line, regardless of the log level; does nothing if the audit log is disabled.

    Returns: False if the queue is full, in which case the audited operation must fail.
    """
    global _audit_lost  # noqa: PLW0603  as above
    if _audit is None:
        return True
    fields["event"] = event
    if _WRITER.put_audit(_audit(_AUDIT_LOGGER, "info", fields)):
        return True
    if not _refuses:
        _audit_lost += 1
    return not _refuses


class LogMetrics:
    """Metrics of the log itself."""

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "log_lines_dropped",
            "Log lines dropped because the queue was full. Audit lines are dropped only with AUDIT_LOG_FULL=count.",
            ("log",),
            {("service",): _WRITER.dropped, ("audit",): _audit_lost},
        )
        yield gauge("log_waiting_bytes", "Bytes of log lines in the queue.", (), _WRITER.waiting_bytes)
        yield gauge(
            "log_writable",
            "0 while the log can't be written, or its queue is about to fill up; else 1.",
            (),
            float(_WRITER.problem is None),
        )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
