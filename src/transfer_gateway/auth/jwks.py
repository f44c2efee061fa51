"""What an issuer publishes: its discovery document and its keys. Bytes in, checked values out."""

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

_MAX_KEYS = 100  # of one issuer; the largest known publish about twenty
_RSA_BITS = range(2048, 8192 + 1)  # shorter is forgeable (NIST SP 800-131A), longer costs a request too much
_MAX_NUMBER_CHARACTERS = (
    1366  # of the longest modulus, in base64url: longer ones, by the hundred, stall the event loop
)
# A hundred keys have some 1,500. A million bytes of `[],` would stall the event loop for a quarter of a second.
_MAX_VALUES = 10_000
_PUBLIC_MEMBERS = ("kty", "crv", "n", "e", "x", "y")


class Unusable(ValueError):
    """What an issuer published can't be used. The text is for the operator."""


class KeyName(NamedTuple):
    """A key without a name (`kid`) has None. A key that doesn't say its algorithm has a name for each."""

    kid: str | None
    algorithm: str


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, bound to one algorithm: what a token says can't make us use it for another."""

    published: Mapping[str, object]
    algorithm: Algorithm = field(repr=False, compare=False)
    public: Any = field(repr=False, compare=False)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        return bool(self.algorithm.verify(signing_input, self.public, signature))


def decode_discovery(body: bytes, issuer: Issuer) -> str:
    """Where the issuer's keys are.

    Raises: Unusable. Source: OpenID Connect Discovery 1.0, section 4.3.
    """
    document = _decode_object(body)
    if document.get("issuer") != issuer.url:
        raise Unusable("the discovery document's `issuer` is not the configured issuer")
    url = document.get("jwks_uri")
    if not isinstance(url, str) or not issuer.may_publish_at(url):
        raise Unusable("the discovery document's `jwks_uri` is not an https URL")
    return url


def decode_keys(body: bytes, algorithms: Collection[str]) -> dict[KeyName, Key]:
    """The keys that verify signatures of these algorithms; the others are passed over, never an empty answer.

    Raises: Unusable. Source: RFC 7517.
    """
    published = _decode_object(body).get("keys")
    if not isinstance(published, list):
        raise Unusable("no list of keys")
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
        raise Unusable("no key for the accepted algorithms")
    return keys


def _decode_object(body: bytes) -> dict[str, Any]:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > _MAX_VALUES:  # no fewer than there are
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
    # Private members, which some publish by mistake, would make it a private key: one that can't verify.
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
