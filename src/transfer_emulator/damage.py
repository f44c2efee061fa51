"""Answers that are damaged on purpose: below, beside and beyond the service's model."""

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

from transfer_emulator.writing import Wire

UNKNOWN_ENUM_VALUE = "NOT_KNOWN_YET"
UNKNOWN_MEMBER_NAME = "NotKnownYet"
_PIECE_BYTES = 65_536
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
    """Break the connection with a TCP reset. What is returned reaches nobody."""
    transport = request.transport
    if transport is not None:
        # Lingering for zero seconds turns the close into a reset; a plain abort would send an orderly end.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()


async def endless_head(request: web.BaseRequest) -> web.Response:
    """Headers until the client has had enough, or until `request` is cancelled."""
    return await _pour(request, b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 80 + b"\r\n")


async def endless_continue(request: web.BaseRequest) -> web.Response:
    """The same with answers that are none yet."""
    return await _pour(request, b"", b"HTTP/1.1 100 Continue\r\n\r\n")


async def _pour(request: web.BaseRequest, first: bytes, more: bytes) -> web.Response:
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        transport.write(first)
        while not transport.is_closing():
            if transport.get_write_buffer_size() < _PIECE_BYTES:
                transport.write(more * (_PIECE_BYTES // len(more)))
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
    """The body and blanks, up to so many bytes: promised where that is finite; one at a time where there is a pause."""
    body = response.body
    whole = body if isinstance(body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = None if math.isinf(size_bytes) else int(size_bytes)
    with suppress(ConnectionError):  # whoever asked has had enough
        await stream.prepare(request)
        await stream.write(whole)
        left = size_bytes - len(whole)
        piece = b" " * (1 if pause_s else _PIECE_BYTES)
        while left > 0 and not closing.is_set():
            await stream.write(piece[: int(min(left, len(piece)))])
            left -= len(piece)
            if pause_s:
                await asyncio.sleep(pause_s)
    return stream


def compressed(response: web.Response) -> web.Response:
    """The body and 200 MB of blanks, compressed."""
    body = response.body
    packed = _with_blanks(body if isinstance(body, bytes) else b"")
    headers = response.headers.copy()
    headers.popall("Content-Length", None)
    headers["Content-Encoding"] = "gzip"
    return web.Response(status=response.status, body=packed, headers=headers)


@lru_cache(maxsize=4)  # it takes a second, and a call that failed is made again
def _with_blanks(body: bytes) -> bytes:
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    packed = packer.compress(body)
    return packed + b"".join(packer.compress(b" " * 1_000_000) for _ in range(200)) + packer.flush()


def with_many_steps(wire: Wire) -> Wire:
    """300,000 of them, where it is about an execution."""
    if "Execution" not in wire:
        return wire
    return wire | {"Execution": wire["Execution"] | {"Results": {"Steps": [{}] * 300_000}}}


def with_other_ids(value: object) -> object:
    """`value` with every digit of its ids and ARNs another."""
    if isinstance(value, dict):
        return {
            name: item.translate(_OTHER_DIGITS)
            if name in {"WorkflowId", "ExecutionId", "Arn"} and isinstance(item, str)
            else with_other_ids(item)
            for name, item in value.items()
        }
    return [with_other_ids(item) for item in value] if isinstance(value, list) else value


def with_junk(body: bytes, junk: bytes) -> bytes:
    """A JSON object with one member more."""
    return body.removesuffix(b"}") + b',"' + UNKNOWN_MEMBER_NAME.encode() + b'":' + junk + b"}"


async def short_body(request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
    """Promise the whole body, send half of it and close."""
    body = response.body
    whole = body if isinstance(body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(whole)
    with suppress(ConnectionError):  # whoever asked has left
        await stream.prepare(request)
        await stream.write(whole[: len(whole) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


def with_unknown_enums(shape: Shape, value: object) -> object:
    """`value` with every enum's value replaced by one that no model knows."""

    def replaced(at: Shape, item: object) -> object:
        return UNKNOWN_ENUM_VALUE if "enum" in at.metadata else item

    return _rebuilt(shape, value, replaced)


def with_unknown_members(shape: Shape, value: object) -> object:
    """`value` with one member more in every structure below the outermost."""

    def extended(at: Shape, item: object) -> object:
        if at is not shape and isinstance(at, StructureShape) and isinstance(item, dict):
            return {**item, UNKNOWN_MEMBER_NAME: "a member of a later model"}
        return item

    return _rebuilt(shape, value, extended)


def _rebuilt(shape: Shape, value: object, change: Callable[[Shape, object], object]) -> object:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        members = {member.serialization.get("name", key): member for key, member in shape.members.items()}
        # Another fault may have added what the shape lacks.
        value = {
            key: _rebuilt(members[key], item, change) if key in members else item
            for key, item in value.items()
        }
    elif isinstance(shape, ListShape) and isinstance(value, list):
        value = [_rebuilt(shape.member, item, change) for item in value]
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        value = {key: _rebuilt(shape.value, item, change) for key, item in value.items()}
    return change(shape, value)
