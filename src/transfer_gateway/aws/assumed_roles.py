"""A cache of assumed-role sessions: one per role, shared by all requests.

A session is
- obtained by one shared task at a time, which a cancelled caller does not cancel;
- renewed in the background before it expires, at a random time for each role;
- served until it expires while STS is down.
Failures are cached with exponential backoff, so that a role that can't be assumed costs a few STS calls instead of one
per request. So are rejections of a session by one region while other regions accept it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transfer_gateway.aws.errors import ChainedDurationRejected, DurationRejected
from transfer_gateway.aws.sts import Role
from transfer_gateway.backoff import Backoff, jittered
from transfer_gateway.domain.errors import GatewayError, RoleNotAssumable, UpstreamUnavailable
from transfer_gateway.fair_limiter import FairLimiter
from transfer_gateway.telemetry import context_of, current_request, gauge, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from botocore.credentials import ReadOnlyCredentials
    from prometheus_client.core import Metric

    from transfer_gateway.aws.sts import Assumed, Sts
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region
    from transfer_gateway.shared_tasks import SharedTasks
    from transfer_gateway.telemetry import Request

_log = get_logger(__name__)

_RENEW_AFTER = (0.75, 0.90)  # of a session's lifetime, random for each
_BACKOFF = Backoff(first_s=1.0, max_s=30.0)
# AWS's limit when a role assumes another role, and the smallest MaxSessionDuration that a role can have.
_CHAINED_MAX_S = 3600
_ASSUME_TIMEOUT_S = 20.0  # including the wait for the concurrency limit


@dataclass(slots=True)
class AssumedRoleSession:
    """Credentials and their lifetime. Times are seconds since the epoch."""

    credentials: ReadOnlyCredentials = field(repr=False)
    renew_at: float
    expires_at: float
    assumed_at: float = 0.0
    accepted_in: tuple[Region, ...] = field(default=(), compare=False)  # the regions that have accepted it


@dataclass(slots=True)
class _Failures:
    """Consecutive failures: the last one, their number, and when to retry, in the monotonic clock's time."""

    last: GatewayError | None = None
    count: int = 0
    retry_at: float = 0.0

    def add(self, failure: GatewayError, now: float) -> None:
        self.count += 1
        # A copy, because this one's traceback would keep every frame of the call in memory.
        self.last, self.retry_at = failure.copy(), now + _BACKOFF.after(self.count)

    def raise_unless_due(self, region: Region | None, now: float) -> None:
        """Raises: the last failure, with the remaining time, until the retry is due."""
        if self.last is not None and now < self.retry_at:
            raise self.last.copy(region=region, retry_after_s=self.retry_at - now)


@dataclass(slots=True)
class _Entry:
    """The cache entry of one role. `rejected_in`: a region may reject a session that others accept."""

    session: AssumedRoleSession | None = None
    task: asyncio.Task[AssumedRoleSession | GatewayError] | None = None
    failed: _Failures = field(default_factory=_Failures)
    rejected_in: dict[Region, _Failures] = field(default_factory=dict)
    is_limited: bool = False  # the role's MaxSessionDuration is less than the configured duration


class SessionCache:
    """Sessions by role. `now` returns seconds since the epoch; `steady`, used for backoff, the loop's time."""

    def __init__(
        self,
        sts: Sts,
        shared_tasks: SharedTasks,
        *,
        session_name: str,
        source_identity: str | None = None,
        session_tags: tuple[tuple[str, str], ...] = (),
        max_concurrency: int,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] | None = None,
    ) -> None:
        self._sts = sts
        self._session_name = session_name
        self._source_identity = source_identity
        self._session_tags = session_tags
        self._limiter = FairLimiter(max_concurrency)
        self._now = now
        self._steady = steady or asyncio.get_running_loop().time
        self._entries: dict[Role, _Entry] = {}
        self._shared_tasks = shared_tasks
        self._has_warned = False  # that a role allows less than the configured duration
        self._is_chained = False  # set when STS first rejects a duration for that reason

    async def get(self, account: Account, region: Region | None = None) -> AssumedRoleSession:
        """A session that is valid as far as we know. `region` is reported in errors.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable.
        """
        role = self._role(account)
        if role is None:
            own = await self._sts.own_credentials(account.id, region)
            return AssumedRoleSession(own, renew_at=float("inf"), expires_at=float("inf"))
        entry, now = self._entries.setdefault(role, _Entry()), self._now()
        if region is not None and region in entry.rejected_in:
            entry.rejected_in[region].raise_unless_due(region, self._steady())
        if entry.session is not None and now < entry.session.expires_at:
            if now >= entry.session.renew_at and self._steady() >= entry.failed.retry_at:
                self._start(role, account, entry, requested_by=None)  # in the background
            return entry.session
        entry.failed.raise_unless_due(region, self._steady())
        outcome = await asyncio.shield(self._start(role, account, entry, requested_by=current_request()))
        if isinstance(outcome, GatewayError):
            entry.failed.raise_unless_due(region, self._steady())  # with the time until the retry
            raise outcome.copy(region=region)
        return outcome

    def has(self, account: Account, region: Region) -> bool:
        """Whether `get` returns a session without waiting. False if that region has rejected the role's sessions."""
        role = self._role(account)
        entry = self._entries.get(role) if role else None
        return (
            entry is not None
            and entry.session is not None
            and self._now() < entry.session.expires_at
            and region not in entry.rejected_in
        )

    def accept(self, account: Account, region: Region, session: AssumedRoleSession) -> None:
        """Record that the region accepted the session, and forget earlier rejections."""
        session.accepted_in += (region,)
        self._entry(account).rejected_in.pop(region, None)

    def reject(self, account: Account, region: Region, reason: GatewayError) -> GatewayError:
        """Record that the region rejects the role's sessions, new ones included.

        Returns: the failure for callers, with the time until the next attempt.
        """
        failures, now = self._entry(account).rejected_in.setdefault(region, _Failures()), self._steady()
        if now >= failures.retry_at:  # else a concurrent request recorded it
            failures.add(reason, now)
            _log.warning(
                "session_refused",
                account=account.id,
                region=region,
                times=failures.count,
                detail=reason.detail,
            )
        return reason.copy(retry_after_s=failures.retry_at - now)

    def drop(self, account: Account, session: AssumedRoleSession) -> None:
        """Stop serving this session. Does nothing if a concurrent request has already replaced it."""
        entry = self._entry(account)
        if entry.session is session:
            entry.session = None
            _log.info("session_dropped", account=account.id)

    def is_regional(self, account: Account, region: Region, rejected: AssumedRoleSession) -> bool:
        """Whether the region, not the session, is the cause of a rejection.

        True if other regions accept the session and this one has rejected an earlier one too: it may not be enabled.
        """
        elsewhere = bool(rejected.accepted_in) and region not in rejected.accepted_in
        return elsewhere and region in self._entry(account).rejected_in

    def keep_only(self, accounts: Iterable[Account]) -> None:
        """Forget the sessions of roles that are no longer configured."""
        kept = {self._role(account) for account in accounts}
        for role in [role for role in self._entries if role not in kept]:
            del self._entries[role]

    def warnings(self, accounts: Iterable[Account]) -> list[str]:
        """Reports sessions that are shorter than configured, and why."""
        configured = {
            a: a.session_duration_s for a in accounts if a.role_arn and a.session_duration_s > _CHAINED_MAX_S
        }
        if self._is_chained and configured:
            warning = (
                f"sessions last {_CHAINED_MAX_S} s, not session_duration_s of {max(configured.values())}: "
                "the gateway's own credentials are a role's, and AWS limits role chaining to that"
            )
            return [warning]
        return [
            f"account {account.id}: sessions last {_CHAINED_MAX_S} s, not session_duration_s of {duration_s}: "
            "the role's MaxSessionDuration is less than that"
            for account, duration_s in configured.items()
            if self._entry(account).is_limited
        ]

    def collect(self) -> Iterator[Metric]:
        entries = [(_account_and_name(role), entry) for role, entry in self._entries.copy().items()]
        now = self._now()
        sessions = {
            of: entry.session for of, entry in entries if entry.session and entry.session.expires_at > now
        }
        yield gauge(
            "session_assumed_timestamp_seconds",
            "Time at which a role's current session was assumed.",
            ("account", "role"),
            {of: session.assumed_at for of, session in sessions.items()},
        )
        yield gauge(
            "session_expiry_timestamp_seconds",
            "Expiry time of a role's current session. It is renewed after 75 to 90 % of its lifetime.",
            ("account", "role"),
            {of: session.expires_at for of, session in sessions.items()},
        )
        yield gauge(
            "role_failures",
            "Consecutive failures to assume a role. Absent after a success.",
            ("account", "role"),
            {of: entry.failed.count for of, entry in entries if entry.failed.count},
        )

    def _entry(self, account: Account) -> _Entry:
        role = self._role(account)
        return self._entries.setdefault(role, _Entry()) if role else _Entry()

    def _role(self, account: Account) -> Role | None:
        if account.role_arn is None:
            return None
        return Role(
            account.role_arn,
            account.external_id,
            self._session_name,
            account.session_duration_s,
            self._source_identity,
            self._session_tags,
        )

    def _start(
        self, role: Role, account: Account, entry: _Entry, *, requested_by: Request | None
    ) -> asyncio.Task[AssumedRoleSession | GatewayError]:
        if entry.task is None:
            entry.task = self._shared_tasks.start(
                self._assume(role, account, entry),
                name=f"assume {role.arn}",
                context=context_of(requested_by),
            )
        return entry.task

    async def _assume(self, role: Role, account: Account, entry: _Entry) -> AssumedRoleSession | GatewayError:
        """The shared task. Its outcome goes to all waiting requests and into the cache entry."""
        started = self._now()
        try:
            async with asyncio.timeout(_ASSUME_TIMEOUT_S), self._limiter.slot(role):
                assumed = await self._assume_with_allowed_duration(role, account, entry)
        except TimeoutError:
            failure = UpstreamUnavailable(
                f"STS did not answer within {_ASSUME_TIMEOUT_S:g} s for account {account.id}.",
                account_id=account.id,
            )
            return self._remember(entry, failure)
        except GatewayError as error:
            return self._remember(entry, error)
        finally:
            entry.task = None
        now = self._now()
        if assumed.expires_at <= now:
            skewed = "STS returned an expired session: the gateway's clock is ahead."
            return self._remember(entry, RoleNotAssumable(skewed, account_id=account.id))
        entry.session = AssumedRoleSession(
            assumed.credentials,
            renew_at=now + jittered(assumed.expires_at - now, *_RENEW_AFTER),
            expires_at=assumed.expires_at,
            assumed_at=now,
        )
        entry.failed = _Failures()
        _log.info("role_assumed", account=account.id, role=role.arn, took_ms=round((now - started) * 1000))
        return entry.session

    async def _assume_with_allowed_duration(self, role: Role, account: Account, entry: _Entry) -> Assumed:
        """Assume the role for an hour, which every role allows, if STS rejects the configured duration."""
        limited = replace(role, duration_s=min(role.duration_s, _CHAINED_MAX_S))
        if self._is_chained or entry.is_limited:
            return await self._sts.assume_role(limited, account.id)
        try:
            return await self._sts.assume_role(role, account.id)
        except DurationRejected as error:
            if limited == role:
                raise
            if not isinstance(error, ChainedDurationRejected):
                entry.is_limited = True
                # One warning is enough: there may be thousands of such roles.
                log = _log.debug if self._has_warned else _log.warning
                self._has_warned = True
                log("session_duration_limited", account=account.id, **_durations(role, error))
            elif not self._is_chained:
                self._is_chained = True
                _log.warning("session_duration_limited", account="all", **_durations(role, error))
        return await self._sts.assume_role(limited, account.id)

    def _remember(self, entry: _Entry, failure: GatewayError) -> GatewayError:
        now = self._steady()
        entry.failed.add(failure, now)
        _log.warning(
            "role_not_assumed",
            account=failure.account_id,
            code=failure.code,
            detail=failure.detail or failure.message,
            aws_request_id=failure.aws_request_id,
            next_try_in_s=round(entry.failed.retry_at - now, 1),
        )
        return failure


def _durations(role: Role, error: DurationRejected) -> dict[str, object]:
    return {"asked_s": role.duration_s, "limit_s": _CHAINED_MAX_S, "detail": error.detail}


def _account_and_name(role: Role) -> tuple[str, str]:
    """Parse the ARN, such as `arn:aws:iam::111111111111:role/path/Name`."""
    *_, account_id, resource = role.arn.split(":", 5)
    return account_id, resource.removeprefix("role/")
