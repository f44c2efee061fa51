"""HTTP/1.1 as bytes, for requests that no client would send."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from wire import connected

LIVEZ = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
PATIENCE_S = 20
Run = Any


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything until the connection ends, which must happen."""
    answer = b""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                answer += piece
    return answer


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Send, and read until the connection ends."""
    async with connected(url) as (reader, writer):
        reading = asyncio.create_task(rest(reader))
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        return await reading


def failure(answer: bytes) -> tuple[int, str]:
    """Status and message of an error: JSON like all others, and the connection is closed after it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert b"content-type: application/json" in head.lower()
    (error,) = json.loads(body)["errors"]
    assert error["extensions"]["code"]
    return int(head.split()[1]), error["message"]
