"""TLS of the gRPC server: certificate reload, and callers' names from client certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from transfer_gateway.settings import DoorTls

    Context = grpc.aio.ServicerContext[Any, Any]


class RpcTls:
    """New connections get the certificates last passed to `use`; open ones are unaffected.

    With `client_authorities`, clients must present a certificate issued by one of them. gRPC can make client
    certificates optional, but not from Python: `require_client_authentication=False` requests none.
    """

    def __init__(self, tls: DoorTls) -> None:
        self.requires_client_certificate = tls.client_authorities is not None
        self._current = self._given = _configuration(tls)
        self.valid_until = tls.valid_until

    def use(self, tls: DoorTls) -> None:
        self._current = _configuration(tls)
        self.valid_until = tls.valid_until

    def credentials(self) -> grpc.ServerCredentials:
        changed: Any = self._changed  # its type does not allow None
        return grpc.dynamic_ssl_server_credentials(self._given, changed, self.requires_client_certificate)

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called in gRPC's threads before each handshake. None: unchanged."""
        current = self._current
        if current is self._given:
            return None
        self._given = current
        return current


def certificate_name(context: Context) -> str | None:
    """The caller's name from its certificate: the SPIFFE id, if that is the only URI, else the full subject name.

    A subject name starts with an attribute (`CN=…`), so it can't be mistaken for a SPIFFE id, and hardly for a token's
    subject.
    Source: X509-SVID, section 2; RFC 2253.
    """
    peer = context.auth_context()
    for key in ("peer_spiffe_id", "x509_subject"):
        for name in peer.get(key, ()):
            if name:
                return name.decode("ascii", "backslashreplace")
    return None


def _configuration(tls: DoorTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificates)], tls.client_authorities)
