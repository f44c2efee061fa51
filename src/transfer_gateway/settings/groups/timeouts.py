"""The time of a request, and of shutting down."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class TimeoutSettings(Group):
    request_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="One request's time; what is not there by then is DEADLINE_EXCEEDED.",
    )
    shutdown_delay_s: float = Field(
        3.0,
        ge=0,
        le=600,
        description="After SIGTERM, how long to go on serving while not ready, so that no more is sent here.",
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="After that, how long requests under way may take to finish."
    )
