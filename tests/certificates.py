"""A local CA and its certificates."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import itertools
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

HERE: tuple[x509.GeneralName, ...] = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
)
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
_CURVE = ec.SECP256R1()
_HOUR = dt.timedelta(hours=1)
_numbers = itertools.cycle(range(4))  # more than a test has


@functools.cache
def _rsa_key(number: int) -> rsa.RSAPrivateKey:
    """Used by several tests: to make one takes 0.2 s."""
    return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    private: PrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key(self, passphrase: bytes | None = None) -> bytes:
        encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Its files, created or replaced."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_bytes(self.pem)
        paths[1].write_bytes(self.key())
        return paths


class Authority:
    """Issues certificates."""

    def __init__(self, name: str = "authority") -> None:
        self._own = _signed(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), ec.generate_private_key(_CURVE)
        )
        self.pem = self._own.pem

    def server(self, *, rsa_key: bool = False, curve: ec.EllipticCurve = _CURVE) -> Pair:
        """For a server on this machine."""
        private = _rsa_key(next(_numbers)) if rsa_key else ec.generate_private_key(curve)
        return self.issue({"CN": "here"}, HERE, usage=_SERVER, private=private)

    def client(self, *uris: str, days_ago: int = 0, usage: ObjectIdentifier = _CLIENT, **name: str) -> Pair:
        """For a client with these URIs and a subject such as CN="billing". It was valid around `days_ago` days ago."""
        uri = [x509.UniformResourceIdentifier(uri) for uri in uris]
        return self.issue(name, uri, usage=usage, days_ago=days_ago)

    def issue(
        self,
        name: dict[str, str],
        alternatives: Sequence[x509.GeneralName],
        *,
        usage: ObjectIdentifier,
        days_ago: int = 0,
        private: PrivateKey | None = None,
    ) -> Pair:
        oids = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME}
        subject = x509.Name([x509.NameAttribute(oids[part], value) for part, value in name.items()])
        return _signed(
            subject, private or ec.generate_private_key(_CURVE), self._own, alternatives, usage, days_ago
        )

    def trusting(self, own: Pair | None = None, *, folder: Path | None = None) -> ssl.SSLContext:
        """For an HTTP client that trusts this CA, with a client certificate if given."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if own is not None:
            assert folder is not None
            context.load_cert_chain(*own.write(folder, "client"))
        return context

    def credentials(self, own: Pair | None = None) -> grpc.ChannelCredentials:
        """The same for gRPC."""
        if own is None:
            return grpc.ssl_channel_credentials(self.pem)
        return grpc.ssl_channel_credentials(self.pem, own.key(), own.pem)


def _signed(
    subject: x509.Name,
    private: PrivateKey,
    by: Pair | None = None,
    alternatives: Sequence[x509.GeneralName] = (),
    usage: ObjectIdentifier | None = None,
    days_ago: int = 0,
) -> Pair:
    """Self-signed, unless an issuer is given."""
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(then - _HOUR)
        .not_valid_after(then + _HOUR)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by is not None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.private.public_key())
        builder = builder.add_extension(authority, critical=False)
    else:
        own = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
        builder = builder.add_extension(own, critical=False)
        signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # noqa: FBT003  cryptography's
        builder = builder.add_extension(signs, critical=True)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Pair(builder.sign(by.private if by else private, hashes.SHA256()), private)
