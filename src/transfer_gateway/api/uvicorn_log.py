"""Filters uvicorn's log: no duplicates, and no errors caused by clients."""

from __future__ import annotations

import asyncio
import logging

_CLIENT_ERRORS = {  # logged as errors by uvicorn
    "ASGI callable returned without completing response.",
    "Invalid UTF-8 sequence received from client.",
}


def filter_log() -> None:
    logging.getLogger("uvicorn.error").addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    """False for cancelled requests, which `RequestLog` has logged, and for errors caused by clients."""
    cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not (cancelled or record.msg in _CLIENT_ERRORS)
