"""Calls to AWS, the roles assumed for them, and what is kept of the answers."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from transfer_gateway.settings.configuration_error import RegionField  # noqa: TC001  pydantic reads the annotations
from transfer_gateway.settings.groups.group import Group


class AwsSettings(Group):
    aws_connect_timeout_s: float = Field(3.0, gt=0, le=60, description="Connecting to AWS.")
    aws_read_timeout_s: float = Field(8.0, gt=0, le=300, description="Waiting for AWS's answer.")
    aws_max_answer_bytes: int = Field(
        4_194_304,
        ge=65_536,
        le=268_435_456,
        description="Larger answers of AWS are UPSTREAM_UNAVAILABLE, and their connection is closed.",
    )
    aws_max_list_rows: int = Field(
        20_000,
        ge=1000,
        le=10_000_000,
        description="Of one list of AWS's, over all its pages; 2 KB of memory each. Longer: UPSTREAM_UNAVAILABLE.",
    )
    aws_max_in_flight: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Calls to AWS at a time, over all targets; those slower than 0.5 s aside.",
    )
    target_max_in_flight: int = Field(
        16, ge=1, le=1000, description="Calls at a time to one target: an account in a region."
    )
    target_rate_per_s: float = Field(10.0, gt=0, le=10_000, description="Calls per second to one target.")
    target_burst: int = Field(
        50, ge=1, le=10_000, description="Calls to one target at once, after it was left alone for a while."
    )
    snapshots_max_entries: int = Field(
        20_000, ge=1, le=10_000_000, description="Executions kept for callers that accept an older answer."
    )
    snapshots_max_bytes: int = Field(
        134_217_728, ge=65_536, le=2**40, description="Memory for those, about; the least used go first."
    )
    sts_region: RegionField | None = Field(
        None,
        description="Region of the STS endpoint. Default: AWS_DEFAULT_REGION, else the first account's first.",
    )
    assume_role_max_concurrency: int = Field(
        48, ge=1, le=1000, description="AssumeRole calls at a time; those slower than 0.5 s aside."
    )
    role_session_name: str = Field(
        "transfer-gateway",
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="RoleSessionName: how the gateway shows in the accounts' CloudTrail.",
    )
    role_source_identity: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="SourceIdentity, kept through further roles; roles must allow sts:SetSourceIdentity.",
    )
    role_session_tags: tuple[tuple[str, str], ...] = Field(
        (),
        max_length=50,
        description="Session tags, as key=value, divided by commas; roles must allow sts:TagSession.",
    )
    cursor_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cursors of lists. Without it they end with the process, and hold for one replica.",
    )

    @field_validator("role_session_tags", mode="before")
    @classmethod
    def _split_tags(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        tags = [word.partition("=") for word in value.split(",") if word.strip()]
        for key, equals, _ in tags:
            if not equals or not key.strip():
                raise ValueError("must be tags such as team=payments, divided by commas")
        return tuple((key.strip(), text.strip()) for key, _, text in tags)
