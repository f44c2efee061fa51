"""Access policy: rules that grant callers access. Anything not granted is invisible to the caller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from cachetools import LRUCache

from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.scope import Hideable, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.caller import Caller
    from transfer_gateway.domain.identity import AccountId, Region

_CACHED_SCOPES = 256  # by the rules that match a caller; each may contain all accounts


@dataclass(frozen=True, slots=True)
class CallerMatcher:
    """Matches callers by all criteria that are set, each by any of its values. Globs: `*`, `?`, `[…]`."""

    issuers: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()  # globs
    spiffe_ids: tuple[str, ...] = ()  # globs; only for certificates, never for a token's subject
    groups: tuple[str, ...] = ()  # globs
    claims: tuple[tuple[str, tuple[str, ...]], ...] = ()  # name and globs

    def match(self, caller: Caller) -> bool:
        return (
            (not self.issuers or caller.issuer in self.issuers)
            and (not (self.subjects or self.spiffe_ids) or self._matches_name(caller))
            and (not self.groups or _any(self.groups, caller.groups))
            and all(_any(globs, _texts(caller.claims.get(name))) for name, globs in self.claims)
        )

    def _matches_name(self, caller: Caller) -> bool:
        return _any(self.subjects, [caller.subject]) or (
            caller.issuer is None
            and caller.subject.startswith("spiffe://")  # a glob such as `*` must not match other names
            and _any(self.spiffe_ids, [caller.subject])
        )


@dataclass(frozen=True, slots=True)
class AccountMatcher:
    """Matches accounts by any of these."""

    every: bool = False
    ids: frozenset[AccountId] = frozenset()
    aliases: tuple[str, ...] = ()  # globs
    tags: tuple[tuple[str, tuple[str, ...]], ...] = ()  # name and globs; all must match

    def match(self, account: Account) -> bool:
        return (
            self.every
            or account.id in self.ids
            or (account.alias is not None and _any(self.aliases, [account.alias]))
            or (
                bool(self.tags)
                and all(
                    name in account.tags and _any(globs, [account.tags[name]]) for name, globs in self.tags
                )
            )
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Grants callers access to accounts, in `regions` or in all, except for the `hidden` fields."""

    callers: CallerMatcher
    accounts: AccountMatcher
    regions: frozenset[Region] | None = None
    hidden: frozenset[Hideable] = frozenset()


class Policy:
    """A target is visible if any rule grants it; a field is hidden if every rule that grants the target hides it."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._scopes: LRUCache[tuple[Rule, ...], tuple[Accounts, Scope]] = LRUCache(_CACHED_SCOPES)

    def scope(self, caller: Caller, accounts: Accounts) -> Scope:
        """What the caller may see of these accounts. Callers that match the same rules share a cached scope."""
        rules = tuple(rule for rule in self._rules if rule.callers.match(caller))
        cached = self._scopes.get(rules)
        if cached is not None and cached[0] is accounts:
            return cached[1]
        scope = _scope(rules, accounts)
        self._scopes[rules] = accounts, scope
        return scope


def _scope(rules: Sequence[Rule], accounts: Accounts) -> Scope:
    visible: list[Account] = []
    hidden: dict[Target, frozenset[Hideable]] = {}
    for account in accounts:
        granting = [rule for rule in rules if rule.accounts.match(account)]
        regions = []
        for region in account.regions:
            here = [rule.hidden for rule in granting if rule.regions is None or region in rule.regions]
            if here:
                regions.append(region)
                if in_all := frozenset.intersection(*here):
                    hidden[Target(account.id, region)] = in_all
        if len(regions) == len(account.regions):
            visible.append(account)
        elif regions:
            visible.append(replace(account, regions=tuple(regions)))
    return Scope(Accounts(visible), hidden)


def _any(globs: Sequence[str], values: Mapping[str, object] | frozenset[str] | Sequence[str]) -> bool:
    return any(fnmatchcase(value, glob) for value in values for glob in globs)


def _texts(claim: object) -> Sequence[str]:
    """A claim's value, or its items if it is a list."""
    values = claim if isinstance(claim, list | tuple) else [claim]
    return [
        str(value).lower() if isinstance(value, bool) else str(value)
        for value in values
        if isinstance(value, str | int)
    ]
