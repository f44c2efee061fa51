"""TLS of the gRPC door: certificates that can change while it is open, and what clients' say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from transfer_gateway.settings import DoorTls

    Context = grpc.aio.ServicerContext[Any, Any]


class RpcTls:
    """Each connection gets what `use` was last given; those that are open go on.

    With `client_authorities` every client must have a certificate of theirs. gRPC can ask for one without requiring
    it, but not from Python: `require_client_authentication=False` asks for none.
    """

    def __init__(self, tls: DoorTls) -> None:
        self.asks_clients = tls.client_authorities is not None
        self._newest = self._given = _configuration(tls)
        self.valid_until = tls.valid_until

    def use(self, tls: DoorTls) -> None:
        self._newest = _configuration(tls)
        self.valid_until = tls.valid_until

    def credentials(self) -> grpc.ServerCredentials:
        changed: Any = self._changed  # its types lack that it may return None
        return grpc.dynamic_ssl_server_credentials(self._given, changed, self.asks_clients)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC's own threads before each handshake; None: as before."""
        newest = self._newest
        if newest is self._given:
            return None
        self._given = newest
        return newest


def certificate_name(context: Context) -> str | None:
    """Who the client's certificate says it is: its SPIFFE id, if that is its only URI, else its subject's full name.

    A name begins with an attribute's (`CN=…`), so it passes for no SPIFFE id and hardly for a token's subject.
    Source: X509-SVID, section 2; RFC 2253.
    """
    told = context.auth_context()
    for key in ("peer_spiffe_id", "x509_subject"):
        for name in told.get(key, ()):
            if name:
                return name.decode("ascii", "backslashreplace")
    return None


def _configuration(tls: DoorTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificates)], tls.client_authorities)
