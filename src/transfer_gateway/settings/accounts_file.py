"""The accounts file: YAML, checked whole, every problem told with its line and column."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.discovery import AccountDefaults, AccountSources, Discovery, OuId
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.settings.problems import ConfigurationError, RegionField, say

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _twelve_digits(value: object) -> AccountId:
    if isinstance(value, int):
        raise ValueError(  # noqa: TRY004  pydantic reports ValueErrors
            "must be 12 digits in quotes: YAML reads bare digits as a number and drops leading zeros"
        )
    return AccountId(value)


_AccountIdField = Annotated[AccountId, PlainValidator(_twelve_digits)]
_OuIdField = Annotated[OuId, PlainValidator(OuId)]
# Bounds and patterns of STS's AssumeRole; the same for one account and for the defaults.
_RegionsField = Annotated[list[RegionField], Field(min_length=1)]
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

    def to_defaults(self) -> AccountDefaults:
        return AccountDefaults(
            role_name=self.role_name,
            regions=tuple(dict.fromkeys(self.regions or ())),
            external_id=self.external_id,
            session_duration_s=self.session_duration_s,
        )


class _Entry(_Strict):
    id: _AccountIdField
    alias: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    regions: _RegionsField | None = None
    role_arn: _RoleArnField | None = None
    external_id: _ExternalIdField | None = None
    session_duration_s: _DurationField | None = None

    @model_validator(mode="after")
    def _check_role(self) -> Self:
        if self.role_arn is None and "role_arn" in self.model_fields_set:
            idle = [name for name in ("external_id", "session_duration_s") if getattr(self, name) is not None]
            if idle:
                raise ValueError(f"{idle[0]} is for a role, and role_arn is null")
        if self.role_arn is not None and self.role_arn.split(":")[4] != self.id:
            raise ValueError(f"role_arn is a role of account {self.role_arn.split(':')[4]}, not of {self.id}")
        return self

    def to_account(self, defaults: AccountDefaults) -> Account:
        regions = tuple(dict.fromkeys(self.regions or defaults.regions))
        given = self.model_fields_set
        role_arn = self.role_arn
        if "role_arn" not in given:  # an explicit null means: the service's own credentials
            role_arn = defaults.role_arn(self.id, regions[0])
        return Account(
            id=self.id,
            alias=self.alias,
            regions=regions,
            role_arn=role_arn,
            external_id=self.external_id if "external_id" in given else defaults.external_id,
            session_duration_s=self.session_duration_s or defaults.session_duration_s,
        )


class _Organizations(_Strict):
    role_arn: _RoleArnField | None = None
    external_id: _ExternalIdField | None = None
    include_ous: Annotated[list[_OuIdField], Field(min_length=1)] | None = None
    exclude_ous: list[_OuIdField] = []
    exclude_accounts: list[_AccountIdField] = []
    refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0

    @model_validator(mode="after")
    def _check_external_id_has_role(self) -> Self:
        if self.external_id is not None and self.role_arn is None:
            raise ValueError("external_id needs a role_arn: it is told when that role is assumed")
        return self

    def to_discovery(self, region: Region) -> Discovery:
        reader = None
        if self.role_arn is not None:
            reader = Account(
                id=AccountId(self.role_arn.split(":")[4]),
                alias=None,
                regions=(region,),
                role_arn=self.role_arn,
                external_id=self.external_id,
                session_duration_s=3600,  # any role's maximum is at least that
            )
        return Discovery(
            region=region,
            reader=reader,
            include_ous=frozenset(self.include_ous or ()),
            exclude_ous=frozenset(self.exclude_ous),
            exclude_accounts=frozenset(self.exclude_accounts),
            refresh_s=self.refresh_s,
        )


class _Discover(_Strict):
    organizations: _Organizations


class _Document(_Strict):
    defaults: _Defaults = _Defaults()
    discover: _Discover | None = None
    accounts: Annotated[list[_Entry] | None, Field(validate_default=True)] = None

    @field_validator("accounts")
    @classmethod
    def _check_some_or_discover(cls, value: list[_Entry] | None, info: ValidationInfo) -> list[_Entry] | None:
        # A `discover` with mistakes is not in `data`; they are told, and that is enough.
        if not value and info.data.get("discover", ...) is None:
            raise ValueError("is required, with at least one account, unless accounts are discovered")
        return value

    def to_sources(self) -> AccountSources:
        defaults = self.defaults.to_defaults()
        return AccountSources(
            listed=Accounts(entry.to_account(defaults) for entry in self.accounts or ()),
            defaults=defaults,
            discovery=self.discover.organizations.to_discovery(defaults.regions[0])
            if self.discover
            else None,
        )


# What ruamel lets through besides its own errors: impossible dates and numbers, wrong tags, loops, depth.
_NOT_YAML = (YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class AccountsFile:
    """The accounts file on disk. Compared by content, so that every way of replacing it is noticed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: bytes | None = None

    def load(self) -> AccountSources:
        """Read the file. Raises: ConfigurationError, every problem with line and column."""
        try:
            self._seen = self.path.read_bytes()
        except OSError as error:
            self._seen = None
            raise ConfigurationError([f"{self.path}: cannot be read: {error.strerror}"]) from error
        return parse_accounts(self._seen, name=str(self.path))

    def load_if_changed(self) -> AccountSources | None:
        """What the file says when the file has changed since it was last looked at, else None.

        Raises: ConfigurationError, once for each bad version.
        """
        try:
            unchanged = self.path.read_bytes() == self._seen
        except OSError:
            unchanged = self._seen is None
        return None if unchanged else self.load()


def parse_accounts(text: bytes, *, name: str) -> AccountSources:
    """Read an accounts file's text; `name` is what messages call it. Raises: ConfigurationError."""
    try:
        document: Any = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigurationError([f"{place}: {error.problem or 'is not YAML'}"]) from error
    except _NOT_YAML as error:
        said = " ".join(str(error).split())
        raise ConfigurationError([f"{name}: is not YAML: {said or type(error).__name__}"]) from error
    if not isinstance(document, dict):
        raise ConfigurationError([f"{name}: must be a mapping with the key 'accounts'"])
    try:
        parsed = _Document.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"{name}{_place(document, problem['loc'])}{say(problem)}"
                for problem in error.errors(include_url=False)
            ]
        ) from None
    _check_together(parsed, document, name)
    return parsed.to_sources()


def _check_together(parsed: _Document, document: object, name: str) -> None:
    """Rules that span entries: nobody without a region, no id and no alias twice, no OU both in and out."""
    problems = _discovery_problems(parsed, document, name)
    seen: dict[str, int] = {}
    for index, entry in enumerate(parsed.accounts or ()):
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


def _discovery_problems(parsed: _Document, document: object, name: str) -> list[str]:
    if parsed.discover is None:
        return []
    wanted, at = parsed.discover.organizations, ("discover", "organizations")
    problems = [
        f"{name}{_place(document, (*at, 'exclude_ous', index))}{ou} is in include_ous too"
        for index, ou in enumerate(wanted.exclude_ous)
        if ou in (wanted.include_ous or ())
    ]
    if parsed.defaults.regions is None:
        problems.append(
            f"{name}{_place(document, at)}needs regions in defaults: those of discovered accounts"
        )
    return problems


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
