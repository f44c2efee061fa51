"""What a caller may ask of a search: checked once, for both servers. Errors name the field and the rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.core.paging import MAX_PAGE
from transfer_gateway.domain.errors import AccountNotAvailable, BadUserInput, quote
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType
from transfer_gateway.domain.identity import Target
from transfer_gateway.domain.page import HiddenFilter
from transfer_gateway.domain.scope import Hideable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import AccountId
    from transfer_gateway.domain.page import ExecutionFilter, TargetFilter
    from transfer_gateway.domain.scope import Scope
    from transfer_gateway.domain.search import SearchFilter, SearchInput, Window

MAX_TEXT = 256  # characters, of any text that is searched for
MAX_VALUES = 100  # of one field
MAX_DURATION_S = 1e9  # about 30 years: what is stored in milliseconds must fit 64 bits
_LISTS = (
    "account_ids",
    "account_aliases",
    "account_tags",
    "regions",
    "workflow_ids",
    "execution_ids",
    "server_ids",
    "user_names",
    "session_ids",
    "statuses",
    "error_types",
)
_NAMES = ("account_aliases", "server_ids", "user_names", "session_ids")
_RANGES = (
    ("started_after", "started_before"),
    ("ended_after", "ended_before"),
    ("min_duration_s", "max_duration_s"),
)
_PASSING = ("running", "result_unknown", "min_duration_s", "max_duration_s")
_RUNNING = frozenset({ExecutionStatus.IN_PROGRESS, ExecutionStatus.HANDLING_EXCEPTION})
# Which hideable field each filter is on: those of searches, then those of lists of what is in progress.
_ON_HIDEABLE = (
    ("text", Hideable.INITIAL_FILE_LOCATION),
    ("text", Hideable.SERVICE_METADATA),
    ("file_name", Hideable.INITIAL_FILE_LOCATION),
    ("user_names", Hideable.SERVICE_METADATA),
    ("server_ids", Hideable.SERVICE_METADATA),
    ("session_ids", Hideable.SERVICE_METADATA),
    ("server_id", Hideable.SERVICE_METADATA),
    ("user_name", Hideable.SERVICE_METADATA),
    ("session_id", Hideable.SERVICE_METADATA),
    ("bucket", Hideable.INITIAL_FILE_LOCATION),
    ("key_prefix", Hideable.INITIAL_FILE_LOCATION),
    ("file_system_id", Hideable.INITIAL_FILE_LOCATION),
    ("path_prefix", Hideable.INITIAL_FILE_LOCATION),
)


class Part(NamedTuple):
    """A checked `Window`. `size`: 1 to 1,000."""

    size: int
    cursor: str | None
    backwards: bool


def part_of(window: Window, default: int) -> Part:
    """Raises: BadUserInput for directions that contradict each other, and for a size out of bounds."""
    if window.first is not None and window.last is not None:
        raise BadUserInput.of("last", "must not be given together with `first`.")
    if window.after is not None and window.before is not None:
        raise BadUserInput.of("before", "must not be given together with `after`.")
    if window.last is not None and window.after is not None:
        raise BadUserInput.of("last", "goes with `before`, not with `after`.")
    if window.first is not None and window.before is not None:
        raise BadUserInput.of("first", "goes with `after`, not with `before`.")
    backwards = window.last is not None or window.before is not None
    size = window.last if backwards else window.first
    size = default if size is None else size
    if not 1 <= size <= MAX_PAGE:
        raise BadUserInput.of("last" if backwards else "first", f"must be 1 to {MAX_PAGE}; got {size}.")
    return Part(size, window.before if backwards else window.after, backwards)


def checked(wanted: SearchInput) -> SearchInput:
    """The search with trimmed texts. Raises: BadUserInput."""
    for name in _LISTS:
        if (number := len(getattr(wanted, name))) > MAX_VALUES:
            raise _bad(name, f"may contain at most {MAX_VALUES} values; got {number}.")
    for name in _NAMES:
        for index, text in enumerate(getattr(wanted, name)):
            _check_length(f"{name}[{index}]", text)
    for index, tag in enumerate(wanted.account_tags):
        _check_length(f"account_tags[{index}].key", tag.key)
        _check_length(f"account_tags[{index}].value", tag.value, shortest=0)
    _check_known("statuses", wanted.statuses, ExecutionStatus)
    _check_known("error_types", wanted.error_types, StepErrorType)
    _check_ranges(wanted)
    return replace(
        wanted, text=_trimmed("text", wanted.text), file_name=_trimmed("file_name", wanted.file_name)
    )


def check_live(wanted: SearchInput) -> SearchInput:
    """The filter of a subscription. Raises: BadUserInput for what an execution stops to match when it ends."""
    for name in _PASSING:
        if getattr(wanted, name) is not None:
            raise _bad(
                name, "can't be used in a subscription: whether an execution matches changes with time."
            )
    if not _RUNNING.isdisjoint(wanted.statuses):
        raise _bad(
            "statuses", "may name only statuses of ended executions: of others, the end would never be told."
        )
    return wanted


def _check_ranges(wanted: SearchInput) -> None:
    for name in ("min_duration_s", "max_duration_s"):
        seconds: float | None = getattr(wanted, name)
        if seconds is not None and not 0 <= seconds <= MAX_DURATION_S:  # nor NaN
            raise _bad(name, f"must be 0 to {MAX_DURATION_S:.0f} seconds; got {quote(seconds)}.")
    for low, high in _RANGES:
        least, most = getattr(wanted, low), getattr(wanted, high)
        if least is not None and most is not None and least > most:
            rule = "must not be above" if low == "min_duration_s" else "must not be later than"
            raise BadUserInput.of(f"filter.{low}", rule, other=f"filter.{high}")


def _bad(name: str, rule: str) -> BadUserInput:
    return BadUserInput.of(f"filter.{name}", rule)


def _trimmed(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    text = text.strip()
    _check_length(name, text, rule=" besides spaces at its ends")
    return text


def _check_length(name: str, text: str, *, shortest: int = 1, rule: str = "") -> None:
    if not shortest <= len(text) <= MAX_TEXT:
        raise _bad(name, f"must have {shortest} to {MAX_TEXT} characters{rule}; got {len(text)}.")


def _check_known(name: str, values: Iterable[str], kind: type[ExecutionStatus | StepErrorType]) -> None:
    for index, value in enumerate(values):
        if kind(value) is kind.UNRECOGNIZED:
            known = ", ".join(each for each in kind if each is not kind.UNRECOGNIZED)
            raise _bad(f"{name}[{index}]", f"must be one of {known}.")


@dataclass(frozen=True, slots=True)
class Span:
    """The targets that an answer is about: those of these accounts, in these regions; None and empty: all of the scope.

    `count`: how many they are.
    """

    scope: Scope
    account_ids: frozenset[AccountId] | None
    regions: frozenset[str]
    count: int

    @property
    def is_everything(self) -> bool:
        return self.account_ids is None and not self.regions

    def has(self, target: Target) -> bool:
        return (
            (self.account_ids is None or target.account_id in self.account_ids)
            and (not self.regions or target.region in self.regions)
            and self.scope.accounts.cover(target)
        )

    def targets(self) -> Iterable[Target]:
        return (
            target
            for account in self.accounts()
            for region in account.regions
            if self.has(target := Target(account.id, region))
        )

    def accounts(self) -> Iterable[Account]:
        """The accounts, of which some may have none of the regions."""
        if self.account_ids is None:
            return self.scope.accounts
        return [account for account in map(self.scope.accounts.find, self.account_ids) if account]

    def narrowed(self, wanted: SearchFilter) -> SearchFilter:
        """The filter with these accounts."""
        return (
            wanted
            if self.account_ids is None
            else replace(wanted, account_ids=tuple(sorted(self.account_ids)))
        )


def span_of(scope: Scope, wanted: TargetFilter, extra: SearchInput | None = None) -> Span:
    """What a filter spans. All that it names must be available, as for `Scope.targets_named`.

    `extra`: the same filter, if it may name accounts by alias and tag.

    Raises: AccountNotAvailable, BadUserInput.
    """
    regions = frozenset[str](wanted.regions)
    chosen: frozenset[AccountId] | None = None
    for account_id in wanted.account_ids:
        account = scope.accounts.find(account_id)
        if account is None:
            raise AccountNotAvailable.of(account_id)
        if regions and regions.isdisjoint(account.regions):
            raise AccountNotAvailable.elsewhere(account_id, wanted.regions)
    if wanted.account_ids:
        chosen = frozenset(wanted.account_ids)
    if extra is not None and extra.account_aliases:
        chosen = _and(chosen, _with_aliases(scope, extra.account_aliases))
    if extra is not None and extra.account_tags:
        chosen = _and(chosen, _with_tags(scope, extra))
    if chosen is None:
        count = scope.accounts.count_targets(regions)
        here = {region for region in regions if scope.accounts.count_targets([region])}
    else:
        accounts = [account for account in map(scope.accounts.find, chosen) if account]
        count = sum(len(regions.intersection(it.regions) if regions else it.regions) for it in accounts)
        here = {region for account in accounts for region in account.regions}
    for region in wanted.regions if chosen is None or chosen else ():
        if region not in here:
            raise BadUserInput.of("filter.regions", f"names {region}, where you have no available account.")
    return Span(scope, chosen, regions, count)


def _and(chosen: frozenset[AccountId] | None, others: frozenset[AccountId]) -> frozenset[AccountId]:
    return others if chosen is None else chosen & others


def _with_aliases(scope: Scope, aliases: Iterable[str]) -> frozenset[AccountId]:
    """Raises: AccountNotAvailable for an alias that no account of the scope has."""
    by_alias: dict[str, list[AccountId]] = {alias.casefold(): [] for alias in aliases}
    for account in scope.accounts:
        if account.alias is not None and (found := by_alias.get(account.alias.casefold())) is not None:
            found.append(account.id)
    for alias in aliases:
        if not by_alias[alias.casefold()]:
            raise AccountNotAvailable(
                f"An account with alias {quote(alias)} is not available: not configured here, or not visible to you."
            )
    return frozenset(account_id for found in by_alias.values() for account_id in found)


def _with_tags(scope: Scope, wanted: SearchInput) -> frozenset[AccountId]:
    """Raises: AccountNotAvailable for a tag that no account of the scope has."""
    values: dict[str, set[str]] = {}
    for tag in wanted.account_tags:
        values.setdefault(tag.key, set()).add(tag.value)
    missing = dict.fromkeys((tag.key, tag.value) for tag in wanted.account_tags)
    found = []
    for account in scope.accounts:
        for key in values:
            if (value := account.tags.get(key)) is not None:
                missing.pop((key, value), None)
        if all(account.tags.get(key) in allowed for key, allowed in values.items()):
            found.append(account.id)
    for key, value in missing:
        raise AccountNotAvailable(
            f"An account with tag {quote(key)} of value {quote(value)} is not available: not configured here, or not "
            "visible to you."
        )
    return frozenset(found)


def hidden_filters(
    wanted: SearchFilter | ExecutionFilter, scope: Scope, is_wanted: Callable[[Target], bool]
) -> tuple[HiddenFilter, ...]:
    """The filters that are on fields hidden from the caller, and in how many of the targets that are wanted."""
    if not scope.hidden:
        return ()
    used = [(name, field) for name, field in _ON_HIDEABLE if getattr(wanted, name, None) not in {None, ()}]
    counts = {
        field: sum(
            field in fields and is_wanted(target) and scope.accounts.cover(target)
            for target, fields in scope.hidden.items()
        )
        for field in {field for _, field in used}
    }
    return tuple(HiddenFilter(name, field, counts[field]) for name, field in used if counts[field])
