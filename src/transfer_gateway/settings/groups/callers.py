"""Limits of each caller, and the audit log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class CallerSettings(Group):
    caller_requests_per_s: float = Field(
        50.0,
        gt=0,
        le=1_000_000,
        description=(
            "Maximum requests per second of one caller. Further ones are THROTTLED. "
            "Not applied with auth `none`."
        ),
    )
    caller_requests_burst: int = Field(
        200, ge=1, le=10_000_000, description="Maximum requests of one caller in a burst."
    )
    caller_max_concurrent_requests: int = Field(
        200,
        ge=1,
        le=1_000_000,
        description="Maximum concurrent requests of one caller. Further ones are THROTTLED.",
    )
    caller_max_subscriptions: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Maximum open subscriptions of one caller. Further ones are THROTTLED.",
    )
    caller_rows_per_s: float = Field(
        5000.0,
        gt=0,
        le=1_000_000_000,
        description=(
            "Maximum rows per second returned to one caller: executions, workflows, accounts, "
            "failures; cached ones too."
        ),
    )
    caller_rows_burst: int = Field(
        50_000, ge=1, le=1_000_000_000, description="Maximum rows returned to one caller in a burst."
    )
    caller_aws_calls_per_s: float = Field(
        500.0,
        gt=0,
        le=1_000_000,
        description="Maximum AWS calls per second caused by one caller. Cached results cost none.",
    )
    caller_aws_calls_burst: int = Field(
        20_000,
        ge=1,
        le=100_000_000,
        description="Maximum AWS calls caused by one caller in a burst.",
    )
    caller_max_unread_bytes: int = Field(
        16_777_216,
        ge=1_048_576,
        le=2**40,
        description=(
            "Maximum response bytes that one caller leaves unread. "
            "Above it, the caller's slowest connections are closed."
        ),
    )
    max_unread_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        le=2**40,
        description=(
            "Maximum response bytes that all callers together leave unread. "
            "Above it, the slowest connections are closed."
        ),
    )
    audit_log: bool = Field(
        default=True,
        description="Whether each lookup is written to the audit log: the caller, the target and the outcome.",
    )
    audit_log_full: Literal["refuse", "count"] = Field(
        "refuse",
        description="When audit lines can't be written: `refuse` requests, or serve them and `count` the lost lines.",
    )
