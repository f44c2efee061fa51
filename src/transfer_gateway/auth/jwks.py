"""Decodes and validates an issuer's discovery document and keys (JWKS)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from transfer_gateway.auth.issuer import ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jwt.algorithms import Algorithm

    from transfer_gateway.auth.issuer import Issuer

_MAX_KEYS = 100  # per issuer; the largest known ones publish about 20
_RSA_BITS = range(2048, 8192 + 1)  # shorter is forgeable (NIST SP 800-131A), longer is too slow to verify
# The longest modulus, in base64url. A hundred longer ones would block the event loop.
_MAX_NUMBER_CHARACTERS = 1366
# 100 keys have about 1,500. Parsing 1 MB of `[],` would block the event loop for 250 ms.
_MAX_VALUES = 10_000
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")


class Unusable(ValueError):
    """An issuer's document is invalid. The text is for operators."""


class KeyName(NamedTuple):
    """`kid` is None for keys without one. A key without `alg` has one name per algorithm."""

    kid: str | None
    algorithm: str


@dataclass(frozen=True, slots=True)
class Key:
    """A public key bound to one algorithm, so that a token can't choose another."""

    published: Mapping[str, object]
    algorithm: Algorithm = field(repr=False, compare=False)
    public: Any = field(repr=False, compare=False)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        return bool(self.algorithm.verify(signing_input, self.public, signature))


def decode_discovery(body: bytes, issuer: Issuer) -> str:
    """The URL of the issuer's keys.

    Raises: Unusable. Source: OpenID Connect Discovery 1.0, section 4.3.
    """
    document = _decode_object(body)
    if document.get("issuer") != issuer.url:
        raise Unusable("the discovery document's `issuer` is not the configured URL")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not issuer.may_publish_at(url):
        raise Unusable("the discovery document's `jwks_uri` is not an https URL")
    return url


def decode_keys(body: bytes, algorithms: Collection[str]) -> dict[KeyName, Key]:
    """The keys for these algorithms; others are skipped. Never empty.

    Raises: Unusable. Source: RFC 7517.
    """
    published = _decode_object(body).get("keys")
    if not isinstance(published, list):
        raise Unusable("`keys` is not a list")
    if len(published) > _MAX_KEYS:
        raise Unusable(f"more than {_MAX_KEYS} keys")
    keys: dict[KeyName, Key] = {}
    for jwk in published:
        if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
            continue
        for algorithm in algorithms:
            name = KeyName(jwk.get("kid"), algorithm)
            if name not in keys and (key := _decode_key(jwk, algorithm)) is not None:
                keys[name] = key
    if not keys:
        raise Unusable("no usable key for the accepted algorithms")
    return keys


def _decode_object(body: bytes) -> dict[str, Any]:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_VALUES:  # an upper bound
        raise Unusable(f"more than {_MAX_VALUES} values")
    try:
        document = orjson.loads(body)
    except ValueError:
        raise Unusable("not JSON") from None
    if not isinstance(document, dict):
        raise Unusable("not a JSON object")
    return document


def _is_for_signatures(jwk: Mapping[str, object]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(jwk.get("kid"), str | None)
    )


def _decode_key(jwk: Mapping[str, Any], algorithm: str) -> Key | None:
    if jwk.get("alg", algorithm) != algorithm:
        return None
    if not any(
        jwk.get("kty") == kty and (crv is None or jwk.get("crv") == crv) for kty, crv in ALGORITHMS[algorithm]
    ):
        return None
    # Private members, which some issuers publish by mistake, would make it a private key, which can't verify.
    public = {member: jwk[member] for member in _PUBLIC_MEMBERS if member in jwk}
    if any(isinstance(text, str) and len(text) > _MAX_NUMBER_CHARACTERS for text in public.values()):
        return None
    try:
        key = PyJWK(public, algorithm)
    except (PyJWTError, UnsupportedAlgorithm):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size not in _RSA_BITS:
        return None
    return Key(public, key.Algorithm, key.key)
