"""The accounts in service, kept up to date from the accounts file and AWS Organizations."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from transfer_gateway.backoff import Backoff, jittered
from transfer_gateway.domain.errors import GatewayError, InternalServerError, UpstreamUnavailable
from transfer_gateway.telemetry import counter, get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.aws.organizations import Organizations
    from transfer_gateway.domain.account import Accounts
    from transfer_gateway.domain.discovery import AccountSources, Discovery, Member

_log = get_logger(__name__)

_FIRST_BACKOFF_S = 1.0  # doubled with each further failure, up to the refresh interval


class AccountDirectory:
    """The listed accounts, merged with the result of the last successful discovery.

    Discovered accounts stay when a later discovery fails or the file changes. `use` puts accounts in service.
    """

    def __init__(
        self,
        sources: AccountSources,
        organizations: Organizations,
        use: Callable[[Accounts], Awaitable[None]],
    ) -> None:
        self.accounts = sources.merge(())
        self._sources = sources
        self._organizations = organizations
        self._use = use
        self._members: tuple[Member, ...] | None = None
        self._failure: GatewayError | None = None
        self._failures = 0
        self._outcomes: Counter[tuple[str]] = Counter()
        self._changing = asyncio.Lock()
        self._sources_changed = asyncio.Event()
        self._tried = asyncio.Event()
        if sources.discovery is None:
            self._tried.set()
        self.is_known = self._tried.is_set()

    async def wait_until_known(self, timeout_s: float) -> None:
        """Wait until the first discovery has succeeded or failed; then check `is_known`.

        Raises: UpstreamUnavailable on timeout, or if discovery failed and no account is listed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._tried.wait()
        if not self.is_known:
            raise UpstreamUnavailable(
                "The accounts are not known yet: the organization could not be read so far.",
                detail=self.not_ready_reason,
            )

    def _update_is_known(self) -> None:
        """Set `is_known`. After a reload the previous file's accounts count as known until discovery was tried."""
        self.is_known = self._tried.is_set() and (self.not_ready_reason is None or self._failure is None)

    @property
    def not_ready_reason(self) -> str | None:
        """Why there are no accounts to serve yet; None if there are."""
        if self._sources.discovery is None or self._members is not None or len(self._sources.listed):
            return None
        reason = f": {self._failure.code}: {self._failure.message}" if self._failure else ""
        return f"no accounts discovered yet{reason}"

    async def use_sources(self, sources: AccountSources) -> None:
        """Apply a new version of the accounts file, and end `rest` so that discovery runs again.

        If the file enables discovery, the current accounts stay in service until discovery was tried.
        """
        is_new = self._sources.discovery is None and sources.discovery is not None
        self._sources, self._failures = sources, 0
        if sources.discovery is None:
            self._members = self._failure = None
        if not is_new:
            await self._put_in_service()
        if sources.discovery is None:
            self._tried.set()
        self._update_is_known()
        self._sources_changed.set()

    async def discover(self) -> float:
        """Run discovery once and put its accounts in service. Returns: seconds until the next run."""
        discovery = self._sources.discovery
        if discovery is None:
            return math.inf
        found = await self._list_members(discovery)
        if discovery != self._sources.discovery:
            return 0.0  # the configuration changed meanwhile
        self._outcomes[found.code.value if isinstance(found, GatewayError) else "OK",] += 1
        if isinstance(found, GatewayError):
            wait_s = await self._keep_accounts(discovery, found)
            self._tried.set()
            self._update_is_known()
            return wait_s
        self._failure, self._failures = None, 0
        if found != self._members:
            self._members = found
            await self._announce()
        self._tried.set()
        self._update_is_known()
        return jittered(discovery.refresh_s, 0.9, 1.0)

    async def rest(self, at_most_s: float) -> None:
        """Wait until the sources change, or for that many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s if math.isfinite(at_most_s) else None):
                await self._sources_changed.wait()
        self._sources_changed.clear()

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "discoveries", "Account discoveries in AWS Organizations, by result.", ("code",), self._outcomes
        )

    async def _list_members(self, discovery: Discovery) -> tuple[Member, ...] | GatewayError:
        try:
            return await self._organizations.list_members(discovery)
        except GatewayError as error:
            return error
        except Exception as fault:  # noqa: BLE001  a background task's failure must not stop the service
            failure = InternalServerError("The gateway could not read the organization.")
            failure.__cause__ = fault
            return failure

    async def _announce(self) -> None:
        before = {account.id for account in self.accounts}
        await self._put_in_service()
        now = {account.id for account in self.accounts}
        _log.info(
            "accounts_discovered", added=len(now - before), removed=len(before - now), accounts=len(now)
        )

    async def _keep_accounts(self, discovery: Discovery, failure: GatewayError) -> float:
        """Log the failure and keep the current accounts. Returns: seconds until the next attempt."""
        self._failure, self._failures = failure, self._failures + 1
        backoff = Backoff(_FIRST_BACKOFF_S, discovery.refresh_s)
        wait_s = max(backoff.after(self._failures), failure.retry_after_s or 0.0)
        if self._members is None:
            await self._put_in_service()
        _log.error(
            "discovery_failed",
            code=failure.code,
            detail=failure.detail or failure.message,
            aws_request_id=failure.aws_request_id,
            next_try_in_s=round(wait_s, 1),
            exc_info=failure.__cause__ if isinstance(failure, InternalServerError) else None,
        )
        return wait_s

    async def _put_in_service(self) -> None:
        """Serialized, so that the newest sources and members win."""
        async with self._changing:
            self.accounts = self._sources.merge(self._members or ())
            await self._use(self.accounts)
