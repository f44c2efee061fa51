"""Bytes of HTTP/1.1, WebSocket and HTTP/2, and sockets that read only on request."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT, CONTINUATION, PING = 0x1, 0x0, 0x9  # WebSocket's opcodes
DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x8  # HTTP/2's frames
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE = 0x4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SMALL_BUFFER_BYTES = 4096  # so that little is kept for us beyond the gateway's own memory
_CLOSED = select.POLLRDHUP | select.POLLHUP | select.POLLERR


async def connect(address: tuple[str, int], source: str = "127.0.0.1") -> socket.socket:
    """A connection from that loopback address. Raises: OSError."""
    connection = socket.socket()
    try:
        connection.settimeout(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


async def until_closed(connection: socket.socket) -> None:
    """Wait until the peer closes, without reading what it has sent."""
    poll = select.poll()
    poll.register(connection, _CLOSED)
    while not poll.poll(0):  # noqa: ASYNC110  the loop tells of what can be read, and so reads
        await asyncio.sleep(0.1)


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.rpartition("/")[2].rpartition(":")
    return host, int(port)


def post(document: str, variables: object, token: str) -> bytes:
    """A whole GraphQL request."""
    body = json.dumps({"query": document, "variables": variables}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {token}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)


def ws_frame(payload: bytes, opcode: int = TEXT, *, last: bool = True) -> bytes:
    """A client's frame, masked with zeros, so that it is unchanged. Source: RFC 6455, section 5.2."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([last << 7 | opcode]) + length + bytes(4) + payload


def ws_message(**message: object) -> bytes:
    return ws_frame(json.dumps(message).encode())


def ws_init(token: str) -> bytes:
    return ws_message(type="connection_init", payload={"authorization": f"Bearer {token}"})


def ws_subscribe(number: int, document: str, variables: object) -> bytes:
    return ws_message(type="subscribe", id=str(number), payload={"query": document, "variables": variables})


def h2_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Source: RFC 9113, section 4.1."""
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def h2_settings(*settings: tuple[int, int]) -> bytes:
    return h2_frame(SETTINGS, 0, 0, b"".join(struct.pack("!HI", *setting) for setting in settings))


def grpc_headers(path: str, token: str, stream: int, *, more: Sequence[tuple[str, str]] = ()) -> bytes:
    """A call's HEADERS frame, with unindexed, uncompressed literals.

    Source: RFC 7541, section 6.2.2.
    """
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", f"Bearer {token}"),
        *more,
    ]
    block = b"".join(b"\x00" + _hpack_text(name) + _hpack_text(value) for name, value in fields)
    return h2_frame(HEADERS, END_HEADERS, stream, block)


def grpc_message(message: bytes, stream: int) -> bytes:
    """The DATA frame of a call's only message."""
    return h2_frame(DATA, END_STREAM, stream, struct.pack("!BI", 0, len(message)) + message)


def _hpack_text(text: str) -> bytes:
    """Its length as an integer with a 7-bit prefix, then its bytes. A lone surrogate is a byte that is not UTF-8."""
    encoded, most = text.encode(errors="surrogateescape"), 127
    size = len(encoded)
    if size < most:
        return bytes([size]) + encoded
    size -= most
    length = bytearray([most])
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    length.append(size)
    return bytes(length) + encoded
