"""Answers that are damaged on purpose: below, beside and beyond the service's model."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web
from botocore.model import ListShape, MapShape, Shape, StructureShape

UNKNOWN_ENUM_VALUE = "NOT_KNOWN_YET"
UNKNOWN_MEMBER_NAME = "NotKnownYet"
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
