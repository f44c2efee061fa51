"""The policy file: a YAML list of rules, each of which grants callers access to accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, PlainValidator, model_validator

from transfer_gateway.domain.policy import AccountMatcher, CallerMatcher, Policy, Rule
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.settings.accounts_file import AccountIdField  # noqa: TC001  pydantic reads the annotations
from transfer_gateway.settings.configuration_error import RegionField  # noqa: TC001  pydantic reads the annotations
from transfer_gateway.settings.yaml_file import Strict, WatchedFile, parse_yaml

if TYPE_CHECKING:
    from pathlib import Path

_Texts = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
_Globs = dict[str, _Texts | Annotated[str, Field(min_length=1)]]


class _Callers(Strict):
    issuers: _Texts = Field(default_factory=list, validate_default=False)
    subjects: _Texts = Field(default_factory=list, validate_default=False)
    spiffe_ids: _Texts = Field(default_factory=list, validate_default=False)
    groups: _Texts = Field(default_factory=list, validate_default=False)
    claims: _Globs = Field(default_factory=dict)
    any: bool = False

    @model_validator(mode="after")
    def _check_says_who(self) -> Self:
        if self.any == bool(self.model_fields_set - {"any"}):
            raise ValueError(
                "must name callers: at least one of issuers, subjects, spiffe_ids, groups and claims, or any: true"
            )
        return self


class _Accounts(Strict):
    ids: Annotated[list[AccountIdField], Field(min_length=1)] = Field(
        default_factory=list, validate_default=False
    )
    aliases: _Texts = Field(default_factory=list, validate_default=False)
    tags: _Globs = Field(default_factory=dict)
    all: bool = False

    @model_validator(mode="after")
    def _check_says_which(self) -> Self:
        if self.all == bool(self.model_fields_set - {"all"}):
            raise ValueError("must name accounts: at least one of ids, aliases and tags, or all: true")
        return self


def _to_hideable(word: str) -> Hideable:
    """Replaces the class itself, whose parameters pydantic can't determine since Python 3.12."""
    try:
        return Hideable(word)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(Hideable)}") from None


class _Rule(Strict):
    callers: _Callers
    accounts: _Accounts
    regions: Annotated[list[RegionField], Field(min_length=1)] | None = None
    hide: list[Annotated[Hideable, PlainValidator(_to_hideable)]] = Field(default_factory=list)

    def to_rule(self) -> Rule:
        return Rule(
            CallerMatcher(
                issuers=tuple(self.callers.issuers),
                subjects=tuple(self.callers.subjects),
                spiffe_ids=tuple(self.callers.spiffe_ids),
                groups=tuple(self.callers.groups),
                claims=_globs(self.callers.claims),
            ),
            AccountMatcher(
                every=self.accounts.all,
                ids=frozenset(self.accounts.ids),
                aliases=tuple(self.accounts.aliases),
                tags=_globs(self.accounts.tags),
            ),
            regions=None if self.regions is None else frozenset(self.regions),
            hidden=frozenset(self.hide),
        )


class _Document(Strict):
    rules: list[_Rule]


class PolicyFile(WatchedFile[Policy]):
    """The policy file on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            lambda text, name: parse_policy(text, name=name),
            hint="docs/access.md has an example of a policy file",
        )


def parse_policy(text: bytes, *, name: str) -> Policy:
    """Parse a policy file; `name` is the file's name in messages. Raises: ConfigurationError."""
    parsed = parse_yaml(text, _Document, name=name, key="rules")
    return Policy([rule.to_rule() for rule in parsed.rules])


def _globs(named: _Globs) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (name, (texts,) if isinstance(texts, str) else tuple(texts)) for name, texts in named.items()
    )
