"""Signature Version 4 as botocore makes it, with a request's headers in a dict.

botocore collects them twice for every signature, in an `email.message.Message`: an eighth of what a call costs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from botocore.auth import AUTH_TYPE_MAPS, SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest

_NAME = "v4-headers-in-a-dict"
_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)


class Signature(SigV4Auth):  # type: ignore[misc]  # botocore is untyped
    """Of one request: botocore makes an object for each."""

    _headers: dict[str, str] | None = None

    def headers_to_sign(self, request: AWSRequest) -> dict[str, str]:
        """Names in small letters, each with its values: trimmed, and with commas between them."""
        headers = self._headers
        if headers is None:
            headers = self._headers = {}
            for name, value in request.headers.items():
                name, value = name.lower(), " ".join(value.split())  # noqa: PLW2901  the same, in another form
                if name not in _UNSIGNED:
                    headers[name] = f"{headers[name]},{value}" if name in headers else value
            if "host" not in headers:
                headers["host"] = _host(request.url)
        return headers

    def canonical_headers(self, headers_to_sign: dict[str, str]) -> str:
        return "\n".join(f"{name}:{headers_to_sign[name]}" for name in sorted(headers_to_sign))


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    """botocore's, which takes URLs apart for it: ours has one for each service and region."""
    host: str = SigV4Auth(None, "", "").headers_to_sign(AWSRequest("POST", url))["host"]
    return host


def sign_plainly(client: Any) -> None:  # noqa: ANN401  botocore's clients are untyped
    """Have the client's calls signed so."""
    AUTH_TYPE_MAPS[_NAME] = Signature
    client.meta.events.register(f"choose-signer.{client.meta.service_model.service_id.hyphenize()}", _choose)


def _choose(signature_version: object, **_: object) -> str | None:
    return _NAME if signature_version == "v4" else None
