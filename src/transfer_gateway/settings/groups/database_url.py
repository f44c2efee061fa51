"""What a `postgresql://` URL means for the connection's security, as asyncpg reads it: libpq's parameters."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from transfer_gateway.settings.groups.group import ENV_PREFIX
from transfer_gateway.settings.groups.listeners import is_loopback

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_REGION = r"[a-z]{2,4}(?:-[a-z]+){1,2}-\d{1,2}"
# Endpoints of instances, clusters and proxies; China's have the region at another place.
_RDS_HOST = re.compile(
    rf".+\.(?:({_REGION})\.rds\.amazonaws\.com|rds\.({_REGION})\.amazonaws\.com\.cn)", re.IGNORECASE
)
_WEAKNESS = {
    "disable": "is not encrypted, and the server is not verified",
    "allow": "may not be encrypted, and the server is not verified",
    "prefer": "may not be encrypted, and the server is not verified",
    "require": "is encrypted, but the server is not verified",
    "verify-ca": "is encrypted, but any server with a certificate of the same authority is accepted",
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`hosts` are empty for the default sockets. `mode`: libpq's sslmode. `ca_file`: the authorities it verifies by."""

    hosts: tuple[str, ...]
    port: int
    user: str | None
    has_password: bool
    mode: str
    says_mode: bool  # in the URL
    ca_file: Path | None

    @classmethod
    def of(cls, url: str) -> Self:
        """Of a URL that is one."""
        parts, environment = urlsplit(url), os.environ.get
        given = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        userinfo, _, netloc = parts.netloc.partition("@") if "@" in parts.netloc else ("", "", parts.netloc)
        listed = unquote(netloc) or given.get("host") or environment("PGHOST", "")
        hosts = [
            text if text.startswith("/") else urlsplit(f"//{text}") for text in listed.split(",") if text
        ]
        ports = [host.port for host in hosts if not isinstance(host, str)]
        port = (*ports, None)[0] or (not netloc and given.get("port")) or environment("PGPORT") or 5432
        # A service's file may say what is not in the URL.
        said = given.get("sslmode") or ("service" not in given and environment("PGSSLMODE")) or "prefer"
        ca_file = given.get("sslrootcert") or environment("PGSSLROOTCERT")
        if not ca_file and (default := Path.home() / ".postgresql" / "root.crt").exists():
            ca_file = str(default)
        return cls(
            tuple(host if isinstance(host, str) else host.hostname or "" for host in hosts),
            int(str(port).partition(",")[0]),
            unquote(userinfo.partition(":")[0]) or given.get("user"),
            ":" in userinfo or "password" in given,
            said.replace("_", "-"),
            "sslmode" in given,
            Path(ca_file) if ca_file else None,
        )

    @property
    def verifies(self) -> bool:
        """Whether the server's certificate is verified, by `ca_file`."""
        return self.mode.startswith("verify-") or (self.mode == "require" and self.ca_file is not None)

    @property
    def region(self) -> str | None:
        """The region of an endpoint of RDS or Aurora, by its name."""
        found = _RDS_HOST.fullmatch(self.hosts[0]) if self.hosts else None
        return found and (found[1] or found[2]).lower()

    @property
    def weakness(self) -> str | None:
        """How somebody on the network could read along or pose as the database, and the remedy."""
        far = [host for host in self.hosts if not host.startswith("/") and not is_loopback(host)]
        mode = "verify-ca" if self.mode == "require" and self.verifies else self.mode
        if not far or mode not in _WEAKNESS:
            return None
        return (
            f"{ENV_PREFIX}HISTORY_URL: the connection to {far[0]} {_WEAKNESS[mode]} (sslmode={self.mode}): "
            "set sslmode=verify-full and sslrootcert"
        )
