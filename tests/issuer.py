"""An OpenID Connect issuer on the wire, with key rotation and faults; and a clock that tests advance."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from transfer_gateway.auth import Issuer, Oidc

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

AUDIENCE = "transfer-gateway"
SUBJECT = "alice"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"

_CURVES: dict[str, type[ec.EllipticCurve]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}


class Time:
    """Seconds since the epoch, which advance only when a test does it."""

    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


class SigningKey:
    """An issuer's private key, and the public one that it publishes."""

    def __init__(self, kid: str | None, algorithm: str = "RS256", *, bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._bits = bits

    @cached_property
    def private(self) -> Any:
        """Not made before a test needs it: an RSA key takes 0.1 s of CPU."""
        if self.algorithm.startswith("ES"):
            return ec.generate_private_key(_CURVES[self.algorithm]())
        if self.algorithm == "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        return rsa.generate_private_key(public_exponent=65537, key_size=self._bits)

    def jwk(self, **members: object) -> dict[str, Any]:
        """The public key; members with None are omitted."""
        made = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        made.pop("key_ops", None)
        every = made | {"kid": self.kid, "alg": self.algorithm, "use": "sig"} | members
        return {name: value for name, value in every.items() if value is not None}

    def sign(self, claims: dict[str, Any], *, algorithm: str | None = None, **headers: object) -> str:
        named = {"kid": self.kid} if self.kid is not None else {}
        return jwt.encode(claims, self.private, algorithm or self.algorithm, headers=named | headers)


class LocalIssuer:
    """Serves discovery and `published`. `answers` replaces either document; `fetches` counts requests for keys."""

    def __init__(
        self, clock: Callable[[], float], *keys: SigningKey, tls: ssl.SSLContext | None = None
    ) -> None:
        self._clock = clock
        self._tls = tls
        self.keys = list(keys)
        self.published: list[dict[str, Any]] = [key.jwk() for key in keys]
        self.answers: dict[str, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {}
        self.down = False
        self.fetches = 0
        self.authorizations: list[str | None] = []
        self.url = ""

    def publish(self, *keys: SigningKey) -> None:
        """Sign with the first one from now on."""
        self.keys = list(keys)
        self.published = [key.jwk() for key in keys]

    def claims(self, **claims: object) -> dict[str, Any]:
        """A valid token's claims; `...` omits a claim."""
        now = int(self._clock())
        good = {"iss": self.url, "sub": SUBJECT, "aud": AUDIENCE, "exp": now + 7200, "iat": now, "nbf": now}
        return {name: value for name, value in (good | claims).items() if value is not ...}

    def token(self, *, key: SigningKey | None = None, **claims: object) -> str:
        return (key or self.keys[0]).sign(self.claims(**claims))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.authorizations.append(request.headers.get("authorization"))
        if request.path == KEYS:
            self.fetches += 1
        if self.down:
            assert request.transport is not None
            request.transport.abort()
        if request.path in self.answers:
            return await self.answers[request.path](request)
        if request.path == DISCOVERY:
            return web.json_response({"issuer": self.url, "jwks_uri": self.url + KEYS})
        return web.json_response({"keys": self.published})

    async def __aenter__(self) -> Self:
        server = web.Server(self._answer)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


def answering(
    body: bytes | dict[str, Any], *, status: int = 200, **headers: str
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """A response for `answers`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=content, status=status, headers=headers)

    return answer


@asynccontextmanager
async def trusting(
    clock: Callable[[], float], *issuers: LocalIssuer | Issuer, **options: Any
) -> AsyncIterator[Oidc]:
    """Verifies these issuers' tokens."""
    trusted = [issuer if isinstance(issuer, Issuer) else Issuer(issuer.url) for issuer in issuers]
    settings: dict[str, Any] = {
        "audiences": [AUDIENCE],
        "algorithms": ALGORITHMS,
        "groups_claim": "groups",
        "leeway_s": 10.0,
        "clock": clock,
    }
    async with Oidc(trusted, **settings | options) as oidc:
        yield oidc
