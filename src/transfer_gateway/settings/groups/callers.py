"""What one caller may use, and the audit log of what it asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from transfer_gateway.settings.groups.group import Group


class CallerSettings(Group):
    caller_requests_per_s: float = Field(
        50.0,
        gt=0,
        le=1_000_000,
        description="Requests of one caller; more are THROTTLED. Not with auth `none`.",
    )
    caller_requests_burst: int = Field(
        200, ge=1, le=10_000_000, description="Requests of one caller at once, after a pause."
    )
    caller_max_concurrent_requests: int = Field(
        200, ge=1, le=1_000_000, description="Requests of one caller under way at a time; more are THROTTLED."
    )
    caller_rows_per_s: float = Field(
        5000.0,
        gt=0,
        le=1_000_000_000,
        description="Rows of answers for one caller, from snapshots too: executions, workflows, accounts, failures.",
    )
    caller_rows_burst: int = Field(
        50_000, ge=1, le=1_000_000_000, description="Rows for one caller at once, after a pause."
    )
    caller_aws_calls_per_s: float = Field(
        500.0, gt=0, le=1_000_000, description="Calls to AWS that one caller causes. Snapshots cost none."
    )
    caller_aws_calls_burst: int = Field(
        20_000,
        ge=1,
        le=100_000_000,
        description="Calls to AWS that one caller causes at once, after a pause.",
    )
    caller_max_unread_bytes: int = Field(
        16_777_216,
        ge=1_048_576,
        le=2**40,
        description="Bytes of answers that one caller leaves unread; over that, its slowest connections are ended.",
    )
    max_unread_bytes: int = Field(
        67_108_864,
        ge=1_048_576,
        le=2**40,
        description="The same for all callers together.",
    )
    audit_log: bool = Field(
        default=True, description="Whether each lookup is written to the log: who, what, and what came of it."
    )
    audit_log_full: Literal["refuse", "count"] = Field(
        "refuse",
        description="While lines of the audit can't be written: `refuse` requests, or go on and `count` what is lost.",
    )
