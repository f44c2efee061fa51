"""A request's id, which ties answer, log and caller together: the caller's own where it is well-formed."""

from __future__ import annotations

import os
import re

HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(sent: str | None) -> str:
    return sent if sent is not None and _WELL_FORMED.fullmatch(sent) else os.urandom(16).hex()
