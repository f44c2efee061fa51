"""The accounts file: YAML, checked whole, every problem told with its line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.discovery import AccountDefaults, AccountSources, Discovery, OuId
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.domain.partition import foreign_region, partition_of, partition_of_arn
from transfer_gateway.domain.text import is_blank
from transfer_gateway.settings.configuration_error import ConfigurationError, RegionField
from transfer_gateway.settings.yaml_file import Strict, WatchedFile, check_model, place, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic import ValidatorFunctionWrapHandler

_Place: TypeAlias = "tuple[int | str, ...]"
_Problem: TypeAlias = "tuple[_Place, str]"


def _twelve_digits(value: object) -> AccountId:
    if isinstance(value, int):
        raise ValueError(  # noqa: TRY004  pydantic reports ValueErrors
            "must be 12 digits in quotes: YAML reads bare digits as a number and drops leading zeros"
        )
    return AccountId(value)


def _visible(alias: str) -> str:
    if is_blank(alias) or alias != alias.strip():
        raise ValueError("must have a visible character, and no space at its beginning or end")
    return alias


AccountIdField = Annotated[AccountId, PlainValidator(_twelve_digits)]
_OuIdField = Annotated[OuId, PlainValidator(OuId)]
# Bounds and patterns of STS's AssumeRole; the same for one account and for the defaults.
_RegionsField = Annotated[list[RegionField], Field(min_length=1)]
_ExternalIdField = Annotated[str, Field(min_length=2, max_length=1224, pattern=r"^[A-Za-z0-9_+=,.@:/-]*$")]
_DurationField = Annotated[int, Field(ge=900, le=43_200)]
_RoleArnField = Annotated[
    str, Field(max_length=2048, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$")
]


class _Defaults(Strict):
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


class _Entry(Strict):
    id: AccountIdField
    alias: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_visible)] | None = None
    regions: _RegionsField | None = None
    role_arn: _RoleArnField | None = None
    external_id: _ExternalIdField | None = None
    session_duration_s: _DurationField | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_role(self) -> Self:
        if self.role_arn is None and "role_arn" in self.model_fields_set:
            idle = [name for name in ("external_id", "session_duration_s") if getattr(self, name) is not None]
            if idle:
                raise ValueError(f"{idle[0]} has no effect: role_arn is null")
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
            tags=dict(self.tags),
        )


class _Organizations(Strict):
    role_arn: _RoleArnField | None = None
    external_id: _ExternalIdField | None = None
    include_ous: Annotated[list[_OuIdField], Field(min_length=1)] | None = None
    exclude_ous: list[_OuIdField] = Field(default_factory=list)
    exclude_accounts: list[AccountIdField] = Field(default_factory=list)
    refresh_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0

    @model_validator(mode="after")
    def _check_external_id_has_role(self) -> Self:
        if self.external_id is not None and self.role_arn is None:
            raise ValueError("external_id needs a role_arn")
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


class _Discover(Strict):
    organizations: _Organizations


class _Document(Strict):
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


class AccountsFile(WatchedFile[AccountSources]):
    """The accounts file on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            lambda text, name: parse_accounts(text, name=name),
            hint="docs/accounts.md has an example of an accounts file; `transfer-gateway demo` needs none",
        )


def parse_accounts(text: bytes, *, name: str) -> AccountSources:
    """Read an accounts file's text; `name` is what messages call it. Raises: ConfigurationError."""
    document = read_yaml(text, name=name, key="accounts")
    together = [f"{name}{place(document, loc)}{problem}" for loc, problem in _problems(document)]
    try:
        parsed = check_model(document, _Document, name=name)
    except ConfigurationError as error:
        raise ConfigurationError([*error.problems, *together]) from error
    if together:
        raise ConfigurationError(together)
    return parsed.to_sources()


def _or_none(value: Any, check: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401  any YAML
    try:
        return check(value)
    except ValidationError:  # `_Document` has reported it
        return None


class _ValidParts(BaseModel):
    """What is valid of a file that may be invalid, so that one mistake does not hide those between other entries."""

    model_config = ConfigDict(extra="ignore", strict=True)

    defaults: Annotated[_Defaults | None, WrapValidator(_or_none)] = _Defaults()
    discover: Annotated[_Discover | None, WrapValidator(_or_none)] = None
    accounts: Annotated[
        list[Annotated[_Entry | None, WrapValidator(_or_none)]] | None, WrapValidator(_or_none)
    ] = None


def _problems(document: object) -> Iterator[_Problem]:
    """Rules that span entries: nobody without a region, no id and no alias twice, one partition, no OU in and out.

    Each with its place.
    """
    parsed = _ValidParts.model_validate(document)
    defaults = None if parsed.defaults is None else parsed.defaults.regions or []  # None: not known
    yield from _partition_problems(("defaults",), defaults or [])
    if parsed.discover is not None:
        yield from _discovery_problems(parsed.discover.organizations, defaults)
    home = defaults[0] if defaults and parsed.discover is not None else None
    seen: dict[str, int] = {}
    for index, entry in enumerate(parsed.accounts or ()):
        if entry is None:
            continue
        at = ("accounts", index)
        regions = entry.regions or defaults
        if regions is not None and not regions:
            yield at, "needs regions, here or in defaults"
        home = home or (regions[0] if regions else None)
        if home and regions and partition_of(home) is not partition_of(regions[0]):
            yield (
                (*at, "regions", 0),
                f"{_located(regions[0])}, but {_located(home)}: the gateway's credentials are of one partition",
            )
        for field, value in (("id", entry.id), ("alias", entry.alias)):
            if value is not None and seen.setdefault(f"{field} {value}", index) != index:
                yield (*at, field), f"{value} is listed twice"
        yield from _partition_problems(at, entry.regions or [])
        if entry.role_arn is not None:
            of = entry.role_arn.split(":")[4]
            if of != entry.id:
                yield (*at, "role_arn"), f"is a role of account {of}, not of {entry.id}"
            yield from _role_problems((*at, "role_arn"), entry.role_arn, regions or [])


def _discovery_problems(wanted: _Organizations, defaults: Sequence[Region] | None) -> Iterator[_Problem]:
    at = ("discover", "organizations")
    for index, ou in enumerate(wanted.exclude_ous):
        if ou in (wanted.include_ous or ()):
            yield (*at, "exclude_ous", index), f"{ou} is in include_ous too"
    if defaults is not None and not defaults:
        yield at, "needs regions in defaults: those of discovered accounts"
    if wanted.role_arn is not None:
        yield from _role_problems((*at, "role_arn"), wanted.role_arn, defaults or [])


def _partition_problems(at: _Place, regions: Sequence[Region]) -> Iterator[_Problem]:
    """Credentials of one partition are worth nothing in another, and an account is in one of them."""
    if (found := foreign_region(regions)) is not None:
        one, other = map(_located, found)
        yield (*at, "regions", regions.index(found[1])), f"{other}, but {one}: an account is in one partition"


def _located(region: Region) -> str:
    return f"{region} is in partition {partition_of(region).id}"


def _role_problems(at: _Place, role_arn: str, regions: Sequence[Region]) -> Iterator[_Problem]:
    partition = partition_of_arn(role_arn)
    if regions and partition != partition_of(regions[0]).id:
        yield at, f"is in partition {partition}, but {regions[0]} is in {partition_of(regions[0]).id}"
