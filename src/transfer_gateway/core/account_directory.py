"""The accounts in service, kept up to date from wherever they come."""

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

_FIRST_BACKOFF_S = 1.0  # doubled with each further failure, up to the refresh


class AccountDirectory:
    """The listed accounts, merged with those that the organization was last found to have.

    What was found stays when a later discovery fails, and when the file changes. `use` puts accounts in
    service.
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

    async def until_known(self, timeout_s: float) -> None:
        """Wait for the first discovery. Afterwards `is_known`: what is in service is all there is to look into.

        Raises: UpstreamUnavailable where the time is up, or discovery failed and no account is listed.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._tried.wait()
        if not self.is_known:
            raise UpstreamUnavailable(
                "The accounts are not known yet: the organization could not be read so far.", detail=self.lack
            )

    def _judge(self) -> None:
        """Say whether the accounts are known. Those of an old file are, until a new file's discovery was tried."""
        self.is_known = self._tried.is_set() and (self.lack is None or self._failure is None)

    @property
    def lack(self) -> str | None:
        """Why there is no account to serve yet, where that is so."""
        if self._sources.discovery is None or self._members is not None or len(self._sources.listed):
            return None
        why = f": {self._failure.code}: {self._failure.message}" if self._failure else ""
        return f"no accounts discovered yet{why}"

    async def follow(self, sources: AccountSources) -> None:
        """Take over a new version of the accounts file; ends `rest`, so that it is discovered anew.

        Where discovery is new, today's accounts stay until it has been tried.
        """
        is_new = self._sources.discovery is None and sources.discovery is not None
        self._sources, self._failures = sources, 0
        if sources.discovery is None:
            self._members = self._failure = None
        if not is_new:
            await self._put_in_service()
        if sources.discovery is None:
            self._tried.set()
        self._judge()
        self._sources_changed.set()

    async def discover(self) -> float:
        """Ask the organization once, and put what it has in service. Returns: in how many seconds to again."""
        discovery = self._sources.discovery
        if discovery is None:
            return math.inf
        found = await self._ask(discovery)
        if discovery != self._sources.discovery:
            return 0.0  # an answer to what is no longer asked
        self._outcomes[found.code.value if isinstance(found, GatewayError) else "OK",] += 1
        if isinstance(found, GatewayError):
            wait_s = await self._keep(discovery, found)
            self._tried.set()
            self._judge()
            return wait_s
        self._failure, self._failures = None, 0
        if found != self._members:
            self._members = found
            await self._announce()
        self._tried.set()
        self._judge()
        return jittered(discovery.refresh_s, 0.9, 1.0)

    async def rest(self, at_most_s: float) -> None:
        """Wait so long, or until the sources have changed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s if math.isfinite(at_most_s) else None):
                await self._sources_changed.wait()
        self._sources_changed.clear()

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "discoveries", "Account discoveries in AWS Organizations, by result.", ("code",), self._outcomes
        )

    async def _ask(self, discovery: Discovery) -> tuple[Member, ...] | GatewayError:
        try:
            return await self._organizations.list_members(discovery)
        except GatewayError as error:
            return error
        except Exception as fault:  # noqa: BLE001  a door of sorts: what happens behind the scenes must not end the service
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

    async def _keep(self, discovery: Discovery, failure: GatewayError) -> float:
        """Log the failure and go on with what there is. Returns: when it is worth trying again."""
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
        """One change at a time, each with the newest of everything."""
        async with self._changing:
            self.accounts = self._sources.merge(self._members or ())
            await self._use(self.accounts)
