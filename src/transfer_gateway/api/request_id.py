"""A request's id, which ties answer, log and caller together: the caller's own where it is well-formed."""

from __future__ import annotations

import random
import re

HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(sent: str | None) -> str:
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent
    return f"{random.getrandbits(128):032x}"  # to tell requests apart, without a call of the system's
