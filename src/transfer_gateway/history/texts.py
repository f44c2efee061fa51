"""What searches by text look in: a row an execution, folded in Python, so that both databases agree on case.

A table of its own, because PostgreSQL would index the text of an execution again with each of its events.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from transfer_gateway.history.codec import load, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CHARACTERS = 4096  # of a part; S3's keys have 1,024 bytes, paths on EFS hardly more

_BETWEEN = "\n"  # no text has it, once folded: so no pattern matches across two of them


def fold(text: str) -> str:
    """In one case, composed, in one line, and such that both databases can hold it."""
    text = plain(text, MAX_CHARACTERS) or ""
    if text.isascii():
        folded = text.lower()
    else:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return folded.replace(_BETWEEN, "\N{REPLACEMENT CHARACTER}")


def texts_row(id_: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """`row`: has the execution's columns. Its file and its service metadata are apart, as each may be hidden."""
    service = [fold(row[name]) for name in ("user_name", "server_id", "session_id") if row[name] is not None]
    located = {} if row["file_location"] is None else load(row["file_location"])
    files = [fold(path) for _, path, *_ in located.values() if path is not None]
    return {
        "execution": id_,
        "ids": f"{row['execution_id']}{_BETWEEN}{row['workflow_id']}",
        "service": _BETWEEN.join(service) or None,
        "file": _BETWEEN.join(files) or None,
    }
