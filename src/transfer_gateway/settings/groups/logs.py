"""Logging."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class LogSettings(Group):
    slow_request_s: float = Field(
        1.0,
        ge=0,
        le=300,
        description="Requests that take longer than this, in seconds, are logged as `slow_request`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum log level.")
    log_queue_max_bytes: int = Field(
        8_388_608,
        ge=65_536,
        le=2**30,
        description=(
            "Memory for log lines that wait to be written. "
            "When half full, lines are dropped, except audit lines."
        ),
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto",
        description=(
            "`console` is for people, `json` for machines. "
            "`auto` selects `console` on a terminal, else `json`."
        ),
    )
