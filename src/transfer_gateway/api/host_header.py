"""The Host header. Source: RFC 9112, section 3.2, RFC 9110, section 7.2, and RFC 3986, section 3.2.2."""

from __future__ import annotations

import re

_HOST = re.compile(rb"(\[[\w:.%~-]+\]|([\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(:[0-9]*)?")


class BadHost(Exception):
    """The message is for the client."""


def check_host(headers: list[tuple[bytes, bytes]], http_version: str) -> None:
    """Remove blanks after the host, which the parser leaves if they have a tab. Raises: BadHost."""
    headers[:] = [(name, value.rstrip(b" \t") if name == b"host" else value) for name, value in headers]
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1:
        raise BadHost("The request has more than one Host header.")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadHost("The Host header must be a host name or an address, and optionally a port.")
    if not hosts and http_version != "1.0":
        raise BadHost("The Host header is required.")
