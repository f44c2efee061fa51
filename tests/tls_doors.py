"""TLS at both doors: the files of a service, how they are spoiled, and clients of either door."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography import x509

from certificates import Authority, Pair
from doors import RpcDoor, rpc
from wire import becomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from transfer_gateway import server

PREFIX = "TRANSFER_GATEWAY_"
Refusals = Callable[[], list[tuple[str, tuple[str, ...]]]]  # door and problems of each refusal logged


@dataclass
class Files:
    """The certificate, key and clients' authority that a service is given, and who made them."""

    folder: Path
    authority: Authority
    shown: Pair  # what is in the files
    clients: Authority

    @property
    def settings(self) -> dict[str, Any]:
        certificate, key = self.folder / "door.crt", self.folder / "door.key"
        return {
            "http_tls_cert_file": certificate,
            "http_tls_key_file": key,
            "grpc_tls_cert_file": certificate,
            "grpc_tls_key_file": key,
        }

    @property
    def client_ca(self) -> Path:
        path = self.folder / "clients.crt"
        if not path.exists():
            path.write_bytes(self.clients.pem)
        return path

    def show(self, pair: Pair) -> None:
        self.shown = pair
        pair.write(self.folder, "door")


@asynccontextmanager
async def door(
    service: server.Service, files: Files, own: Pair | None = None, token: str | None = None
) -> AsyncIterator[RpcDoor]:
    async with rpc(service, token, tls=files.authority.credentials(own)) as stub:
        yield RpcDoor(stub)


def address(service: server.Service, name: str) -> str:
    return service.url if name == "http" else f"https://{service.grpc}"


@asynccontextmanager
async def tls_connection(
    url: str, tls: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = url.removeprefix("https://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def serial(url: str, tls: ssl.SSLContext) -> int:
    """The number of the certificate that a new connection gets."""
    tls.set_alpn_protocols(["h2", "http/1.1"])
    async with tls_connection(url, tls) as (_, writer):
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).serial_number


async def until_shown(url: str, files: Files, pair: Pair) -> None:
    """Wait until new connections get that certificate."""
    await becomes(partial(serial, url, files.authority.trusting()), pair.serial)


def spoil_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(files.authority.server().key())


def spoil_kind_of_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(Authority().server(rsa_key=True).key())


def spoil_certificate(files: Files) -> None:
    (files.folder / "door.crt").write_text("garbage")


def spoil_text_of_key(files: Files) -> None:
    (files.folder / "door.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def take_certificate(files: Files) -> None:
    (files.folder / "door.crt").unlink()


def take_key(files: Files) -> None:
    (files.folder / "door.key").unlink()


def encrypt_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(files.shown.key(b"secret"))


SPOILED: dict[str, tuple[Callable[[Files], None], str, str]] = {
    "another-key": (spoil_key, "KEY", "is not the key of {certificate}"),
    "another-key-of-its-kind": (spoil_kind_of_key, "KEY", "is not the key of {certificate}"),
    "garbage": (spoil_certificate, "CERT", "contains no certificates in PEM format"),
    "garbage-for-a-key": (spoil_text_of_key, "KEY", "contains no private key in PEM format"),
    "no-certificate": (take_certificate, "CERT", "cannot be read: No such file or directory"),
    "no-key": (take_key, "KEY", "cannot be read: No such file or directory"),
    "passphrase": (encrypt_key, "KEY", "is encrypted; a key without a passphrase is required"),
}


def problems(files: Files, name: str, kind: str) -> tuple[str, ...]:
    _, which, what = SPOILED[kind]
    file = files.folder / ("door.key" if which == "KEY" else "door.crt")
    variable = f"{PREFIX}{name.upper()}_TLS_{which}_FILE"
    return (f"{variable}: {file}: {what.format(certificate=files.folder / 'door.crt')}",)
