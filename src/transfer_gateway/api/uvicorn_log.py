"""uvicorn's log, without what is logged elsewhere or is a client's fault."""

from __future__ import annotations

import asyncio
import logging

_CLIENTS_FAULTS = {  # errors to uvicorn
    "ASGI callable returned without completing response.",
    "Invalid UTF-8 sequence received from client.",
}


def log_news_only() -> None:
    logging.getLogger("uvicorn.error").addFilter(_tells_news)


def _tells_news(record: logging.LogRecord) -> bool:
    """All but uvicorn's trace of a cancelled request, which `RequestLog` has told, and what clients do wrong."""
    cancelled = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not (cancelled or record.msg in _CLIENTS_FAULTS)
