"""Parses the trace id of a caller's request. Source: W3C Trace Context, section 3.2."""

from __future__ import annotations

import re

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"  # headers
_FORM = re.compile(
    r"(?!ff|00-.{52}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


def trace_id_of(traceparent: str) -> str | None:
    """The trace id in hexadecimal; None if the header is malformed."""
    found = _FORM.fullmatch(traceparent)
    return found[1] if found else None
