"""AWS calls, the roles assumed for them, and the cache of their responses."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from transfer_gateway.settings.configuration_error import RegionField  # noqa: TC001  pydantic reads the annotations
from transfer_gateway.settings.groups.group import Group


class AwsSettings(Group):
    aws_connect_timeout_s: float = Field(
        3.0, gt=0, le=60, description="Timeout for connecting to AWS, in seconds."
    )
    aws_read_timeout_s: float = Field(
        8.0, gt=0, le=300, description="Timeout for reading a response from AWS, in seconds."
    )
    aws_max_answer_bytes: int = Field(
        4_194_304,
        ge=65_536,
        le=268_435_456,
        description="Maximum size of a response from AWS. Larger ones are UPSTREAM_UNAVAILABLE.",
    )
    aws_max_list_rows: int = Field(
        20_000,
        ge=1000,
        le=10_000_000,
        description=(
            "Maximum rows of one AWS list over all pages, 2 KB of memory each. "
            "Longer lists are UPSTREAM_UNAVAILABLE."
        ),
    )
    aws_max_in_flight: int = Field(
        256,
        ge=1,
        le=10_000,
        description="Maximum concurrent AWS calls over all targets. Calls that take longer than 0.5 s don't count.",
    )
    target_max_in_flight: int = Field(
        16,
        ge=1,
        le=1000,
        description="Maximum concurrent AWS calls to one target, that is, an account in a region.",
    )
    target_rate_per_s: float = Field(
        10.0, gt=0, le=10_000, description="Maximum AWS calls per second to one target."
    )
    target_burst: int = Field(50, ge=1, le=10_000, description="Maximum AWS calls to one target in a burst.")
    snapshots_max_entries: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        description="Maximum executions in the cache, for callers that accept cached results.",
    )
    snapshots_max_bytes: int = Field(
        134_217_728,
        ge=65_536,
        le=2**40,
        description="Approximate maximum memory of that cache. The least recently used executions are evicted first.",
    )
    sts_region: RegionField | None = Field(
        None,
        description="Region of the STS endpoint. Default: AWS_DEFAULT_REGION, else the first account's first region.",
    )
    assume_role_max_concurrency: int = Field(
        48,
        ge=1,
        le=1000,
        description="Maximum concurrent AssumeRole calls. Calls that take longer than 0.5 s don't count.",
    )
    role_session_name: str = Field(
        "transfer-gateway",
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="RoleSessionName of assumed roles, which CloudTrail in the accounts shows.",
    )
    role_source_identity: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="SourceIdentity of assumed roles. The roles must allow sts:SetSourceIdentity.",
    )
    role_session_tags: tuple[tuple[str, str], ...] = Field(
        (),
        max_length=50,
        description=(
            "Session tags of assumed roles, as comma-separated key=value pairs. "
            "The roles must allow sts:TagSession."
        ),
    )
    cursor_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description=(
            "Key that signs list cursors. "
            "Without it, these are valid in one replica only, until it restarts. Those of subscriptions need none."
        ),
    )

    @field_validator("role_session_tags", mode="before")
    @classmethod
    def _split_tags(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        tags = [word.partition("=") for word in value.split(",") if word.strip()]
        for key, equals, _ in tags:
            if not equals or not key.strip():
                raise ValueError("must be comma-separated tags, such as team=payments,stage=prod")
        return tuple((key.strip(), text.strip()) for key, _, text in tags)
