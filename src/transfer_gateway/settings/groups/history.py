"""What is remembered of executions, and where."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from transfer_gateway.domain.gateway_error import quote
from transfer_gateway.settings.configuration_error import RegionField  # noqa: TC001  pydantic reads the annotations
from transfer_gateway.settings.groups.database_url import MODES, DatabaseUrl
from transfer_gateway.settings.groups.group import ENV_PREFIX, Group

_FORMS = (
    "must be `off`, `sqlite://`, `sqlite:///` with a file's absolute path, "
    "or `postgresql://` with user, host and database"
)

_POSTGRESQL = {"postgresql", "postgres"}


class HistorySettings(Group):
    history_url: str = Field(
        "sqlite://",
        repr=False,
        description=(
            "Where executions are remembered: `sqlite://` is a temporary file, `sqlite:///var/lib/history.db` that "
            "file, `postgresql://user@host/database` a database that replicas share; libpq's parameters are "
            "accepted. `off`: nothing is remembered."
        ),
    )
    history_password_file: Path | None = Field(
        None, description="File with the password for PostgreSQL. Read again for each connection."
    )
    history_iam_region: RegionField | None = Field(
        None, description="Region of the database for `HISTORY_IAM_AUTH`. Default: that of RDS's host name."
    )
    history_iam_auth: bool = Field(
        default=False,
        description=(
            "Whether the password of each connection to PostgreSQL is a token of AWS IAM, by the gateway's own AWS "
            "credentials, as RDS and Aurora accept it. Needs `sslmode=verify-full`."
        ),
    )
    history_retention_days: float = Field(
        90.0,
        ge=0.01,
        le=36_500,
        description="Days after their last event after which executions are deleted.",
    )
    history_max_bytes: int | None = Field(
        None,
        ge=16_777_216,
        le=2**50,
        description=(
            "Maximum size of the history; the oldest executions are deleted first. "
            "Default: 1 GiB in SQLite, 64 GiB in PostgreSQL. 1 GiB holds about 200,000 executions, of 5 to 6 KB each. "
            "Leave 70 % more room on the disk for SQLite's write-ahead log and free pages."
        ),
    )
    history_backfill_hours: float = Field(
        24.0,
        ge=0,
        le=24 * 3650,
        description="How far back the logs are read when the history is empty, in hours.",
    )
    history_interval_s: float = Field(
        2.0,
        ge=0.1,
        le=60,
        description="How often a log is read in which something happens, in seconds. A quiet one is read less often.",
    )
    history_max_reads_per_s: float = Field(
        480.0,
        ge=1,
        le=100_000,
        description=(
            "Reads of all logs together, per second. Where that is too few, quiet logs are read less often than once "
            "a minute: 40,000 every 84 s; then active ones: 2,000 every 4.2 s."
        ),
    )
    history_pool_size: int = Field(
        4, ge=1, le=1000, description="Maximum connections of one replica to the history's database."
    )
    history_timeout_s: float = Field(
        3.0,
        ge=0.1,
        le=60,
        description=(
            "Timeout for an operation of the history's database, in seconds. "
            "After it, the history is UPSTREAM_UNAVAILABLE."
        ),
    )

    live_interval_s: float = Field(
        2.0,
        ge=0.5,
        le=60,
        description=(
            "Seconds between AWS calls for each execution that a subscription watches and that no log tells of."
        ),
    )
    live_max_subscriptions: int = Field(
        5000,
        ge=1,
        le=1_000_000,
        description="Maximum open subscriptions of all callers. Further ones are THROTTLED.",
    )

    @property
    def history_weakness(self) -> str | None:
        """What a connection to PostgreSQL lacks in security, with the remedy; None: nothing."""
        return DatabaseUrl.of(self.history_url).weakness if self.history_url.startswith("postgres") else None

    @field_validator("history_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        """The message must not have the URL: it may have a password."""
        if value in {"off", "sqlite://"}:
            return value
        try:
            url = urlsplit(value)
            for host in url.netloc.rpartition("@")[2].split(","):
                _ = urlsplit(f"//{host}").port
            mode = DatabaseUrl.of(value).mode if url.scheme in _POSTGRESQL else None
        except ValueError:
            raise ValueError(f"is not a URL: {_FORMS}; encode special characters of a password") from None
        if url.scheme == "sqlite":
            if url.netloc or url.query or url.fragment or url.path in {"", "/"} or url.path.endswith("/"):
                raise ValueError(_FORMS)
        elif mode is None:
            raise ValueError(_FORMS)
        elif mode not in MODES:
            raise ValueError(f"sslmode must be one of {', '.join(MODES)}; got {quote(mode)}")
        return value

    @field_validator("history_password_file")
    @classmethod
    def _check_password(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        url = urlsplit(info.data.get("history_url", ""))
        if value is not None and (not url.scheme.startswith("postgres") or url.password):
            raise ValueError(f"needs {ENV_PREFIX}HISTORY_URL to be `postgresql://`, without a password")
        return value

    @field_validator("history_iam_auth")
    @classmethod
    def _check_iam(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001  pydantic calls it
        if not value or "history_url" not in info.data:
            return value
        if urlsplit(info.data["history_url"]).scheme not in _POSTGRESQL:
            raise ValueError(f"needs {ENV_PREFIX}HISTORY_URL to be `postgresql://`")
        url = DatabaseUrl.of(info.data["history_url"])
        if url.has_password or info.data.get("history_password_file"):
            raise ValueError(
                f"a token is the password: unset {ENV_PREFIX}HISTORY_PASSWORD_FILE, and give no password in "
                f"{ENV_PREFIX}HISTORY_URL"
            )
        if not url.user or len(url.hosts) != 1 or url.hosts[0].startswith("/"):
            raise ValueError(f"needs a user and one host name in {ENV_PREFIX}HISTORY_URL")
        if not url.says_mode or url.mode != "verify-full":
            raise ValueError(
                f"needs sslmode=verify-full in {ENV_PREFIX}HISTORY_URL: no other server may get the token"
            )
        if not (info.data.get("history_iam_region") or url.region):
            raise ValueError(f"needs {ENV_PREFIX}HISTORY_IAM_REGION: {url.hosts[0]} does not name a region")
        return value
