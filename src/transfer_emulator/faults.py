"""What goes wrong on request: which fault, for whom, how often. `front` and `damage` carry them out."""

import math
import time
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from transfer_emulator.calls import Call
from transfer_emulator.identity import AccessKey


class FaultKind(StrEnum):
    LATENCY = "latency"  # answers `seconds` later
    HANG = "hang"  # never answers
    RESET = "reset"  # a TCP reset in place of an answer
    HTML_502 = "html_502"  # a load balancer's page
    EMPTY_429 = "empty_429"  # a 429 without a body
    THROTTLE = "throttle"  # lets `rate_per_s` through, per account and region
    DENY = "deny"  # AccessDenied
    SERVER_ERROR = "server_error"  # InternalServiceError; with `status=503` ServiceUnavailableException
    ERROR = "error"  # any `code`, `status` (400) and `message`
    REVOKED = "revoked"  # sessions older than the fault have expired
    TRUNCATED_BODY = "truncated_body"  # a complete HTTP 200 whose body is cut in half
    SHORT_BODY = "short_body"  # promises more bytes than it sends, then closes
    UNKNOWN_ENUM = "unknown_enum"  # every enum value is one that no model knows
    UNKNOWN_MEMBER = "unknown_member"  # every structure has a member that no model knows
    OVERSIZED_BODY = "oversized_body"  # `size_bytes` of body, blanks mostly, and its Content-Length says so
    ENDLESS_BODY = "endless_body"  # blanks after the answer, without end
    DRIP = "drip"  # the answer, then a blank each `seconds`, without end
    COMPRESSED_BODY = "compressed_body"  # gzip that nobody asked for: blanks, 1,000 times as many as are sent
    ENDLESS_HEAD = "endless_head"  # headers without end
    ENDLESS_CONTINUE = "endless_continue"  # `100 Continue` without end
    REDIRECT = "redirect"  # a 307 to the same place
    MANY_STEPS = "many_steps"  # 300,000 steps in the results of an execution
    MANY_VALUES = "many_values"  # 2,000,000 numbers in a member that no model knows
    DEEP = "deep"  # a member that no model knows, nested 100,000 deep
    REPEATED_TOKEN = "repeated_token"  # noqa: S105  every page of a list has the same NextToken
    FRESH_TOKENS = "fresh_tokens"  # every page has another NextToken, and the rows of the first
    OTHER_ANSWER = "other_answer"  # another execution, workflow or account in place of the one asked about


# Those that settle the call by themselves: whatever was added after them does not matter.
_SETTLING = frozenset(FaultKind) - {
    FaultKind.LATENCY,
    FaultKind.TRUNCATED_BODY,
    FaultKind.SHORT_BODY,
    FaultKind.UNKNOWN_ENUM,
    FaultKind.UNKNOWN_MEMBER,
    FaultKind.OVERSIZED_BODY,
    FaultKind.ENDLESS_BODY,
    FaultKind.DRIP,
    FaultKind.COMPRESSED_BODY,
    FaultKind.MANY_STEPS,
    FaultKind.MANY_VALUES,
    FaultKind.DEEP,
    FaultKind.REPEATED_TOKEN,
    FaultKind.FRESH_TOKENS,
    FaultKind.OTHER_ANSWER,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, where the call matches; None matches any.

    `times` is for how many matching calls it happens, None for all. An AssumeRole call's account is that of
    the role. Raises: ValueError where a figure makes no sense.
    """

    kind: FaultKind
    account_id: str | None = None
    region: str | None = None
    operation: str | None = None
    service: str | None = None
    seconds: float = 0.0
    rate_per_s: float = 0.0
    size_bytes: int = 200_000_000
    times: int | None = None
    code: str | None = None
    status: int | None = None
    message: str | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "rate_per_s", "size_bytes"):
            figure = getattr(self, name)
            if not (math.isfinite(figure) and figure >= 0):
                raise ValueError(f"{name}: must be 0 or more, not {figure}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: must be 1 or more, not {self.times}")
        if self.status is not None and not 400 <= self.status <= 599:  # noqa: PLR2004 - HTTP's error statuses
            raise ValueError(f"status: must be an HTTP error, not {self.status}")
        if self.kind is FaultKind.ERROR and not self.code:
            raise ValueError("code: an error fault needs one")

    def matches(self, call: Call) -> bool:
        return (
            self.account_id in {None, call.account_id}
            and self.region in {None, call.region}
            and self.operation in {None, call.operation}
            and self.service in {None, call.service}
        )


class Faults:
    """The faults in force, in the order they were added."""

    def __init__(self) -> None:
        self._active: dict[int, _Active] = {}
        self._ids = count(1)

    def add(self, fault: Fault) -> int:
        """Put `fault` in force and tell the number to remove it by."""
        fault_id = next(self._ids)
        self._active[fault_id] = _Active(fault)
        return fault_id

    def remove(self, fault_id: int) -> None:
        """Raises: KeyError."""
        del self._active[fault_id]

    def clear(self) -> None:
        self._active.clear()

    def active(self) -> dict[int, Fault]:
        """The faults in force by number; one whose `times` are used up is no longer among them."""
        return {fault_id: active.fault for fault_id, active in self._active.items() if active.left != 0}

    def due(self, call: Call, key: AccessKey | None) -> list[Fault]:
        """What happens to this call, in order; each counts as having happened."""
        due: list[Fault] = []
        for active in self._active.values():
            if active.happens(call, key):
                due.append(active.fault)
                if active.fault.kind in _SETTLING:
                    break
        return due


@dataclass(slots=True)
class _Active:
    fault: Fault
    left: int | None = field(init=False)
    added_ns: int = field(default_factory=time.monotonic_ns)
    budgets: dict[tuple[str, str], "_Budget"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = self.fault.times

    def happens(self, call: Call, key: AccessKey | None) -> bool:
        if self.left == 0 or not self.fault.matches(call):
            return False
        if self.fault.kind is FaultKind.THROTTLE and self._within_rate(call):
            return False
        if self.fault.kind is FaultKind.REVOKED and not self._revokes(key):
            return False
        if self.left is not None:
            self.left -= 1
        return True

    def _revokes(self, key: AccessKey | None) -> bool:
        return key is not None and key.token is not None and key.issued_ns <= self.added_ns

    def _within_rate(self, call: Call) -> bool:
        # AWS's budgets belong to an account in a region: one caller's haste is not another's problem.
        budget = self.budgets.setdefault((call.account_id, call.region), _Budget(self.fault.rate_per_s))
        return budget.take()


@dataclass(slots=True)
class _Budget:
    """A token bucket that holds one second's worth (and at least one call, if the rate is not zero)."""

    rate_per_s: float
    tokens: float = field(init=False)
    filled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self._size()

    def take(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self._size(), self.tokens + (now - self.filled_at) * self.rate_per_s)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _size(self) -> float:
        return max(1.0, self.rate_per_s) if self.rate_per_s else 0.0
