"""TLS at the HTTP server: certificates that change while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from transfer_gateway.settings import DoorTls


class HttpTls:
    """Each connection gets what `use` was last given; those that are open go on.

    Each version has a context of its own, put in place of the listening one when a client says hello. A new
    certificate loaded into a context that is in use would leave the old one beside it where the key is of another kind,
    and half of it where it turns out not to fit.
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
        """Called for every client, whether it names a server or not."""
        connection.context = self._newest
