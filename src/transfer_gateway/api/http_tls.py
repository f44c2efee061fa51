"""TLS of the HTTP server, with certificates that can change at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from transfer_gateway.settings import DoorTls


class HttpTls:
    """New connections use the certificate last passed to `use`; open connections are not affected.

    Each version has its own context, which replaces the listener's at the TLS ClientHello. Loading a new certificate
    into the existing context would keep the old one too if its key is of another type, and would leave the context half
    updated if certificate and key don't match.
    """

    def __init__(self, tls: DoorTls) -> None:
        self.use(tls)
        self.listening = tls.context
        self.listening.sni_callback = self._hello

    def use(self, tls: DoorTls) -> None:
        tls.context.set_alpn_protocols(["http/1.1"])
        self.valid_until = tls.valid_until
        self._newest = tls.context

    def _hello(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _from: object) -> None:
        """Called for every ClientHello, with or without a server name."""
        connection.context = self._newest
