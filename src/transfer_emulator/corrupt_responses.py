"""Deliberately corrupted responses: broken HTTP, broken bodies, and values outside the service's model."""

import asyncio
import math
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

from aiohttp import web
from botocore.model import ListShape, MapShape, Shape, StructureShape

from transfer_emulator.response_shaper import Wire

UNKNOWN_ENUM_VALUE = "NOT_KNOWN_YET"
UNKNOWN_MEMBER_NAME = "NotKnownYet"
_MEMBERS_WITH_IDS = {"WorkflowId", "ExecutionId", "ServerId", "Arn", "logStreamName", "message"}
_CHUNK_BYTES = 65_536
_OTHER_DIGITS = str.maketrans("0123456789", "1234567890")
_HTML_502 = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)


def html_502() -> web.Response:
    return web.Response(status=502, body=_HTML_502, headers={"Content-Type": "text/html"})


def empty_429() -> web.Response:
    return web.Response(status=429)


def reset(request: web.BaseRequest) -> web.Response:
    """Break the connection with a TCP reset. The returned response is never sent."""
    transport = request.transport
    if transport is not None:
        # SO_LINGER with 0 seconds turns the close into a reset; a plain abort would send a FIN.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()


async def endless_head(request: web.BaseRequest) -> web.Response:
    """Send headers until the client disconnects or `request` is cancelled."""
    return await _stream_endlessly(request, b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 80 + b"\r\n")


async def endless_continue(request: web.BaseRequest) -> web.Response:
    """Send `100 Continue` responses in the same way."""
    return await _stream_endlessly(request, b"", b"HTTP/1.1 100 Continue\r\n\r\n")


async def _stream_endlessly(request: web.BaseRequest, first: bytes, more: bytes) -> web.Response:
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        transport.write(first)
        while not transport.is_closing():
            if transport.get_write_buffer_size() < _CHUNK_BYTES:
                transport.write(more * (_CHUNK_BYTES // len(more)))
            await asyncio.sleep(0.001)
    return reset(request)


def redirect(request: web.BaseRequest) -> web.Response:
    return web.Response(status=307, headers={"Location": request.path})


async def padded_body(
    request: web.BaseRequest,
    response: web.Response,
    *,
    size_bytes: float,
    pause_s: float,
    closing: asyncio.Event,
) -> web.StreamResponse:
    """The body padded with spaces to `size_bytes`, with a Content-Length if that is finite.

    `pause_s`: time between single spaces; 0: sends chunks.
    """
    body = response.body
    whole = body if isinstance(body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = None if math.isinf(size_bytes) else int(size_bytes)
    with suppress(ConnectionError):  # the client has disconnected
        await stream.prepare(request)
        await stream.write(whole)
        left = size_bytes - len(whole)
        chunk = b" " * (1 if pause_s else _CHUNK_BYTES)
        while left > 0 and not closing.is_set():
            await stream.write(chunk[: int(min(left, len(chunk)))])
            left -= len(chunk)
            if pause_s:
                await asyncio.sleep(pause_s)
    return stream


def compressed(response: web.Response) -> web.Response:
    """The body and 200 MB of spaces, gzipped."""
    body = response.body
    compressed_body = _with_blanks(body if isinstance(body, bytes) else b"")
    headers = response.headers.copy()
    headers.popall("Content-Length", None)
    headers["Content-Encoding"] = "gzip"
    return web.Response(status=response.status, body=compressed_body, headers=headers)


@lru_cache(maxsize=4)  # it takes a second, and a call that failed is made again
def _with_blanks(body: bytes) -> bytes:
    compressor = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    compressed_body = compressor.compress(body)
    return (
        compressed_body
        + b"".join(compressor.compress(b" " * 1_000_000) for _ in range(200))
        + compressor.flush()
    )


def with_many_steps(wire: Wire) -> Wire:
    """An execution with 300,000 steps; other responses unchanged."""
    if "Execution" not in wire:
        return wire
    return wire | {"Execution": wire["Execution"] | {"Results": {"Steps": [{}] * 300_000}}}


def with_other_ids(value: object) -> object:
    """`value` with every digit in its ids, ARNs and log messages replaced."""
    if isinstance(value, dict):
        return {
            name: item.translate(_OTHER_DIGITS)
            if name in {"WorkflowId", "ExecutionId", "ServerId", "Arn", "logStreamName", "message"}
            and isinstance(item, str)
            else with_other_ids(item)
            for name, item in value.items()
        }
    return [with_other_ids(item) for item in value] if isinstance(value, list) else value


def with_junk(body: bytes, junk: bytes) -> bytes:
    """A JSON object with an extra member."""
    return body.removesuffix(b"}") + b',"' + UNKNOWN_MEMBER_NAME.encode() + b'":' + junk + b"}"


async def short_body(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Send half of the body announced by Content-Length, then close."""
    body = response.body
    whole = body if isinstance(body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(whole)
    with suppress(ConnectionError):  # the client has disconnected
        await stream.prepare(request)
        await stream.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


def with_unknown_enums(shape: Shape, value: object) -> object:
    """`value` with every enum value replaced by an unknown one."""

    def replaced(at: Shape, item: object) -> object:
        return UNKNOWN_ENUM_VALUE if "enum" in at.metadata else item

    return _transformed(shape, value, replaced)


def with_unknown_members(shape: Shape, value: object) -> object:
    """`value` with an extra member in every structure but the outermost."""

    def extended(at: Shape, item: object) -> object:
        if at is not shape and isinstance(at, StructureShape) and isinstance(item, dict):
            return {**item, UNKNOWN_MEMBER_NAME: "a member of a later model"}
        return item

    return _transformed(shape, value, extended)


def _transformed(shape: Shape, value: object, change: Callable[[Shape, object], object]) -> object:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = {member.serialization.get("name", key): member for key, member in shape.members.items()}
        # Another fault may have added members that the shape lacks.
        value = {
            key: _transformed(members[key], item, change) if key in members else item
            for key, item in value.items()
        }
    elif isinstance(shape, ListShape) and isinstance(value, list):
        value = [_transformed(shape.member, item, change) for item in value]
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        value = {key: _transformed(shape.value, item, change) for key, item in value.items()}
    return change(shape, value)
