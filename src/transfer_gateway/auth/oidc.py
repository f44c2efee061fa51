"""Who a bearer token says its sender is, once it is proven."""

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
_MAX_NAME_CHARACTERS = 512  # a Kubernetes service account's may have 338
_KEPT_CHARACTERS = 8_388_608  # of verified tokens, whose claims take a few times as much memory
_LOOKS_PER_AGE = 4  # so that an idle service's keys are hardly older than a busy one's


class _Verified(NamedTuple):
    """A caller whose token was verified with that key: good while the issuer publishes it."""

    caller: Caller
    good_until: float
    keys: IssuerKeys
    name: KeyName
    key: Key
    characters: int


class Oidc:
    """Verifies tokens of OpenID Connect issuers, Kubernetes' service-account tokens among them.

    An async context manager; entering it begins to fetch the keys and waits for none. A token is good if one of
    `issuers` signed it with one of `algorithms`, for one of `audiences`. `leeway_s` is what clocks may differ by.
    `groups_claim` names the claim with the caller's groups, a text or a list of them.

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
        # By the token's hash: a dump of this memory gives nobody a token.
        self._verified: LRUCache[bytes, _Verified] = LRUCache(
            _KEPT_CHARACTERS, getsizeof=lambda verified: verified.characters
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
            shared_tasks.start(self._keep_keys_young(), name="keep issuers' keys young")
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def authenticate(self, token: str) -> Caller:
        """Whose token it is.

        Raises: Unauthenticated, with a reason that may be sent; UpstreamUnavailable, when it can't be told for
        lack of the issuer's keys.
        """
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise Unauthenticated(f"The token is longer than {_MAX_TOKEN_CHARACTERS} characters.")
        if not token.isascii():
            raise Unauthenticated("The token is not a signed JWT.")
        encoded = token.encode()
        digest = sha256(encoded).digest()
        try:
            kept = self._verified[digest]
        except KeyError:
            pass
        else:
            kept.keys.refresh_if_old()
            if self._clock() < kept.good_until and kept.keys.has(kept.name, kept.key):
                return kept.caller
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
        """Fetch every issuer's keys now. Returns: for each issuer how many it publishes, or why they can't be had."""
        return {url: await keys.fetch() for url, keys in self._keys.items()}

    async def _keep_keys_young(self) -> None:
        while True:
            for keys in self._keys.values():
                keys.refresh_if_old()
            await asyncio.sleep(self._keys_max_age_s / _LOOKS_PER_AGE)

    async def _verify(self, token: bytes) -> _Verified:
        """PyJWT reads the token, once, and checks the signature, by way of a key that is bound to its algorithm.

        Its `decode` would do both in one call, but must be told the key, thus the issuer, for which the token
        has to be read before: twice 50 µs.
        """
        try:
            read = jwt.decode_complete(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise Unauthenticated("The token is not a signed JWT.") from None
        header, claims = read["header"], read["payload"]
        # RFC 7515: critical headers that aren't understood are refused; a JWT has no use for those that PyJWT does.
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
        if not key.verify(token.rpartition(b".")[0], read["signature"]):
            raise Unauthenticated("The token has no valid signature.")
        caller = self._caller(issuer, claims)
        assert caller.expires_at is not None  # noqa: S101  the line above refuses tokens without
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
        if self._audiences.isdisjoint(_texts(claims, "aud")):
            raise Unauthenticated("The token was not issued for this service (audience).")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not _is_name(subject):
            raise Unauthenticated("The token has no valid sub claim.")
        groups = _texts(claims, self._groups_claim)
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
        yield "each issuer can be given once"
    if not audiences or not all(audiences):
        yield "at least one audience is required, and none may be empty"
    if not algorithms:
        yield "at least one algorithm is required"
    for algorithm in algorithms:
        if algorithm not in ALGORITHMS:
            yield f"algorithm {algorithm!r} must be one of {', '.join(ALGORITHMS)}"


def _seconds(claims: Mapping[str, object], claim: str) -> float | None:
    """A moment, in seconds since the epoch; None if the token doesn't say."""
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


def _texts(claims: Mapping[str, object], claim: str) -> list[str]:
    """A text, or several; none if the token doesn't say."""
    value = claims.get(claim)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return value
    raise Unauthenticated(f"The token's claim {claim} must be a string or a list of strings.")


def _is_name(text: str) -> bool:
    """Not empty, and nothing that would spoil a line of a log: no control characters, no half characters."""
    return 0 < len(text) <= _MAX_NAME_CHARACTERS and text.isprintable()
