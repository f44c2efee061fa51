"""Oversized, endless and fragmented heads and bodies."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certificates import Authority
from transfer_gateway import server
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.http_server import HttpServer
from wire import connected, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings
from raw_http import LIVEZ, PATIENCE_S, Run, exchange, failure, rest

HEADER = b"x-filler: " + b"a" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param([b"GET /", *[b"a" * 1000] * 50], 414, id="url"),
        pytest.param([b"GET /livez HTTP/1.1\r\n", *[HEADER] * 50], 431, id="headers"),
        pytest.param([b"GET /livez HTTP/1.1\r\nx: ", *[b"a" * 1000] * 50], 431, id="one-value"),
        pytest.param([b"GET /livez HTTP/1.1\r\n", *[b"a" * 1000] * 50], 431, id="one-name"),
        pytest.param([b"GET /livez HTTP/1.1\r\n", b"a:b\r\n" * 102], 431, id="many-headers"),
        pytest.param([b"GET /livez HTTP/1.1\r\n" + HEADER * 50 + b"\r\n"], 431, id="whole-in-one-chunk"),
        pytest.param([b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n\r\n"], 414, id="whole-url-in-one-chunk"),
        pytest.param([b"\r\n" * 30_000], 431, id="empty-lines"),
        pytest.param(
            [
                b"GET /livez HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"x: " + b"a" * 9000 + b"\r\n\r\n"
            ],
            431,
            id="handshake-of-a-websocket",
        ),
    ],
)
async def test_size_of_a_head(run: Run, pieces: list[bytes], expected: int) -> None:
    """A head larger than HTTP_MAX_HEAD_BYTES is rejected, however it arrives, and the connection is closed."""
    answer = await exchange(await run(), *pieces)
    assert answer.startswith(b"HTTP/1.1 %d " % expected), answer[:200]
    if b"content-length: 0" not in answer:
        assert failure(answer)[0] == expected


async def test_a_head_that_just_fits(run: Run) -> None:
    """The limit applies to the head only: data after it in the same chunk is not counted."""
    url = await run()
    body = json.dumps({"query": "{ __typename }", "variables": {"filler": "a" * 200_000}}).encode()
    head = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\nconnection: close\r\nx: %b\r\n\r\n" % (len(body), b"a" * 31_000)
    assert (await exchange(url, head[:20_000], head[20_000:] + body)).startswith(b"HTTP/1.1 200 ")


CHUNKED = (
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


async def test_chunks_of_a_byte(run: Run) -> None:
    """A body with more chunks than any client sends is rejected, since each chunk costs CPU."""
    answer = await exchange(await run(), CHUNKED, *[b"1\r\na\r\n" * 1000] * 10)
    assert failure(answer) == (400, "The body has more than 4096 chunks.")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([CHUNKED, b"1;", *[b"a" * 1000] * 200], id="chunk-extension"),
        pytest.param([CHUNKED, b"0\r\nx: ", *[b"a" * 1000] * 200], id="one-trailer"),
        pytest.param([CHUNKED, b"0\r\n", *[b"a: b\r\n" * 100] * 200], id="many-trailers"),
    ],
)
async def test_what_is_neither_head_nor_body(run: Run, pieces: list[bytes]) -> None:
    """Trailers and chunk extensions are limited like the head."""
    assert failure(await exchange(await run(), *pieces))[0] == 431


async def test_a_body_without_end(run: Run) -> None:
    """After the response, the rest of a body is read for 2 s; then the connection is closed."""
    url = await run(http_max_body_bytes=1024)
    async with asyncio.TaskGroup() as tasks:  # 2 s for all of them
        for status, head in (
            (405, b"PUT /graphql HTTP/1.1\r\n"),
            (404, b"POST /nowhere HTTP/1.1\r\n"),
            (413, b"POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\n"),
            (200, b"GET /livez HTTP/1.1\r\n"),
        ):
            tasks.create_task(send_without_end(url, head, status))


async def send_without_end(url: str, head: bytes, status: int) -> None:
    async with connected(url) as (reader, writer):
        writer.write(head + b"host: localhost\r\ncontent-length: 1000000000000\r\n\r\n" + b"a" * 5000)
        reading = asyncio.create_task(rest(reader))
        with_answer = time.monotonic()
        while not reading.done():
            writer.write(b"a" * 10_000)
            try:
                async with asyncio.timeout(0.1):
                    await writer.drain()
            except (ConnectionError, TimeoutError):
                pass
            await asyncio.sleep(0.01)  # the pace of a client that sends without end
            assert time.monotonic() - with_answer < PATIENCE_S
        assert (await reading).startswith(b"HTTP/1.1 %d" % status)


async def test_connection_goes_on_after_an_unwanted_body(run: Run) -> None:
    """A body that ends soon after the response does not cost the client its connection."""
    async with connected(await run()) as (reader, writer):
        writer.write(
            b"PUT /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200000\r\n\r\n" + b"a" * 100_000
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 405")
        writer.write(b"a" * 100_000 + LIVEZ)
        async with asyncio.timeout(PATIENCE_S):
            while (line := await reader.readline()) and not line.endswith(b"HTTP/1.1 200 OK\r\n"):
                pass
        assert line


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET /livez HTTP/1.1\r\nhost: loc", b"HTTP/1.1 408 ", id="half-a-head"),
        pytest.param(b"GET", b"HTTP/1.1 408 ", id="half-a-word"),
        pytest.param(LIVEZ[:-1], b"HTTP/1.1 408 ", id="all-but-one-byte"),
    ],
)
async def test_time_for_a_head(run: Run, begun: bytes, expected: bytes) -> None:
    """After HTTP_HEAD_TIMEOUT_S an incomplete head gets 408, and no head at all no response. Both are closed."""
    answer = await exchange(await run(http_head_timeout_s=0.2), begun)
    assert answer.startswith(expected)
    assert bool(answer) == bool(expected)


async def test_head_that_trickles(run: Run) -> None:
    """The timeout is for the whole head, also of later requests; single bytes do not restart it."""
    url = await run(http_head_timeout_s=0.5)
    async with connected(url) as (reader, writer):
        writer.write(LIVEZ)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reading = asyncio.create_task(rest(reader))
        started = time.monotonic()
        writer.write(b"GET /livez HTTP/1.1\r\n")
        while not reading.done() and time.monotonic() - started < PATIENCE_S:
            writer.write(b"a")
            await asyncio.sleep(0.05)  # the pace of a trickle
        assert b"HTTP/1.1 408 " in await reading


async def test_time_for_a_tls_handshake(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """A client that sends no TLS handshake, or half of one, is closed like one with an incomplete head."""
    certificate, key = Authority().server().write(tmp_path, "door")
    tls = {"http_tls_cert_file": certificate, "http_tls_key_file": key}
    async with server.running(settings(http_head_timeout_s=0.3, **tls)) as service:
        assert await exchange(service.url) == b""
        assert await exchange(service.url, b"\x16\x03\x01\x02\x00\x01") == b""


async def test_pipeline(run: Run) -> None:
    """Requests beyond HTTP_MAX_PIPELINED_REQUESTS get no response; the last one before announces the close."""
    answer = await exchange(await run(http_max_pipelined_requests=4), LIVEZ * 50_000)
    assert answer.count(b"HTTP/1.1 200 OK") == 5
    *_, last = answer.split(b"HTTP/1.1 200 OK")
    assert b"connection: close" in last
    assert answer.count(b"connection: close") == 1


async def test_pipeline_within_the_bound(run: Run) -> None:
    """All are answered in order, and the connection stays open."""
    async with connected(await run(http_max_pipelined_requests=4)) as (reader, writer):
        for _ in range(3):
            writer.write(LIVEZ * 5)
            for _ in range(5):
                async with asyncio.timeout(PATIENCE_S):
                    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_reading_stops_while_requests_wait() -> None:
    """Data that arrives meanwhile stays in the kernel, so a client that keeps sending is served."""
    started_requests, gate = [], asyncio.Semaphore(0)

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        started_requests.append(scope["path"])
        await gate.acquire()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    limits = ConnectionLimits(32_768, 10, 4, 100, 100, 60, 60)
    http = HttpServer(app, grace_s=0, keepalive_s=5, max_message_bytes=1000, limits=limits)
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[listener]))
            async with connected(f"http://127.0.0.1:{listener.getsockname()[1]}") as (reader, writer):
                writer.write(LIVEZ * 3)
                await until(lambda: len(started_requests) == 1)
                writer.write(LIVEZ * 4)
                gate.release()
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                for _ in range(6):
                    gate.release()
                    async with asyncio.timeout(PATIENCE_S):
                        assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n")
            http.should_exit = True


async def test_websocket_after_a_pending_request(run: Run) -> None:
    """A handshake that arrives before earlier responses are sent is rejected: they would be sent into the WebSocket."""
    upgrade = (
        b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    answer = await exchange(await run(), LIVEZ + upgrade)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 101" not in answer
