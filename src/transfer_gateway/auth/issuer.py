"""Whom we trust to say who somebody is, and with which algorithms."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RSA: Final = frozenset({("RSA", None)})

# What each algorithm is for: the key's type and curve. Asymmetric ones only: with an HMAC the issuer's public
# key could be taken for the secret, and whoever can verify a token could also make one.
ALGORITHMS: Final[Mapping[str, frozenset[tuple[str, str | None]]]] = {
    "RS256": _RSA,
    "RS384": _RSA,
    "RS512": _RSA,
    "PS256": _RSA,
    "PS384": _RSA,
    "PS512": _RSA,
    "ES256": frozenset({("EC", "P-256")}),
    "ES384": frozenset({("EC", "P-384")}),
    "ES512": frozenset({("EC", "P-521")}),
    "EdDSA": frozenset({("OKP", "Ed25519"), ("OKP", "Ed448")}),
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """`url` is compared with the tokens' `iss` character by character.

    `ca_file`: authorities that may vouch for its certificate, besides the system's. `token_file`: a bearer token
    that it wants before it shows its keys, as Kubernetes' API server may; sent to nobody else. Both are read again
    whenever the keys are fetched.
    """

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None

    @property
    def discovery_url(self) -> str:
        """Source: OpenID Connect Discovery 1.0, section 4."""
        return self.url.removesuffix("/") + "/.well-known/openid-configuration"

    def problem(self) -> str | None:
        """What is wrong with the URL, if anything is."""
        if not self.url.isprintable() or " " in self.url or any(mark in self.url for mark in "?#@\\"):
            return "must be a URL without spaces, user, query or fragment"
        if not is_safe_url(self.url, loopback_without_tls=True):
            return "must begin with https:// (http:// on a loopback address only)"
        return None

    def may_publish_at(self, url: str) -> bool:
        """Whether keys may be fetched from there: over TLS, unless issuer and keys both are on this machine."""
        return is_safe_url(url, loopback_without_tls=urlsplit(self.url).scheme == "http")


def is_safe_url(url: str, *, loopback_without_tls: bool) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is no number shows only when it is asked for
    except ValueError:
        return False
    if not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and loopback_without_tls and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
