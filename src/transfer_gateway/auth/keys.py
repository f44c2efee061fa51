"""Caches one issuer's keys.

- They are refreshed in the background when they reach their maximum age; no request waits for that.
- A token with an unknown key id triggers a fetch at once, but at most one per cooldown.
- If the issuer is down or publishes nothing usable, the cached keys stay in use.
- Concurrent requests share one fetch.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from transfer_gateway.auth.fetch import FETCH_TIMEOUT_S
from transfer_gateway.auth.jwks import KeyName
from transfer_gateway.domain.errors import Unauthenticated, UpstreamUnavailable
from transfer_gateway.telemetry import get_logger, redacted

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.auth.fetch import KeysFetcher
    from transfer_gateway.auth.jwks import Key
    from transfer_gateway.shared_tasks import SharedTasks

_log = get_logger(__name__)

_RETRY_WITHOUT_KEYS_S = 1.0  # no token can be verified until then


class IssuerKeys:
    """`clock` returns seconds since the epoch; if it is set back, everything is due."""

    def __init__(
        self,
        issuer: str,
        fetcher: KeysFetcher,
        shared_tasks: SharedTasks,
        *,
        refresh_cooldown_s: float,
        keys_max_age_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._issuer = issuer
        self._fetcher = fetcher
        self._shared_tasks = shared_tasks
        self._cooldown_s = refresh_cooldown_s
        self._max_age_s = keys_max_age_s
        self._clock = clock
        self._keys: dict[KeyName, Key] = {}
        self._fetched_at = self._attempted_at = self._unknown_key_fetched_at = float("-inf")
        self._failure: str | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def fetched_at(self) -> float | None:
        """When the keys were last fetched, in seconds since the epoch."""
        return self._fetched_at if self._keys else None

    def has(self, name: KeyName, key: Key) -> bool:
        """Whether this key is still the current one of this name."""
        return self._keys.get(name) is key

    def refresh_if_old(self) -> None:
        """Start a background fetch if the keys are due for a refresh."""
        if not self._keys:
            due = not self._within(_RETRY_WITHOUT_KEYS_S, self._attempted_at)
        else:
            due = not self._within(self._max_age_s, self._fetched_at) and (
                self._failure is None or not self._within(self._cooldown_s, self._attempted_at)
            )
        if due and self._fetching is None:
            self._start_fetch()

    async def fetch(self) -> int | str:
        """Fetch the keys now, regardless of their age. Returns: the number of keys, or why fetching failed."""
        await asyncio.shield(self._fetching or self._start_fetch())
        return self._failure or len({name.kid for name in self._keys})

    async def get(self, kid: str | None, algorithm: str) -> tuple[KeyName, Key]:
        """The key that a token names. Without a key id: the issuer's key for the algorithm, if it has only one.

        Raises: Unauthenticated; UpstreamUnavailable if the issuer's keys could not be fetched.
        """
        running_before = self._fetching
        self.refresh_if_old()
        found = self._find(kid, algorithm)
        if found is None and not self._is_known(kid):
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    found = await self._fetch_unknown(kid, algorithm, running_before)
            except TimeoutError:  # the fetch it joined and the next one together took too long
                raise self._unavailable("timed out") from None
        if found is not None:
            return found
        if not self._keys or (self._failure is not None and not self._is_known(kid)):
            raise self._unavailable(self._failure or "not fetched yet")
        raise Unauthenticated("The token is not signed with a key that its issuer publishes.")

    async def _fetch_unknown(
        self, kid: str | None, algorithm: str, running_before: asyncio.Task[None] | None
    ) -> tuple[KeyName, Key] | None:
        """Wait for the running fetch. If it started before this request, the key may be newer: fetch again."""
        if self._fetching is not None:
            fetching = self._fetching
            await asyncio.shield(fetching)
            found = self._find(kid, algorithm)
            if found is not None or fetching is not running_before:
                return found
        if not self._keys or self._within(self._cooldown_s, self._unknown_key_fetched_at):
            return None
        self._unknown_key_fetched_at = self._clock()
        await asyncio.shield(self._fetching or self._start_fetch())
        return self._find(kid, algorithm)

    def _find(self, kid: str | None, algorithm: str) -> tuple[KeyName, Key] | None:
        if kid is not None:
            name = KeyName(kid, algorithm)
            key = self._keys.get(name)
            return None if key is None else (name, key)
        candidates = [(name, key) for name, key in self._keys.items() if name.algorithm == algorithm]
        return candidates[0] if len(candidates) == 1 else None

    def _is_known(self, kid: str | None) -> bool:
        return any(name.kid == kid for name in self._keys)

    def _within(self, period_s: float, since: float) -> bool:
        return 0 <= self._clock() - since < period_s

    def _unavailable(self, detail: str) -> UpstreamUnavailable:
        retry_s = self._cooldown_s if self._keys else _RETRY_WITHOUT_KEYS_S
        return UpstreamUnavailable(
            "The keys of the token's issuer are unavailable, so the token can't be verified.",
            retry_after_s=retry_s,
            detail=f"{self._issuer}: {detail}",
        )

    def _start_fetch(self) -> asyncio.Task[None]:
        self._attempted_at = self._clock()
        self._fetching = fetching = self._shared_tasks.start(self._refresh(), name=f"keys of {self._issuer}")
        return fetching

    async def _refresh(self) -> None:
        try:
            fetched = await self._fetcher.fetch()
        except (TimeoutError, OSError, aiohttp.ClientError, ValueError) as error:
            self._failure = redacted(f"{type(error).__name__}: {error}")
            _log.warning(
                "issuer_keys_not_fetched", issuer=self._issuer, reason=self._failure, kept=len(self._keys)
            )
            return
        finally:
            self._fetching = None
        self._failure, self._fetched_at = None, self._clock()
        before = self._keys
        # A key that didn't change stays the same object, and what was verified with it stays verified.
        self._keys = {name: old if (old := before.get(name)) == key else key for name, key in fetched.items()}
        if before.keys() != fetched.keys() or any(
            before[name] is not key for name, key in self._keys.items()
        ):
            _log.info(
                "issuer_keys_changed",
                issuer=self._issuer,
                keys=sorted({name.kid or "" for name in self._keys}),
                gone=sorted({name.kid or "" for name in before.keys() - self._keys.keys()}),
            )
