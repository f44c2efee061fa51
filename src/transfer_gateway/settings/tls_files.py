"""The TLS files of a server: its certificate and key, and the CA certificates for its clients."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from transfer_gateway.settings.configuration_error import ConfigurationError
from transfer_gateway.settings.groups.group import ENV_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from transfer_gateway.settings.environment import Settings

# OpenSSL's reasons for a certificate that is too weak; it reports them for the key.
_WEAK = {"CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "EE_KEY_TOO_SMALL"}
_MISMATCH = {"KEY_TYPE_MISMATCH", "KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED"}
_CURVES_OF_GRPC = {"secp256r1", "secp384r1", "secp521r1"}


@dataclass(frozen=True, slots=True)
class DoorTls:
    """One version of the files: as an SSL context, and their content, which gRPC needs."""

    context: ssl.SSLContext
    certificates: bytes  # the server's own first, then the intermediates
    key: bytes = field(repr=False)
    client_authorities: bytes | None  # None: clients need no certificate
    valid_until: datetime


class TlsFiles:
    """One server's files. Compared by content, all together, so that every way of replacing them is detected.

    Problems name the setting. Validity dates are not checked: a certificate that is not valid yet may soon be.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None, *, door: str) -> None:
        self.door = door
        self.certificate = certificate
        self._paths = {"TLS_CERT_FILE": certificate, "TLS_KEY_FILE": key}
        if client_ca is not None:
            self._paths["CLIENT_CA_FILE"] = client_ca
        self._seen: Mapping[str, bytes | str] = {}

    @classmethod
    def of(cls, settings: Settings, door: Literal["http", "grpc"]) -> Self | None:
        """None: that server has no TLS, or is disabled."""
        if door == "http":
            certificate, key, client_ca = settings.http_tls_cert_file, settings.http_tls_key_file, None
        elif settings.grpc:
            certificate, key = settings.grpc_tls_cert_file, settings.grpc_tls_key_file
            client_ca = settings.grpc_client_ca_file
        else:
            return None
        return cls(certificate, key, client_ca, door=door) if certificate and key else None

    def load(self) -> DoorTls:
        """Read the files. Raises: ConfigurationError."""
        return self._parse(self._read())

    def load_if_changed(self) -> DoorTls | None:
        """The files, if any has changed since the last read, else None.

        Raises: ConfigurationError, once for each bad version.
        """
        seen = self._seen
        found = self._read()
        return None if found == seen else self._parse(found)

    def _read(self) -> Mapping[str, bytes | str]:
        """Each file's content, or why it can't be read."""
        found: dict[str, bytes | str] = {}
        for name, path in self._paths.items():
            try:
                found[name] = path.read_bytes()
            except OSError as error:
                found[name] = f"cannot be read: {error.strerror}"
        self._seen = found
        return found

    def _parse(self, found: Mapping[str, bytes | str]) -> DoorTls:
        from cryptography import x509  # noqa: PLC0415  takes 8 MB, and is needed only with TLS

        problems = [self._problem(name, text) for name, text in found.items() if isinstance(text, str)]
        texts = {name: text for name, text in found.items() if isinstance(text, bytes)}
        certificates: dict[str, list[x509.Certificate]] = {}
        for name in ("TLS_CERT_FILE", "CLIENT_CA_FILE"):
            if name in texts:
                try:
                    certificates[name] = x509.load_pem_x509_certificates(texts[name])
                except ValueError:
                    problems.append(self._problem(name, "contains no certificates in PEM format"))
        if not problems and self.door == "grpc" and not _fits_grpc(certificates["TLS_CERT_FILE"][0]):
            problems.append(self._problem("TLS_CERT_FILE", "has a key on a curve that gRPC can't use"))
        if problems:
            raise ConfigurationError(problems)
        return DoorTls(
            self._context(),
            texts["TLS_CERT_FILE"],
            texts["TLS_KEY_FILE"],
            texts.get("CLIENT_CA_FILE"),
            certificates["TLS_CERT_FILE"][0].not_valid_after_utc,
        )

    def _context(self) -> ssl.SSLContext:
        """Reads the files again. A change since the first read is detected by the next `load_if_changed`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # create_default_context would obey SSLKEYLOGFILE
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(
                self._paths["TLS_CERT_FILE"], self._paths["TLS_KEY_FILE"], password=_no_passphrase
            )
        except _EncryptedError:
            problem = self._problem("TLS_KEY_FILE", "is encrypted; a key without a passphrase is required")
        except ssl.SSLError as error:
            if error.reason in _MISMATCH:
                problem = self._problem("TLS_KEY_FILE", f"is not the key of {self.certificate}")
            elif error.reason in _WEAK:
                problem = self._problem("TLS_CERT_FILE", f"is too weak: {error.reason}")
            else:
                reason = f": {error.reason}" if error.reason else ""
                problem = self._problem("TLS_KEY_FILE", f"contains no private key in PEM format{reason}")
        except OSError as error:
            problem = self._problem("TLS_KEY_FILE", f"cannot be read: {error.strerror}")
        else:
            return context
        raise ConfigurationError([problem])

    def _problem(self, name: str, problem: str) -> str:
        return f"{ENV_PREFIX}{self.door.upper()}_{name}: {self._paths[name]}: {problem}"


def _fits_grpc(certificate: x509.Certificate) -> bool:
    """gRPC uses BoringSSL, which supports fewer curves than OpenSSL, and would report that it can't bind the port."""
    curve = getattr(certificate.public_key(), "curve", None)
    return curve is None or curve.name in _CURVES_OF_GRPC


class _EncryptedError(Exception):
    """The key has a passphrase. Without this callback, OpenSSL would prompt for it on the terminal."""


def _no_passphrase() -> NoReturn:
    raise _EncryptedError
