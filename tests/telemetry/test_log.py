"""Log lines, as written to stderr by a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

LINES = """
import logging, sys
from transfer_gateway.telemetry import LOG_IDS, audit_event, configure_logging, get_logger

configure_logging("info", sys.argv[1], audit=True)
log = get_logger("ours")
log.debug("unheard")
log.info("outside")
LOG_IDS.set({"request_id": "abc", "trace_id": "123"})
log.warning("within", count=1, text="é", trace_id="told")
log.info("half", sent="\\ud800")
audit_event("lookup", ids=["a/b"])
logging.getLogger("theirs").error("%s gone", "it")
try:
    secret = "hush"
    raise ValueError("wrong")
except ValueError:
    log.exception("failed")
"""


def written(form: str) -> list[str]:
    ran = subprocess.run(  # noqa: S603  our own
        [sys.executable, "-c", LINES, form], check=True, capture_output=True, encoding="utf-8"
    )
    assert not ran.stdout
    return ran.stderr.splitlines()


def test_lines_are_json() -> None:
    """One object per line, in order: ours, the audit's, the libraries', each with its ids."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in written("json")]
    now = datetime.now(UTC)
    for line in lines:
        at = line.pop("timestamp")
        assert at.endswith("Z")
        assert abs((now - datetime.fromisoformat(at)).total_seconds()) < 60
    ids = {"request_id": "abc", "trace_id": "123"}
    exception = lines[-1].pop("exception")
    assert lines == [
        {"event": "outside", "level": "info", "logger": "ours"},
        ids
        | {
            "event": "within",
            "count": 1,
            "text": "é",
            "trace_id": "told",
            "level": "warning",
            "logger": "ours",
        },
        ids | {"event": "half", "sent": "\ud800", "level": "info", "logger": "ours"},
        ids | {"event": "lookup", "ids": ["a/b"], "level": "info", "logger": "audit"},
        ids | {"event": "it gone", "level": "error", "logger": "theirs"},
        ids | {"event": "failed", "level": "error", "logger": "ours"},
    ]
    assert (exception[0]["exc_type"], exception[0]["exc_value"]) == ("ValueError", "wrong")
    assert "hush" not in json.dumps(exception)


@pytest.mark.parametrize("event", ["outside", "within", "lookup", "it gone", "ValueError: wrong"])
def test_lines_for_people(event: str) -> None:
    """The same events on a terminal."""
    lines = written("console")
    assert any(event in line for line in lines)
    assert not any("unheard" in line for line in lines)


TOKENS = """
import logging
from transfer_gateway.telemetry import configure_logging

configure_logging("debug", "json")
log = logging.getLogger("grpc._cython.cygrpc")
log.error("Strange: %s, and more", b"Bearer abc.def\\xbdghi")
log.error("Strange: eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln, and more")
try:
    raise ValueError("bearer abc.def.ghi")
except ValueError:
    log.exception("Invalid encoding on %s", b"Bearer abc.def.ghi")
    log.exception("Failed")
"""


def test_no_token_is_in_a_librarys_line() -> None:
    """Neither in its text nor in its exception; grpc's lines about bytes from a client are dropped."""
    ran = subprocess.run([sys.executable, "-c", TOKENS], check=True, capture_output=True, encoding="utf-8")  # noqa: S603  our own
    first, second, third = map(json.loads, ran.stderr.splitlines())
    assert first["event"] == "Strange: b'[hidden]', and more"
    assert second["event"] == "Strange: [hidden], and more"
    assert third["event"] == "Failed"
    assert third["exception"][0]["exc_value"] == "[hidden]"
