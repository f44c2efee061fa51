"""The sessions of assumed roles: one for each role, however many ask.

A session is
- obtained by one flight at a time, a task of its own: a caller that gives up leaves it flying for others;
- renewed ahead of its expiry, in the background, at a moment that differs from role to role;
- served until it really expires, when STS is down;
and a failure is remembered for a while that grows with each further one, so that a role which can't be
assumed costs STS a few calls, not one a request. So is a region's refusal of sessions that others take.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transfer_gateway.aws.errors import DurationRefused, DurationRefusedToRoles
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

_RENEW_AFTER = (0.75, 0.90)  # of a session's life, drawn anew for each
_BACKOFF = Backoff(first_s=1.0, max_s=30.0)
_CHAINED_MAX_S = (
    3600  # of a role's session that assumes another role; also the least MaxSessionDuration of a role
)
_ASSUME_TIMEOUT_S = 20.0  # waiting for a place among the concurrent calls included


@dataclass(slots=True)
class AssumedRoleSession:
    """Credentials with their life. Times are seconds since the epoch, as AWS counts them."""

    credentials: ReadOnlyCredentials = field(repr=False)
    renew_at: float
    expires_at: float
    assumed_at: float = 0.0
    accepted_in: tuple[Region, ...] = field(default=(), compare=False)  # where AWS has taken it


@dataclass(slots=True)
class _Failures:
    """Failures in a row: the last, how many, and when it is worth trying again, by the steady clock."""

    last: GatewayError | None = None
    count: int = 0
    ask_again_at: float = 0.0

    def add(self, failure: GatewayError, now: float) -> None:
        self.count += 1
        # As a new object: this one's traces would keep every frame of the call for as long.
        self.last, self.ask_again_at = failure.copy(), now + _BACKOFF.after(self.count)

    def raise_unless_due(self, region: Region | None, now: float) -> None:
        """Raises: the last failure, with the time left, while that is not over."""
        if self.last is not None and now < self.ask_again_at:
            raise self.last.copy(region=region, retry_after_s=self.ask_again_at - now)


@dataclass(slots=True)
class _Entry:
    """What is known of one role. `refused_in`: a region may refuse a session that others take."""

    session: AssumedRoleSession | None = None
    flight: asyncio.Task[AssumedRoleSession | GatewayError] | None = None
    failed: _Failures = field(default_factory=_Failures)
    refused_in: dict[Region, _Failures] = field(default_factory=dict)
    is_limited: bool = False  # the role's MaxSessionDuration is less than what was asked for


class SessionCache:
    """Sessions by role. `now` gives seconds since the epoch; `steady`, which backoff goes by, the loop's time."""

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
        self._has_warned = False  # of a role that allows less than configured
        self._is_chained = False  # known from STS's first refusal on

    async def get(self, account: Account, region: Region | None = None) -> AssumedRoleSession:
        """A session that is good now, as far as we know. `region` is what errors are told to be about.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable.
        """
        role = self._role(account)
        if role is None:
            own = await self._sts.own_credentials(account.id, region)
            return AssumedRoleSession(own, renew_at=float("inf"), expires_at=float("inf"))
        entry, now = self._entries.setdefault(role, _Entry()), self._now()
        if region is not None and region in entry.refused_in:
            entry.refused_in[region].raise_unless_due(region, self._steady())
        if entry.session is not None and now < entry.session.expires_at:
            if now >= entry.session.renew_at and self._steady() >= entry.failed.ask_again_at:
                self._fly(role, account, entry, began_by=None)  # nobody waits for it
            return entry.session
        entry.failed.raise_unless_due(region, self._steady())
        outcome = await asyncio.shield(self._fly(role, account, entry, began_by=current_request()))
        if isinstance(outcome, GatewayError):
            entry.failed.raise_unless_due(region, self._steady())  # as to those who ask from now on
            raise outcome.copy(region=region)
        return outcome

    def has(self, account: Account, region: Region) -> bool:
        """Whether `get` gives a session at once; not where that region has refused the role's."""
        role = self._role(account)
        entry = self._entries.get(role) if role else None
        return (
            entry is not None
            and entry.session is not None
            and self._now() < entry.session.expires_at
            and region not in entry.refused_in
        )

    def accept(self, account: Account, region: Region, session: AssumedRoleSession) -> None:
        """AWS took the session there: earlier refusals are forgotten."""
        session.accepted_in += (region,)
        self._entry(account).refused_in.pop(region, None)

    def refuse(self, account: Account, region: Region, reason: GatewayError) -> GatewayError:
        """Even after all that can be done about it AWS refuses the role's sessions there: remember it.

        Returns: the failure for callers, with the time after which the region is asked again.
        """
        failures, now = self._entry(account).refused_in.setdefault(region, _Failures()), self._steady()
        if now >= failures.ask_again_at:  # else another request was refused at the same time
            failures.add(reason, now)
            _log.warning(
                "session_refused",
                account=account.id,
                region=region,
                times=failures.count,
                detail=reason.detail,
            )
        return reason.copy(retry_after_s=failures.ask_again_at - now)

    def drop(self, account: Account, session: AssumedRoleSession) -> None:
        """Serve this session no more. Whoever comes first drops it; the others share the next."""
        entry = self._entry(account)
        if entry.session is session:
            entry.session = None
            _log.info("session_dropped", account=account.id)

    def is_regional(self, account: Account, region: Region, refused: AssumedRoleSession) -> bool:
        """Whether a refusal is the region's fault and not the session's.

        So it is where other regions take the session, and this one has refused another before: it may not be enabled.
        """
        elsewhere = bool(refused.accepted_in) and region not in refused.accepted_in
        return elsewhere and region in self._entry(account).refused_in

    def keep_only(self, accounts: Iterable[Account]) -> None:
        """Forget the sessions of roles that are no longer configured."""
        kept = {self._role(account) for account in accounts}
        for role in [role for role in self._entries if role not in kept]:
            del self._entries[role]

    def warnings(self, accounts: Iterable[Account]) -> list[str]:
        """Where sessions are shorter than configured, and why."""
        asked = {
            a: a.session_duration_s for a in accounts if a.role_arn and a.session_duration_s > _CHAINED_MAX_S
        }
        if self._is_chained and asked:
            warning = (
                f"sessions last {_CHAINED_MAX_S} s, not session_duration_s of {max(asked.values())}: "
                "the gateway's own credentials are a role's, and AWS limits roles assumed by a role to that"
            )
            return [warning]
        return [
            f"account {account.id}: sessions last {_CHAINED_MAX_S} s, not session_duration_s of {asked_s}: "
            "the role's MaxSessionDuration is less than that"
            for account, asked_s in asked.items()
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

    def _fly(
        self, role: Role, account: Account, entry: _Entry, *, began_by: Request | None
    ) -> asyncio.Task[AssumedRoleSession | GatewayError]:
        if entry.flight is None:
            entry.flight = self._shared_tasks.start(
                self._assume(role, account, entry), name=f"assume {role.arn}", context=context_of(began_by)
            )
        return entry.flight

    async def _assume(self, role: Role, account: Account, entry: _Entry) -> AssumedRoleSession | GatewayError:
        """One flight. Its outcome goes to all who wait, and stays in the entry."""
        started = self._now()
        try:
            async with asyncio.timeout(_ASSUME_TIMEOUT_S), self._limiter.slot(role):
                assumed = await self._assume_for_as_long_as_allowed(role, account, entry)
        except TimeoutError:
            failure = UpstreamUnavailable(
                f"STS did not answer within {_ASSUME_TIMEOUT_S:g} s for account {account.id}.",
                account_id=account.id,
            )
            return self._remember(entry, failure)
        except GatewayError as error:
            return self._remember(entry, error)
        finally:
            entry.flight = None
        now = self._now()
        if assumed.expires_at <= now:
            skewed = "STS gave a session that is over already: the gateway's clock is ahead."
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

    async def _assume_for_as_long_as_allowed(self, role: Role, account: Account, entry: _Entry) -> Assumed:
        """For an hour, which every role allows, where STS refuses a longer session."""
        limited = replace(role, duration_s=min(role.duration_s, _CHAINED_MAX_S))
        if self._is_chained or entry.is_limited:
            return await self._sts.assume_role(limited, account.id)
        try:
            return await self._sts.assume_role(role, account.id)
        except DurationRefused as error:
            if limited == role:
                raise
            if not isinstance(error, DurationRefusedToRoles):
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
            next_try_in_s=round(entry.failed.ask_again_at - now, 1),
        )
        return failure


def _durations(role: Role, error: DurationRefused) -> dict[str, object]:
    return {"asked_s": role.duration_s, "limit_s": _CHAINED_MAX_S, "detail": error.detail}


def _account_and_name(role: Role) -> tuple[str, str]:
    """Of its ARN: `arn:aws:iam::111111111111:role/path/Name`."""
    *_, account_id, resource = role.arn.split(":", 5)
    return account_id, resource.removeprefix("role/")
