"""What fails and changes during the soak test, and so which responses are correct."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transfer_emulator import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = "OK"
_UPSTREAM, _THROTTLED, _DEADLINE = "UPSTREAM_UNAVAILABLE", "THROTTLED", "DEADLINE_EXCEEDED"
_OF_STALLS = {_UPSTREAM, _THROTTLED, _DEADLINE, "gRPC DEADLINE_EXCEEDED: Deadline Exceeded"}
_BREAKER_HEALS_S = (
    8.0  # a breaker is open for 5 s at most; then a probe must come by, and may still be hanging
)
_STS_HEALS_S = (
    14.0  # refusals are remembered for ever longer: after 10 s of them for 8 s, give or take a fifth
)


@dataclass(frozen=True)
class Sickness:
    """Faults of one account; `codes` are what its callers may see meanwhile, and until `heals_s` after it.

    Without codes callers must not notice.
    """

    name: str
    faults: tuple[Fault, ...]
    codes: frozenset[str]
    heals_s: float = _BREAKER_HEALS_S

    def strike(self, account: str) -> Iterator[Fault]:
        """The faults, for that account only."""
        return (replace(fault, account_id=account) for fault in self.faults)


def _transfer(
    name: str, kind: FaultKind, *codes: str, heals_s: float = _BREAKER_HEALS_S, **how: object
) -> Sickness:
    return Sickness(name, (Fault(kind, service="transfer", **how),), frozenset(codes), heals_s)  # type: ignore[arg-type]  # Fault's own fields


def _sts(name: str, kind: FaultKind, *codes: str) -> Sickness:
    """Sessions are revoked too, so that STS is called at once."""
    faults = (Fault(FaultKind.REVOKED, service="transfer"), Fault(kind, service="sts"))
    return Sickness(name, faults, frozenset(codes), _STS_HEALS_S)


SICKNESSES = (
    _transfer("throttled", FaultKind.THROTTLE, _THROTTLED, _UPSTREAM),
    _transfer("fails", FaultKind.SERVER_ERROR, _UPSTREAM),
    _transfer("hangs", FaultKind.HANG, _UPSTREAM, _THROTTLED, _DEADLINE),
    _sts("STS denies", FaultKind.DENY, "ROLE_NOT_ASSUMABLE"),
    _transfer("resets", FaultKind.RESET, _UPSTREAM),
    _transfer("sessions revoked", FaultKind.REVOKED),
    _transfer("502 pages", FaultKind.HTML_502, _UPSTREAM),
    _transfer("slow", FaultKind.LATENCY, seconds=0.8),
    _transfer("cut bodies", FaultKind.TRUNCATED_BODY, _UPSTREAM),
    _sts("STS hangs", FaultKind.HANG, _UPSTREAM, _DEADLINE),
    _transfer("denied", FaultKind.DENY, "ACCESS_DENIED", heals_s=1.0),
    _transfer("empty 429", FaultKind.EMPTY_429, _THROTTLED, _UPSTREAM),
    _transfer("unknown values", FaultKind.UNKNOWN_ENUM),
    _sts("STS fails", FaultKind.SERVER_ERROR, _UPSTREAM, _DEADLINE),
    _transfer("short bodies", FaultKind.SHORT_BODY, _UPSTREAM),
    _transfer("503", FaultKind.SERVER_ERROR, _UPSTREAM, status=503),
    _transfer("unknown members", FaultKind.UNKNOWN_MEMBER),
)


@dataclass(frozen=True)
class Configuration:
    """A valid version of accounts file and policy: the accounts, and what one group does not see."""

    accounts: frozenset[str]
    hidden_from_guests: frozenset[str]  # accounts
    guests_see_posix: bool

    def accounts_yaml(self) -> str:
        listed = "".join(f'  - {{ id: "{account}" }}\n' for account in sorted(self.accounts))
        return f"defaults: {{ regions: [eu-west-1] }}\naccounts:\n{listed}"

    def policy_yaml(self) -> str:
        seen = ", ".join(f'"{account}"' for account in sorted(self.accounts - self.hidden_from_guests))
        hide = "" if self.guests_see_posix else "\n    hide: [posixProfile]"
        return (
            f"rules:\n  - callers: {{ groups: [guests] }}\n    accounts: {{ ids: [{seen}] }}{hide}\n"
            "  - callers: { groups: [staff] }\n    accounts: { all: true }\n"
        )

    def shows(self, group: str, account: str) -> bool:
        return account in self.accounts and not (group == "guests" and account in self.hidden_from_guests)

    def shows_posix(self, group: str) -> bool:
        return group != "guests" or self.guests_see_posix


@dataclass(frozen=True)
class Answer:
    """One lookup's outcome; times are the loop's. `shows_posix` is None without an execution."""

    door: str
    group: str
    account: str
    asked_at: float
    answered_at: float
    code: str
    shows_posix: bool | None = None
    wanted: str = OK  # what it should be if all is well
    expired: bool = False  # its token did, before it was answered
    alone: bool = True  # asked for by itself: no other account's answer had to be waited for


@dataclass
class _Window:
    name: str
    account: str
    codes: frozenset[str]
    since: float
    until: float = float("inf")


@dataclass
class Judge:
    """Records what happened when, and so whether a response is explained.

    Changed files must have taken effect `settles_s` after they were rewritten.
    """

    first: Configuration
    settles_s: float
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # by door and code
    explained: dict[str, Counter[str]] = field(default_factory=dict)  # by sickness: codes
    unexplained: list[str] = field(default_factory=list)
    stalled: Counter[str] = field(
        default_factory=Counter
    )  # codes of answers that only the machine's own stalls explain
    healthy_s: list[float] = field(default_factory=list)  # how long answers took that no sickness touched
    _windows: list[_Window] = field(default_factory=list)
    _stalls: list[tuple[float, float]] = field(default_factory=list)
    _versions: list[tuple[float, Configuration]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._versions.append((float("-inf"), self.first))

    def begins(self, sickness: Sickness, account: str, now: float) -> _Window:
        window = _Window(sickness.name, account, sickness.codes, now)
        self._windows.append(window)
        self.explained.setdefault(sickness.name, Counter())
        return window

    def ends(self, window: _Window, sickness: Sickness, now: float) -> None:
        window.until = now + sickness.heals_s

    def stood_still(self, since: float, until: float) -> None:
        """This process, which runs the emulated AWS, got no CPU: for the gateway every AWS call hung."""
        self._stalls.append((since, until + _BREAKER_HEALS_S))

    def changes(self, version: Configuration, now: float) -> None:
        self._versions.append((now, version))

    @property
    def newest(self) -> Configuration:
        return self._versions[-1][1]

    def judge(self, answer: Answer) -> None:
        self.outcomes[answer.door, answer.code] += 1
        windows = [
            window
            for window in self._windows
            if window.account == answer.account
            and answer.asked_at <= window.until
            and window.since <= answer.answered_at
        ]
        for window in windows:
            self.explained[window.name][answer.code] += 1
        if answer.alone and not windows:
            self.healthy_s.append(answer.answered_at - answer.asked_at)
        if self._is_right(answer):
            return
        if any(answer.code in window.codes for window in windows):
            return
        if answer.code in _OF_STALLS and any(
            answer.asked_at <= until and since <= answer.answered_at for since, until in self._stalls
        ):
            self.stalled[answer.code] += 1
        else:
            at = f"{answer.door} {answer.group} account {answer.account} at {answer.asked_at:.1f}"
            seen = "" if answer.shows_posix is None else f" (posixProfile: {answer.shows_posix})"
            why = [window.name for window in windows]
            self.unexplained.append(f"{at}: {answer.code}{seen}, not {answer.wanted}; sick: {why}")

    def _is_right(self, answer: Answer) -> bool:
        """Correct by any version of the configuration that may have been in use meanwhile."""
        if answer.wanted == "UNAUTHENTICATED":
            return answer.code == "UNAUTHENTICATED"
        if answer.expired and answer.code == "UNAUTHENTICATED":
            return True
        for version in self._in_force(answer.asked_at, answer.answered_at):
            if not version.shows(answer.group, answer.account):
                if answer.code == "ACCOUNT_NOT_AVAILABLE":
                    return True
            elif answer.code == answer.wanted and answer.shows_posix in {
                None,
                version.shows_posix(answer.group),
            }:
                return True
        return False

    def _in_force(self, since: float, until: float) -> list[Configuration]:
        ends = [written + self.settles_s for written, _ in self._versions[1:]] + [float("inf")]
        return [
            version
            for (written, version), end in zip(self._versions, ends, strict=True)
            if written <= until and since <= end
        ]
