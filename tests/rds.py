"""The login of RDS in front of a PostgreSQL of a test: TLS, then a token of AWS IAM as the password."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from multidict import CIMultiDict

from transfer_emulator.errors import AwsError
from transfer_emulator.sigv4 import Authorization, SignedRequest, verify

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator
    from pathlib import Path

    from certificates import Pair
    from postgres import PostgresServer

_SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"
_ASK_FOR_CLEARTEXT = b"R\0\0\0\x08\0\0\0\x03"


@dataclass
class Rds:
    """`passwords`: those that it was given. `secret`: what they must be signed with."""

    port: int
    secret: str
    passwords: list[str] = field(default_factory=list)
    connections: list[StreamWriter] = field(default_factory=list)

    def url(self, url: str, ca_file: Path, user: str = "gateway") -> str:
        """The same database by this login."""
        database = url.partition("?")[0].rpartition("/")[2]
        return (
            f"postgresql://{user}@localhost:{self.port}/{database}?sslmode=verify-full&sslrootcert={ca_file}"
        )

    def drop(self) -> None:
        """Every connection."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()


@asynccontextmanager
async def rds(server: PostgresServer, certificate: Pair, folder: Path, secret: str) -> AsyncIterator[Rds]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate.write(folder, "rds"))

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        # Whoever goes away, does so when it likes.
        with suppress(OSError, EOFError):
            if await reader.readexactly(8) != _SSL_REQUEST:
                writer.close()
                return
            writer.write(b"S")
            await writer.start_tls(context)
            here.connections.append(writer)
            startup = await _message(reader)
            writer.write(_ASK_FOR_CLEARTEXT)
            assert await reader.readexactly(1) == b"p"
            password = (await _message(reader))[4:].rstrip(b"\0").decode()
            here.passwords.append(password)
            try:
                check(password, here.port, here.secret)
            except AwsError as error:
                writer.write(_refusal(str(error)))
                writer.close()
                return
            socket = server.folder / f".s.PGSQL.{server.port}"
            behind, to_behind = await asyncio.open_unix_connection(str(socket))
            to_behind.write(startup)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_copy(reader, to_behind))
                tasks.create_task(_copy(behind, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        here = Rds(listening.sockets[0].getsockname()[1], secret)
        yield here
        here.drop()


def check(token: str, port: int, secret: str, *, region: str = "eu-west-1", user: str = "gateway") -> None:
    """By the emulator's verification, not by botocore's signing. Raises: AwsError."""
    host, _, query = token.partition("/?")
    given = dict(parse_qsl(query))
    signed, _, signature = query.rpartition("&X-Amz-Signature=")
    key, date, signed_region, service, _ = given["X-Amz-Credential"].split("/")
    assert (given["Action"], given["DBUser"], given["X-Amz-Expires"]) == ("connect", user, "900")
    assert (host, signed_region, service) == (f"localhost:{port}", region, "rds-db")
    claims = Authorization(
        key, date, signed_region, service, given["X-Amz-SignedHeaders"], signature, given["X-Amz-Date"]
    )
    request = SignedRequest("GET", f"/?{signed}", CIMultiDict({"host": host}), b"")
    verify(claims, request, secret, time.time())


async def _message(reader: StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length) - 4)


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


def _refusal(why: str) -> bytes:
    """What RDS says: nothing of the reason."""
    fields = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user\0\0"
    return b"E" + (len(fields) + 4).to_bytes(4) + fields
