"""Finds secrets in the environment, so that logs and output can redact them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from transfer_gateway.settings.groups.group import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS_AND_LIBRARIES = ("AWS_", "OTEL_", ENV_PREFIX)
_SECRET_NAME = re.compile(r"(SECRET|TOKEN|PASSWORD|SECRET_ACCESS_KEY)$")


def environment_secrets() -> frozenset[str]:
    """Secrets in variables that the service or its libraries read: passwords in URLs, keys, tokens, headers."""
    return frozenset(
        secret for name, value in os.environ.items() for secret in _secrets(name.upper(), value) if secret
    )


def _secrets(name: str, value: str) -> Iterator[str]:
    if name.endswith("_PROXY") and name != "NO_PROXY":
        yield from _of_userinfo(value)
    elif name.startswith(_OURS_AND_LIBRARIES):
        if _SECRET_NAME.search(name):
            yield value
        elif name.endswith("_HEADERS"):
            for header in value.split(","):
                content = header.partition("=")[2].strip()
                # With and without a scheme such as Basic.
                yield from (content, re.split(r"\s|%20|\+", content)[-1])
        elif name == f"{ENV_PREFIX}HISTORY_URL":
            yield from _of_database(value)
        elif "//" in value:
            for url in value.split(","):
                yield from _of_userinfo(url)
                yield from _of_query(url)


def _of_userinfo(url: str) -> Iterator[str]:
    """The userinfo and its password, or its user if that is a token. A proxy's URL may have no scheme.

    Ends at the last @, since passwords are not always encoded.
    """
    userinfo = url.strip().rpartition("@")[0].rpartition("//" if "//" in url else "\0")[2]
    user, colon, password = userinfo.partition(":")
    yield from (userinfo, password if colon else user)


def _of_database(url: str) -> Iterator[str]:
    """Its password. User and parameters are ordinary words, which must stay readable elsewhere."""
    userinfo = url.strip().rpartition("@")[0].rpartition("//")[2]
    yield userinfo.partition(":")[2]
    yield from (value for name, value in _query(url) if _SECRET_NAME.search(name.upper()))


def _of_query(url: str) -> Iterator[str]:
    yield from (value for _, value in _query(url))


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url.strip()).query)
    except ValueError:  # not a URL
        return []
