"""docs/operations.md names only existing things."""

from __future__ import annotations

import re

from pages import DOCS, ROOT
from transfer_gateway.settings import Settings

TEXT = (DOCS / "operations.md").read_text(encoding="utf-8")
EVENT = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
SETTING = re.compile(r"`(?:TRANSFER_GATEWAY_)?([A-Z]+(?:_[A-Z0-9]+)+)`")


def test_files_and_tests() -> None:
    """Every test and script named as evidence exists."""
    for path, name in re.findall(r"\b((?:tests|bench)/[\w/]+\.py)(?:::(\w+))?", TEXT):
        assert f"def {name}" in (ROOT / path).read_text(), (path, name)


def test_settings_and_log_events() -> None:
    """Every setting exists, and every log event is logged somewhere."""
    known = {name.upper() for name in Settings.model_fields}
    codes = {
        "DEADLINE_EXCEEDED",
        "UPSTREAM_UNAVAILABLE",
        "ROLE_NOT_ASSUMABLE",
        "ACCESS_DENIED",
        "BAD_USER_INPUT",
        "AUDIT_LOG_UNAVAILABLE",
    }
    assert set(SETTING.findall(TEXT)) - codes <= known
    sources = "".join(path.read_text() for path in (ROOT / "src/transfer_gateway").rglob("*.py"))
    fields = {
        "refresh_s",
        "session_duration_s",
        "tasks_left",
        "aws_request_id",
        "trace_id",
        "request_id",
        "round_robin",
    }
    events = {name for name in EVENT.findall(TEXT) if not name.startswith("transfer_gateway_")} - fields
    assert {name for name in events if name not in sources} == set()
