"""Logging. Constant event names with key–value pairs; JSON lines for machines, colours for a terminal."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, Literal

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

# At DEBUG these print headers and bodies, credentials among them.
_TALKATIVE = ("_cygrpc", "aiobotocore", "aiohttp", "asyncio", "botocore", "grpc", "urllib3")


_audit: Any = None


def configure_logging(level: str, form: Literal["auto", "json", "console"], *, audit: bool = False) -> None:
    """Send our events, those of the audit if wanted, and the libraries' records to stderr in one form."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Traces without the frames' variables: botocore's have credentials among them.
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(_to_json),
        ]
    )
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=_StderrLogger,
        wrapper_class=structlog.make_filtering_bound_logger(level),  # what isn't logged costs nothing
        cache_logger_on_first_use=True,
    )
    global _audit  # noqa: PLW0603  as logging's own loggers are
    _audit = (
        structlog.wrap_logger(
            _StderrLogger("audit"), processors=[*shared, *last], wrapper_class=structlog.BoundLogger
        )
        if audit
        else None
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _to_json(event: object, **options: Any) -> str:  # noqa: ANN401  those of `json`
    """orjson takes a third of `json`'s time, but refuses half characters, which a caller may send."""
    try:
        return orjson.dumps(event, options["default"], orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return json.dumps(event, **options)


class _StderrLogger:
    """Ours go straight to stderr: through `logging` an event would cost 30 µs instead of 12."""

    def __init__(self, name: str) -> None:
        self.name = name

    def msg(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

    debug = info = warning = error = critical = exception = msg


def is_audited() -> bool:
    return _audit is not None


def audit_event(event: str, **what: object) -> None:
    """Write a line of the audit, which no level filters; nothing when it is switched off."""
    if _audit is not None:
        _audit.info(event, **what)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger
