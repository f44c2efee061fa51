"""Settings and the accounts file: the only reader of the environment.

Everything is checked before anything starts, and every problem is told at once, each with its place:
the variable's name, or the file's line and column.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.identity import AccountId, Region

if TYPE_CHECKING:
    from collections.abc import Sequence

ENV_PREFIX = "TRANSFER_GATEWAY_"

_RegionField = Annotated[Region, PlainValidator(Region)]


class ConfigurationError(Exception):
    """What is wrong with the configuration: one line a problem, each naming its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Settings(BaseSettings):
    """One field, one environment variable: `TRANSFER_GATEWAY_` and the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    accounts_file: Path = Field(
        description="YAML file of the accounts to look into; re-read when it changes."
    )
    accounts_reload_s: float = Field(
        5.0, ge=0.1, le=3600, description="How often the accounts file is looked at for a change."
    )
    auth: Literal["none"] = Field(
        "none", description="Who may call. `none` (so far the only choice) serves loopback addresses alone."
    )
    http_host: str = Field(
        "127.0.0.1", description="Address of the HTTP door. Loopback only, with auth `none`."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP door. 0: any free one.")
    http_max_body_bytes: int = Field(
        1_048_576, ge=1024, le=104_857_600, description="Larger request bodies are refused with 413."
    )
    request_timeout_s: float = Field(
        10.0,
        ge=0.05,
        le=300,
        description="One request's time; what is not there by then is DEADLINE_EXCEEDED.",
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="After SIGTERM, how long requests under way may take to finish."
    )
    aws_connect_timeout_s: float = Field(3.0, gt=0, le=60, description="Connecting to AWS.")
    aws_read_timeout_s: float = Field(8.0, gt=0, le=300, description="Waiting for AWS's answer.")
    aws_max_connections: int = Field(256, ge=1, le=10_000, description="Connections to AWS, per region.")
    sts_region: _RegionField | None = Field(
        None,
        description="Region of the STS endpoint. Default: AWS_DEFAULT_REGION, else the first account's first.",
    )
    assume_role_max_concurrency: int = Field(32, ge=1, le=1000, description="AssumeRole calls at a time.")
    role_session_name: str = Field(
        "transfer-gateway",
        pattern=r"^[A-Za-z0-9_+=,.@-]{2,64}$",
        description="RoleSessionName: how the gateway shows in the accounts' CloudTrail.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: for people on a terminal, JSON lines elsewhere."
    )

    @field_validator("http_host")
    @classmethod
    def _check_loopback(cls, value: str) -> str:
        if not _is_loopback(value):
            raise ValueError(
                f"{value!r} is no loopback address; without authentication only 127.0.0.1, ::1 and localhost are served"
            )
        return value

    @classmethod
    def from_environment(cls, **overrides: object) -> Self:
        """Read and check the environment; `overrides` (from the command line) win over it.

        Raises: ConfigurationError.
        """
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]  # checked by pydantic
        except ValidationError as error:
            raise ConfigurationError(
                [
                    f"{ENV_PREFIX}{'_'.join(str(part) for part in problem['loc']).upper()}: {_say(problem)}"
                    for problem in error.errors(include_url=False)
                ]
            ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _twelve_digits(value: object) -> AccountId:
    if isinstance(value, int):
        raise ValueError(  # noqa: TRY004  pydantic reports ValueErrors
            "must be 12 digits in quotes: YAML reads bare digits as a number and drops leading zeros"
        )
    return AccountId(value)


_AccountIdField = Annotated[AccountId, PlainValidator(_twelve_digits)]
# Bounds and patterns of STS's AssumeRole; the same for one account and for the defaults.
_RegionsField = Annotated[list[_RegionField], Field(min_length=1)]
_ExternalIdField = Annotated[str, Field(min_length=2, max_length=1224, pattern=r"^[A-Za-z0-9_+=,.@:/-]*$")]
_DurationField = Annotated[int, Field(ge=900, le=43_200)]
_RoleArnField = Annotated[
    str, Field(max_length=2048, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$")
]


class _Defaults(_Strict):
    role_name: Annotated[str, Field(max_length=512, pattern=r"^[A-Za-z0-9_+=,.@/-]+$")] = (
        "TransferGatewayReader"
    )
    regions: _RegionsField | None = None
    external_id: _ExternalIdField | None = None
    session_duration_s: _DurationField = 3600


class _Entry(_Strict):
    id: _AccountIdField
    alias: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    regions: _RegionsField | None = None
    role_arn: _RoleArnField | None = None
    external_id: _ExternalIdField | None = None
    session_duration_s: _DurationField | None = None

    @model_validator(mode="after")
    def _check_role_is_in_account(self) -> Self:
        if self.role_arn is not None and self.role_arn.split(":")[4] != self.id:
            raise ValueError(f"role_arn is a role of account {self.role_arn.split(':')[4]}, not of {self.id}")
        return self

    def to_account(self, defaults: _Defaults) -> Account:
        regions = tuple(dict.fromkeys(self.regions or defaults.regions or ()))
        given = self.model_fields_set
        role_arn = self.role_arn
        if "role_arn" not in given:  # an explicit null means: the service's own credentials
            role_arn = f"arn:{_partition(regions[0])}:iam::{self.id}:role/{defaults.role_name}"
        return Account(
            id=self.id,
            alias=self.alias,
            regions=regions,
            role_arn=role_arn,
            external_id=self.external_id if "external_id" in given else defaults.external_id,
            session_duration_s=self.session_duration_s or defaults.session_duration_s,
        )


class _Document(_Strict):
    defaults: _Defaults = _Defaults()
    accounts: Annotated[list[_Entry], Field(min_length=1)]


def _partition(region: Region) -> str:
    """The ARN partition of a region's roles. Others than these give a `role_arn` of their own."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


class AccountsFile:
    """The accounts file on disk. Compared by content, so that every way of replacing it is noticed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: bytes | None = None

    def load(self) -> Accounts:
        """Read the file. Raises: ConfigurationError, every problem with line and column."""
        try:
            self._seen = self.path.read_bytes()
        except OSError as error:
            self._seen = None
            raise ConfigurationError([f"{self.path}: cannot be read: {error.strerror}"]) from error
        return parse_accounts(self._seen, name=str(self.path))

    def load_if_changed(self) -> Accounts | None:
        """The accounts when the file has changed since it was last looked at, else None.

        Raises: ConfigurationError, once for each bad version.
        """
        try:
            unchanged = self.path.read_bytes() == self._seen
        except OSError:
            unchanged = self._seen is None
        return None if unchanged else self.load()


def parse_accounts(text: bytes, *, name: str) -> Accounts:
    """Read an accounts file's text; `name` is what messages call it. Raises: ConfigurationError."""
    try:
        document: Any = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigurationError([f"{place}: {error.problem or 'is not YAML'}"]) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{name}: is not YAML: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigurationError([f"{name}: must be a mapping with the key 'accounts'"])
    try:
        parsed = _Document.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"{name}{_place(document, problem['loc'])}{_say(problem)}"
                for problem in error.errors(include_url=False)
            ]
        ) from None
    _check_together(parsed, document, name)
    return Accounts(entry.to_account(parsed.defaults) for entry in parsed.accounts)


def _check_together(parsed: _Document, document: object, name: str) -> None:
    """Rules that span entries: nobody without a region, no id and no alias twice."""
    problems: list[str] = []
    seen: dict[str, int] = {}
    for index, entry in enumerate(parsed.accounts):
        if entry.regions is None and parsed.defaults.regions is None:
            problems.append(
                f"{name}{_place(document, ('accounts', index))}needs regions, here or in defaults"
            )
        for field, value in (("id", entry.id), ("alias", entry.alias)):
            if value is not None and seen.setdefault(f"{field} {value}", index) != index:
                problems.append(
                    f"{name}{_place(document, ('accounts', index, field))}{value} is listed twice"
                )
    if problems:
        raise ConfigurationError(problems)


def _place(document: object, loc: Sequence[int | str]) -> str:
    """`:line:column: path: ` of a pydantic location, as near to it as the document goes."""
    node: Any = document
    line = column = 0
    for part in loc:
        try:
            place = node.lc
            line, column = (place.key if isinstance(part, str) else place.item)(part)
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    return f":{line + 1}:{column + 1}: {path}: " if path else f":{line + 1}:{column + 1}: "


def _say(problem: Any) -> str:  # noqa: ANN401  pydantic's ErrorDetails, whose message is always text
    if problem["type"] == "missing":
        return "is required"
    if problem["type"] == "extra_forbidden":
        return "is not a known key"
    message: str = problem["msg"].removeprefix("Value error, ")
    return message[0].lower() + message[1:] if message.startswith("Input should") else message
