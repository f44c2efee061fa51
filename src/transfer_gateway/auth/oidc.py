"""Authenticates callers by OpenID Connect bearer tokens."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jwt
from cachetools import LRUCache

from transfer_gateway.auth.fetch import KeysFetcher, issuers_session
from transfer_gateway.auth.issuer import ALGORITHMS
from transfer_gateway.auth.keys import IssuerKeys
from transfer_gateway.domain.caller import Caller
from transfer_gateway.domain.errors import Unauthenticated
from transfer_gateway.settings import ConfigurationError
from transfer_gateway.shared_tasks import SharedTasks
from transfer_gateway.telemetry import gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from prometheus_client.core import Metric

    from transfer_gateway.auth.issuer import Issuer
    from transfer_gateway.auth.jwks import Key, KeyName

_MAX_TOKEN_CHARACTERS = 16_384
_MAX_NAME_CHARACTERS = 512  # a Kubernetes service account's name has up to 338
_CACHED_CHARACTERS = 8_388_608  # of verified tokens; their claims need several times as much memory
_CHECKS_PER_MAX_AGE = 4  # keeps the keys of an idle service about as fresh as those of a busy one


class _Verified(NamedTuple):
    """A verified token's caller. Valid while the issuer publishes the key."""

    caller: Caller
    valid_until: float
    keys: IssuerKeys
    name: KeyName
    key: Key
    characters: int


class Oidc:
    """Verifies tokens of OpenID Connect issuers, including Kubernetes service account tokens.

    An async context manager; entering it starts to fetch the keys without waiting for them. A token is valid if one of
    `issuers` signed it with one of `algorithms`, for one of `audiences`. `leeway_s`: the allowed clock skew.
    `groups_claim`: the claim with the caller's groups, a string or a list of strings.

    Raises: ConfigurationError.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        audiences: Sequence[str],
        algorithms: Sequence[str],
        groups_claim: str,
        leeway_s: float,
        *,
        refresh_cooldown_s: float = 30.0,
        keys_max_age_s: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if problems := list(_problems(issuers, audiences, algorithms)):
            raise ConfigurationError(problems)
        self._issuers = tuple(issuers)
        self._audiences = frozenset(audiences)
        self._algorithms = frozenset(algorithms)
        self._groups_claim = groups_claim
        self._leeway_s = leeway_s
        self._refresh_cooldown_s = refresh_cooldown_s
        self._keys_max_age_s = keys_max_age_s
        self._clock = clock
        self._keys: dict[str, IssuerKeys] = {}
        # Keyed by the token's hash, so that a memory dump of the cache contains no tokens.
        self._verified: LRUCache[bytes, _Verified] = LRUCache(
            _CACHED_CHARACTERS, getsizeof=lambda verified: verified.characters
        )
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(issuers_session())
            shared_tasks = await stack.enter_async_context(SharedTasks())
            for issuer in self._issuers:
                self._keys[issuer.url] = IssuerKeys(
                    issuer.url,
                    KeysFetcher(http, issuer, self._algorithms),
                    shared_tasks,
                    refresh_cooldown_s=self._refresh_cooldown_s,
                    keys_max_age_s=self._keys_max_age_s,
                    clock=self._clock,
                )
            shared_tasks.start(self._refresh_keys(), name="refresh issuer keys")
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def authenticate(self, token: str) -> Caller:
        """Verify a token.

        Raises: Unauthenticated, with a reason for the caller; UpstreamUnavailable if the issuer's keys are unavailable.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise Unauthenticated(f"The token is longer than {_MAX_TOKEN_CHARACTERS} characters.")
        if not token.isascii():
            raise Unauthenticated("The token is not a signed JWT.")
        encoded = token.encode()
        digest = sha256(encoded).digest()
        try:
            cached = self._verified[digest]
        except KeyError:
            pass
        else:
            cached.keys.refresh_if_old()
            if self._clock() < cached.valid_until and cached.keys.has(cached.name, cached.key):
                return cached.caller
            del self._verified[digest]
        verified = await self._verify(encoded)
        self._verified[digest] = verified
        return verified.caller

    def collect(self) -> Iterator[Metric]:
        fetched = {(url,): at for url, keys in self._keys.items() if (at := keys.fetched_at) is not None}
        yield gauge(
            "issuer_keys_fetched_timestamp_seconds",
            "Time of the last successful fetch of an issuer's keys. Absent before the first one.",
            ("issuer",),
            fetched,
        )

    async def try_issuers(self) -> dict[str, int | str]:
        """Fetch every issuer's keys now. Returns: by issuer, the number of keys or why fetching failed."""
        return {url: await keys.fetch() for url, keys in self._keys.items()}

    async def _refresh_keys(self) -> None:
        while True:
            for keys in self._keys.values():
                keys.refresh_if_old()
            await asyncio.sleep(self._keys_max_age_s / _CHECKS_PER_MAX_AGE)

    async def _verify(self, token: bytes) -> _Verified:
        """Decode the token with PyJWT once, then verify the signature with a key that is bound to its algorithm.

        PyJWT's `decode` does both in one call, but needs the key, and thus the issuer, in advance: the token would have
        to be decoded twice, at 50 µs each.
        """
        try:
            decoded = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not a signed JWT.") from None
        header, claims = decoded["header"], decoded["payload"]
        # RFC 7515: reject critical headers that are not understood. JWTs have no use for the one that PyJWT supports.
        if "crit" in header or "b64" in header:
            raise Unauthenticated("The token has critical headers (`crit`); none is supported.")
        issuer = claims.get("iss")
        keys = self._keys.get(issuer) if isinstance(issuer, str) else None
        if keys is None:
            raise Unauthenticated("The token's issuer is not trusted.")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise Unauthenticated("The token's signature algorithm is not accepted.")
        name, key = await keys.get(header.get("kid"), algorithm)
        if not key.verify(token.rpartition(b".")[0], decoded["signature"]):
            raise Unauthenticated("The token has no valid signature.")
        caller = self._caller(issuer, claims)
        assert caller.expires_at is not None  # noqa: S101  `_caller` rejects tokens without exp
        return _Verified(caller, caller.expires_at, keys, name, key, len(token))

    def _caller(self, issuer: str, claims: dict[str, Any]) -> Caller:
        """Source: RFC 7519, section 4.1."""
        now = self._clock()
        expires_at = _seconds(claims, "exp")
        if expires_at is None:
            raise Unauthenticated("The token has no exp claim.")
        if now >= expires_at + self._leeway_s:
            raise Unauthenticated("The token has expired.")
        for claim in ("nbf", "iat"):
            since = _seconds(claims, claim)
            if since is not None and now < since - self._leeway_s:
                raise Unauthenticated("The token is not valid yet.")
        if self._audiences.isdisjoint(_strings(claims, "aud")):
            raise Unauthenticated("The token was not issued for this service (audience).")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _is_name(subject):
            raise Unauthenticated("The token has no valid sub claim.")
        groups = _strings(claims, self._groups_claim)
        if not all(map(_is_name, groups)):
            raise Unauthenticated("The token's groups must be strings.")
        return Caller(subject, issuer, frozenset(groups), MappingProxyType(claims), expires_at)


def _problems(
    issuers: Sequence[Issuer], audiences: Sequence[str], algorithms: Sequence[str]
) -> Iterator[str]:
    if not issuers:
        yield "at least one issuer is required"
    for issuer in issuers:
        if (problem := issuer.problem()) is not None:
            yield f"issuer {issuer.url!r} {problem}"
    if len({issuer.url for issuer in issuers}) < len(issuers):
        yield "issuers must be unique"
    if not audiences or not all(audiences):
        yield "at least one audience is required, and none may be empty"
    if not algorithms:
        yield "at least one algorithm is required"
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            yield f"algorithm {algorithm!r} must be one of {', '.join(ALGORITHMS)}"


def _seconds(claims: Mapping[str, object], claim: str) -> float | None:
    """A timestamp claim, in seconds since the epoch; None if absent."""
    value = claims.get(claim)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
        if math.isfinite(seconds):
            return seconds
    raise Unauthenticated(f"The token's claim {claim} must be a number of seconds since 1970.")


def _strings(claims: Mapping[str, object], claim: str) -> list[str]:
    """A string claim, or a list of strings; empty if absent."""
    value = claims.get(claim)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    raise Unauthenticated(f"The token's claim {claim} must be a string or a list of strings.")


def _is_name(text: str) -> bool:
    """Whether it is safe to log: not empty, not too long, no control characters or lone surrogates."""
    return 0 < len(text) <= _MAX_NAME_CHARACTERS and text.isprintable()
