"""The sessions of assumed roles: one for each role, however many ask.

A session is
- obtained by one flight at a time, a task of its own: a caller that gives up leaves it flying for others;
- renewed ahead of its expiry, in the background, at a moment that differs from role to role;
- served until it really expires, when STS is down;
and a failure is remembered for a while that grows with each further one, so that a role which can't be
assumed costs STS a few calls, not one a request.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from transfer_gateway.aws.sts import Role
from transfer_gateway.domain.errors import GatewayError, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from botocore.credentials import ReadOnlyCredentials

    from transfer_gateway.aws.sts import Sts
    from transfer_gateway.domain.account import Account
    from transfer_gateway.domain.identity import Region

_log = get_logger(__name__)

_RENEW_AFTER = (0.75, 0.90)  # of a session's life, drawn anew for each
_BACKOFF_S = (1.0, 30.0)  # first, and longest
_ASSUME_TIMEOUT_S = 20.0  # waiting for a place among the concurrent calls included


@dataclass(frozen=True, slots=True)
class AssumedRoleSession:
    """Credentials with their life. Times are seconds since the epoch, as AWS counts them."""

    credentials: ReadOnlyCredentials = field(repr=False)
    renew_at: float
    expires_at: float


@dataclass(slots=True)
class _Entry:
    """What is known of one role."""

    session: AssumedRoleSession | None = None
    flight: asyncio.Task[AssumedRoleSession | GatewayError] | None = None
    failure: GatewayError | None = None
    failures: int = 0
    ask_again_at: float = 0.0


class SessionCache:
    """Sessions by role. An async context manager: leaving it ends its flights.

    `now` gives seconds since the epoch.
    """

    def __init__(
        self,
        sts: Sts,
        *,
        session_name: str,
        max_concurrency: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._sts = sts
        self._session_name = session_name
        self._places = asyncio.Semaphore(max_concurrency)
        self._now = now
        self._entries: dict[Role, _Entry] = {}
        self._flights: set[asyncio.Task[AssumedRoleSession | GatewayError]] = set()

    async def get(self, account: Account, region: Region | None = None) -> AssumedRoleSession:
        """A session that is good now, as far as we know. `region` is what errors are told to be about.

        Raises: RoleNotAssumable, Throttled, UpstreamUnavailable.
        """
        role = self._role(account)
        if role is None:
            own = await self._sts.own_credentials(account.id, region)
            return AssumedRoleSession(own, renew_at=float("inf"), expires_at=float("inf"))
        entry = self._entries.setdefault(role, _Entry())
        now = self._now()
        may_ask = now >= entry.ask_again_at
        if entry.session is not None and now < entry.session.expires_at:
            if now >= entry.session.renew_at and may_ask:
                self._fly(role, account, entry)
            return entry.session
        if not may_ask and entry.failure is not None:
            raise entry.failure.again(region=region, retry_after_s=entry.ask_again_at - now)
        outcome = await asyncio.shield(self._fly(role, account, entry))
        if isinstance(outcome, GatewayError):
            raise outcome.again(region=region)
        return outcome

    async def replace(
        self, account: Account, region: Region, refused: AssumedRoleSession
    ) -> AssumedRoleSession:
        """Another session, after AWS refused one. Whoever comes first drops it; the others share the next."""
        role = self._role(account)
        entry = self._entries.get(role) if role is not None else None
        if entry is not None and entry.session is refused:
            entry.session = None
            _log.info("session_dropped", account=account.id)
        return await self.get(account, region)

    def refuse(self, account: Account, refused: AssumedRoleSession, reason: GatewayError) -> None:
        """Even a fresh session was refused: remember it as a failure, lest every request assume anew."""
        role = self._role(account)
        entry = self._entries.get(role) if role is not None else None
        if entry is not None and entry.session is refused:
            entry.session = None
            self._remember(entry, reason)

    def keep_only(self, accounts: Iterable[Account]) -> None:
        """Forget the sessions of roles that are no longer configured."""
        kept = {self._role(account) for account in accounts}
        for role in [role for role in self._entries if role not in kept]:
            del self._entries[role]

    def _role(self, account: Account) -> Role | None:
        if account.role_arn is None:
            return None
        return Role(account.role_arn, account.external_id, self._session_name, account.session_duration_s)

    def _fly(
        self, role: Role, account: Account, entry: _Entry
    ) -> asyncio.Task[AssumedRoleSession | GatewayError]:
        if entry.flight is None:
            entry.flight = asyncio.create_task(self._assume(role, account, entry), name=f"assume {role.arn}")
            self._flights.add(entry.flight)
            entry.flight.add_done_callback(self._flights.discard)
        return entry.flight

    async def _assume(self, role: Role, account: Account, entry: _Entry) -> AssumedRoleSession | GatewayError:
        """One flight. Its outcome goes to all who wait, and stays in the entry."""
        started = self._now()
        try:
            async with asyncio.timeout(_ASSUME_TIMEOUT_S), self._places:
                assumed = await self._sts.assume_role(role, account.id)
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
        now, expires_at = self._now(), assumed.expires_at.timestamp()
        renew_after = random.uniform(*_RENEW_AFTER)  # noqa: S311  spreads load, guards nothing
        entry.session = AssumedRoleSession(
            assumed.credentials, renew_at=now + (expires_at - now) * renew_after, expires_at=expires_at
        )
        entry.failure, entry.failures, entry.ask_again_at = None, 0, 0.0
        _log.info("role_assumed", account=account.id, role=role.arn, took_ms=round((now - started) * 1000))
        return entry.session

    def _remember(self, entry: _Entry, failure: GatewayError) -> GatewayError:
        first, longest = _BACKOFF_S
        wait_s = min(longest, first * 2**entry.failures) * random.uniform(0.8, 1.2)  # noqa: S311  as above
        entry.failure, entry.failures, entry.ask_again_at = failure, entry.failures + 1, self._now() + wait_s
        _log.warning(
            "role_not_assumed",
            account=failure.account_id,
            code=failure.code,
            detail=failure.detail or failure.message,
            aws_request_id=failure.aws_request_id,
            next_try_in_s=round(wait_s, 1),
        )
        return failure

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for flight in self._flights:
            flight.cancel()
        if self._flights:
            await asyncio.wait(self._flights)
