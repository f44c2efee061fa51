"""Checks a client's endpoint and proxy, as botocore accepts some with which each call fails."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from botocore.utils import get_environ_proxies

from transfer_gateway.settings import ConfigurationError

_SCHEMES = ("http", "https")


def check_urls(client: Any) -> None:  # noqa: ANN401  botocore's clients are untyped
    """Raises: ConfigurationError, which names the variable and shows nothing of the URL: it may be a password."""
    endpoint: str = client.meta.endpoint_url
    service = client.meta.service_model.service_name.upper()
    if problem := _endpoint_problem(endpoint):
        variables = f"AWS_ENDPOINT_URL_{service}, AWS_ENDPOINT_URL, or endpoint_url of the profile"
        raise ConfigurationError([f"AWS configuration: {variables}: {problem}"])
    scheme = urlsplit(endpoint).scheme
    proxy = get_environ_proxies(endpoint).get(scheme)
    if proxy and not _is_proxy(proxy.strip()):
        problem = (
            f"{scheme.upper()}_PROXY: must be http://host:port, where a user and a password before the host "
            "are URL-encoded: %2F for /, %23 for #, %3F for ?, %40 for @"
        )
        raise ConfigurationError([problem])


def _endpoint_problem(url: str) -> str | None:
    if "@" in urlsplit(url).netloc:
        return "must have no user and password: AWS requests are signed, and can't carry them"
    return None if _is_http(url) else "must be http:// or https:// with a host"


def _is_proxy(url: str) -> bool:
    if not re.match(r"[a-z0-9+.-]+://", url, re.IGNORECASE):
        url = f"http://{url}"
    userinfo = url.partition("//")[2].rpartition("@")[0]
    return not re.search(r"[/?#]", userinfo) and _is_http(url)  # one of these would end the host


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no IPv6 address
        return False
