"""Trusted token issuers and signature algorithms."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RSA: Final = frozenset({("RSA", None)})

# Key types and curves of each algorithm. Asymmetric only: with HMAC, anyone who can verify a token can also forge one,
# and an attacker could pass off the issuer's public key as the secret.
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
    """A token issuer. `url` must equal the tokens' `iss` exactly.

    `ca_file`: CA certificates to trust besides the system's. `token_file`: a bearer token that the issuer requires for
    fetching its keys, as Kubernetes' API server may; it is sent only there. Both files are reread at each fetch.
    """

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None

    @property
    def discovery_url(self) -> str:
        """Source: OpenID Connect Discovery 1.0, section 4."""
        return self.url.removesuffix("/") + "/.well-known/openid-configuration"

    def problem(self) -> str | None:
        """Why the URL is invalid; None if it is valid."""
        if not self.url.isprintable() or " " in self.url or any(mark in self.url for mark in "?#@\\"):
            return "must be a URL without spaces, user, query or fragment"
        if not is_safe_url(self.url, loopback_without_tls=True):
            return "must begin with https:// (http:// on a loopback address only)"
        return None

    def may_publish_at(self, url: str) -> bool:
        """Whether keys may be fetched from this URL: https, or http if both it and the issuer are on loopback."""
        return is_safe_url(url, loopback_without_tls=urlsplit(self.url).scheme == "http")


def is_safe_url(url: str, *, loopback_without_tls: bool) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading `port` validates it
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
