"""Timeouts of requests and of the shutdown."""

from __future__ import annotations

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class TimeoutSettings(Group):
    request_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="Timeout for a request, in seconds. What is missing then is DEADLINE_EXCEEDED.",
    )
    shutdown_delay_s: float = Field(
        3.0,
        ge=0,
        le=600,
        description=(
            "Seconds to keep serving after SIGTERM while not ready, so that load balancers stop "
            "sending requests."
        ),
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="Seconds that requests get to finish after that delay."
    )
