"""Logging. Constant event names with key–value pairs; JSON lines for machines, colours for a terminal."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import orjson

from transfer_gateway.telemetry.plain_structlog import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import EventDict, Processor, ProcessorReturnValue

# At DEBUG these print headers and bodies, credentials among them.
_TALKATIVE = ("_cygrpc", "aiobotocore", "aiohttp", "asyncio", "botocore", "grpc", "urllib3")


# What each line of the running task's has, and of those that it starts: its request's ids.
LOG_IDS: ContextVar[Mapping[str, str]] = ContextVar("log_ids", default=MappingProxyType({}))

_audit: Callable[[Any, str, EventDict], Any] | None = None


def configure_logging(level: str, form: Literal["auto", "json", "console"], *, audit: bool = False) -> None:
    """Send our events, those of the audit if wanted, and the libraries' records to stderr in one form."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    to_line: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else _to_json_line
    )

    def render(logger: Any, level: str, event: EventDict) -> ProcessorReturnValue:  # noqa: ANN401  structlog's
        return to_line(logger, level, _completed(logger, level, event))

    structlog.configure(
        processors=[render],  # one: the way from one to the next costs more than what each does
        logger_factory=_StderrLogger,
        wrapper_class=structlog.make_filtering_bound_logger(level),  # what isn't logged costs nothing
        cache_logger_on_first_use=True,
    )
    global _audit  # noqa: PLW0603  as logging's own loggers are
    _audit = render if audit else None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_completed],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, to_line, _as_text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _completed(logger: Any, level: str, event: EventDict) -> EventDict:  # noqa: ANN401  structlog's
    """With what every line has."""
    for name, value in LOG_IDS.get().items():
        event.setdefault(name, value)
    event["level"] = level
    event["logger"] = event["_record"].name if "_record" in event else logger.name
    event["timestamp"] = datetime.now(UTC).isoformat()[: -len("+00:00")] + "Z"
    return event


def _as_text(_logger: Any, _level: str, line: Any) -> str:  # noqa: ANN401  structlog's
    text: str = line.decode() if isinstance(line, bytes) else line
    return text


def _to_json_line(logger: Any, level: str, event: EventDict) -> ProcessorReturnValue:  # noqa: ANN401  structlog's
    if "exc_info" in event:
        event = _WITH_TRACE(logger, level, event)
    return _AS_JSON(logger, level, event)


def _to_json(event: object, **options: Any) -> bytes:  # noqa: ANN401  those of `json`
    """orjson takes a third of `json`'s time, but refuses half characters, which a caller may send."""
    try:
        return orjson.dumps(event, options["default"], orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(event, **options).encode()


# Traces without the frames' variables: botocore's have credentials among them.
_WITH_TRACE = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_AS_JSON = structlog.processors.JSONRenderer(_to_json)


class _StderrLogger:
    """Ours go straight to stderr: through `logging` an event would cost 30 µs instead of 12.

    Each by itself, and at once: a line of the audit is out before the answer that it tells of.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, line: str | bytes) -> None:
        if isinstance(line, bytes):
            stderr = sys.stderr.buffer
            stderr.write(line + b"\n")
            stderr.flush()
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


_AUDIT_LOGGER = _StderrLogger("audit")


def is_audited() -> bool:
    return _audit is not None


def audit_event(event: str, **what: object) -> None:
    """Write a line of the audit, which no level filters; nothing when it is switched off."""
    if _audit is not None:
        what["event"] = event
        _AUDIT_LOGGER.msg(_audit(_AUDIT_LOGGER, "info", what))


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
