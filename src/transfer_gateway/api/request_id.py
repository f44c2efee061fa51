"""Request ids link the response, the logs and the caller. A well-formed id from the caller is used."""

from __future__ import annotations

import random
import re

HEADER = "x-request-id"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(sent: str | None) -> str:
    if sent is not None and _WELL_FORMED.fullmatch(sent):
        return sent
    return f"{random.getrandbits(128):032x}"  # only needs to be unique; avoids the system call of `secrets`
