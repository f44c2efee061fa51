"""Fetches an issuer's discovery document and keys, with size and time limits."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp

from transfer_gateway.auth.jwks import Unusable, decode_discovery, decode_keys

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from transfer_gateway.auth.issuer import Issuer
    from transfer_gateway.auth.jwks import Key, KeyName

FETCH_TIMEOUT_S = 5.0  # for both documents
_MAX_BYTES = 1_048_576  # of each


def issuers_session() -> aiohttp.ClientSession:
    """The HTTP session for all issuers. Responses are not decompressed, so that none expands beyond its limit."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"accept": "application/json", "accept-encoding": "identity"},
        trust_env=True,  # egress from a cluster may need a proxy
    )


class KeysFetcher:
    """Fetches one issuer's keys. Rereads files each time, in a thread, since they are rotated in place."""

    def __init__(self, http: aiohttp.ClientSession, issuer: Issuer, algorithms: Collection[str]) -> None:
        self._http = http
        self._issuer = issuer
        self._algorithms = algorithms
        self._authorities = ""
        self._tls: ssl.SSLContext | bool = True

    async def fetch(self) -> dict[KeyName, Key]:
        """The issuer's current keys.

        Raises: TimeoutError, OSError, aiohttp.ClientError, ValueError (jwks.Unusable among them).
        """
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            if self._issuer.ca_file is not None:
                await asyncio.to_thread(self._read_authorities, self._issuer.ca_file)
            headers = {}
            if self._issuer.token_file is not None:
                token = await asyncio.to_thread(self._issuer.token_file.read_text)
                headers["authorization"] = f"Bearer {token.strip()}"
            discovery = await self._get(self._issuer.discovery_url, headers)
            keys = await self._get(decode_discovery(discovery, self._issuer), headers)
            return decode_keys(keys, self._algorithms)

    def _read_authorities(self, path: Path) -> None:
        authorities = path.read_text()
        if authorities != self._authorities:
            tls = ssl.create_default_context()
            tls.load_verify_locations(cadata=authorities)
            self._authorities, self._tls = authorities, tls

    async def _get(self, url: str, headers: dict[str, str]) -> bytes:
        """Redirects are rejected: they could lead to a URL without TLS, and would forward the token."""
        async with self._http.get(url, headers=headers, ssl=self._tls, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004  HTTP's OK
                raise Unusable(f"status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise Unusable(f"more than {_MAX_BYTES} bytes")
            return bytes(body)
