"""Fault injection: which faults apply to which calls. `dispatch` and `corrupt_responses` carry them out."""

import math
import time
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count

from transfer_emulator.calls import Call
from transfer_emulator.identity import AccessKey
from transfer_emulator.token_bucket import TokenBucket


class FaultKind(StrEnum):
    """What goes wrong: `MEANINGS`."""

    LATENCY = "latency"
    HANG = "hang"
    RESET = "reset"
    HTML_502 = "html_502"
    EMPTY_429 = "empty_429"
    THROTTLE = "throttle"
    DENY = "deny"
    SERVER_ERROR = "server_error"
    ERROR = "error"
    REVOKED = "revoked"
    TRUNCATED_BODY = "truncated_body"
    SHORT_BODY = "short_body"
    UNKNOWN_ENUM = "unknown_enum"
    UNKNOWN_MEMBER = "unknown_member"
    OVERSIZED_BODY = "oversized_body"
    ENDLESS_BODY = "endless_body"
    DRIP = "drip"
    COMPRESSED_BODY = "compressed_body"
    ENDLESS_HEAD = "endless_head"
    ENDLESS_CONTINUE = "endless_continue"
    REDIRECT = "redirect"
    MANY_STEPS = "many_steps"
    MANY_VALUES = "many_values"
    DEEP = "deep"
    REPEATED_TOKEN = "repeated_token"  # noqa: S105  no password
    FRESH_TOKENS = "fresh_tokens"
    EMPTY_PAGES = "empty_pages"
    OTHER_ANSWER = "other_answer"
    NO_LOG_GROUP = "no_log_group"


MEANINGS = {
    FaultKind.LATENCY: "delays the response by `seconds`",
    FaultKind.HANG: "never responds",
    FaultKind.RESET: "a TCP reset instead of a response",
    FaultKind.HTML_502: "a load balancer's error page",
    FaultKind.EMPTY_429: "a 429 without a body",
    FaultKind.THROTTLE: "allows `rate_per_s` per account and region",
    FaultKind.DENY: "AccessDenied",
    FaultKind.SERVER_ERROR: "InternalServiceError; with `status=503` ServiceUnavailableException",
    FaultKind.ERROR: "any `code`, `status` (400) and `message`",
    FaultKind.REVOKED: "sessions older than the fault are expired",
    FaultKind.TRUNCATED_BODY: "a complete HTTP 200 with half of the body",
    FaultKind.SHORT_BODY: "sends fewer bytes than its Content-Length, then closes",
    FaultKind.UNKNOWN_ENUM: "every enum value is an unknown one",
    FaultKind.UNKNOWN_MEMBER: "every structure has an unknown member",
    FaultKind.OVERSIZED_BODY: "a body of `size_bytes`, mostly spaces, with its Content-Length",
    FaultKind.ENDLESS_BODY: "endless spaces after the response",
    FaultKind.DRIP: "the response, then endless spaces, one every `seconds`",
    FaultKind.COMPRESSED_BODY: "unrequested gzip that expands 1,000 times, to spaces",
    FaultKind.ENDLESS_HEAD: "endless headers",
    FaultKind.ENDLESS_CONTINUE: "endless `100 Continue`",
    FaultKind.REDIRECT: "a 307 to the same URL",
    FaultKind.MANY_STEPS: "an execution with 300,000 step results",
    FaultKind.MANY_VALUES: "2,000,000 numbers in an unknown member",
    FaultKind.DEEP: "an unknown member, nested 100,000 levels deep",
    FaultKind.REPEATED_TOKEN: "every page of a list has the same NextToken",
    FaultKind.FRESH_TOKENS: "every page has a new NextToken and the first page's rows",
    FaultKind.EMPTY_PAGES: "every page of a list is empty and has a new NextToken",
    FaultKind.OTHER_ANSWER: "another execution, workflow or account than the requested one",
    FaultKind.NO_LOG_GROUP: "FilterLogEvents: the log group does not exist",
}

# Every emulated operation, by service.
OPERATIONS = {
    "sts": ("AssumeRole", "GetCallerIdentity"),
    "transfer": (
        "DescribeExecution",
        "DescribeServer",
        "DescribeWorkflow",
        "ListExecutions",
        "ListServers",
        "ListWorkflows",
    ),
    "logs": ("DescribeLogGroups", "FilterLogEvents"),
}


# Faults that determine the response. Faults added after them have no effect.
_FINAL = frozenset(FaultKind) - {
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
    FaultKind.EMPTY_PAGES,
    FaultKind.OTHER_ANSWER,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for matching calls; None matches any.

    `times`: number of matching calls that it applies to; None: all. An AssumeRole call's account is the role's.
    Raises: ValueError for a value out of range.
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
        if self.service is not None and self.service not in OPERATIONS:
            raise ValueError(f"service: must be one of {', '.join(OPERATIONS)}; got {self.service!r}")
        operations = [
            name for service, names in OPERATIONS.items() if self.service in {None, service} for name in names
        ]
        if self.operation is not None and self.operation not in operations:
            raise ValueError(f"operation: must be one of {', '.join(operations)}; got {self.operation!r}")
        for name in ("seconds", "rate_per_s", "size_bytes"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: must be at least 0; got {value}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: must be at least 1; got {self.times}")
        if self.status is not None and not 400 <= self.status <= 599:  # noqa: PLR2004 - HTTP's error statuses
            raise ValueError(f"status: must be an HTTP error status (400 to 599); got {self.status}")
        if self.kind is FaultKind.ERROR and not self.code:
            raise ValueError("code: required for an error fault")

    def matches(self, call: Call) -> bool:
        return (
            self.account_id in {None, call.account_id}
            and self.region in {None, call.region}
            and self.operation in {None, call.operation}
            and self.service in {None, call.service}
        )


class Faults:
    """The active faults, in the order they were added."""

    def __init__(self) -> None:
        self._active: dict[int, _Active] = {}
        self._ids = count(1)

    def add(self, fault: Fault) -> int:
        """Activate `fault`. Returns: its id, for `remove`."""
        fault_id = next(self._ids)
        self._active[fault_id] = _Active(fault)
        return fault_id

    def remove(self, fault_id: int) -> None:
        """Raises: KeyError."""
        del self._active[fault_id]

    def clear(self) -> None:
        self._active.clear()

    def active(self) -> dict[int, Fault]:
        """The active faults by id, without those whose `times` are used up."""
        return {fault_id: active.fault for fault_id, active in self._active.items() if active.left != 0}

    def due(self, call: Call, key: AccessKey | None) -> list[Fault]:
        """The faults that apply to this call, in order. Counts them against their `times`."""
        due: list[Fault] = []
        for active in self._active.values():
            if active.applies(call, key):
                due.append(active.fault)
                if active.fault.kind in _FINAL:
                    break
        return due


@dataclass(slots=True)
class _Active:
    fault: Fault
    left: int | None = field(init=False)
    added_ns: int = field(default_factory=time.monotonic_ns)
    budgets: dict[tuple[str, str], TokenBucket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = self.fault.times

    def applies(self, call: Call, key: AccessKey | None) -> bool:
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
        # AWS's rate limits are per account and region: one account's calls do not throttle another's.
        budget = self.budgets.setdefault((call.account_id, call.region), TokenBucket(self.fault.rate_per_s))
        return budget.take()
