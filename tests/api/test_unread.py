"""Peers that don't read: what is written for them is bounded, and so is the time that they have."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response
from websockets.frames import Frame, Opcode

from certificates import Authority
from command import started
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.http import RequestLog
from transfer_gateway.api.http_server import HttpServer
from transfer_gateway.api.http_tls import HttpTls
from transfer_gateway.api.unread import UnreadBytes
from transfer_gateway.settings import TlsFiles
from transfer_gateway.telemetry import Requests
from wire import calling, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from transfer_emulator import Emulator
    from transfer_gateway.api.connections import Connection

PATIENCE_S = 20
INTROSPECT = "{ __schema { types { name description fields { name description type { name kind } } } } }"
_BODY = json.dumps({"query": INTROSPECT}).encode()
LARGE = (
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    % (len(_BODY), _BODY)
)
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
)
LARGE_BODY = b"a" * 12_000_000
Run = Any


@asynccontextmanager
async def peer(url: str) -> AsyncIterator[sockets.socket]:
    """A connection whose kernel buffers little, and of which nothing is read unless the test does."""
    place = urlsplit(url)
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.setblocking(False)  # noqa: FBT003  the library's
        await asyncio.get_running_loop().sock_connect(raw, (place.hostname, place.port))
        yield raw


async def send(raw: sockets.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(raw, data)


async def read(raw: sockets.socket, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(PATIENCE_S):
        while len(data) < size and (piece := await asyncio.get_running_loop().sock_recv(raw, 4096)):
            data += piece
    return data


async def ends(raw: sockets.socket, *, sending: bytes = b"\r\n") -> None:
    """Wait for the peer to reset the connection, without reading from it."""

    def has_been_reset() -> bool:
        try:
            raw.send(sending)
        except BlockingIOError:
            pass
        except ConnectionError:
            return True
        return False

    await until(has_been_reset, within_s=PATIENCE_S)


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def text(message: Any) -> bytes:
    return frame(Opcode.TEXT, json.dumps(message).encode())


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """More than any kernel buffers, whether asked over HTTP or WebSocket."""
    if scope["type"] == "http":
        body = LARGE_BODY[:110_000] if scope["path"] == "/small" else LARGE_BODY
        await Response(body)(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    unread: list[asyncio.Future[None]] = []
    while (await receive())["type"] == "websocket.receive":
        unread.append(asyncio.ensure_future(send({"type": "websocket.send", "text": LARGE_BODY.decode()})))
    await asyncio.gather(*unread, return_exceptions=True)


@asynccontextmanager
async def serving_large(
    *, stall_s: float, write_s: float = 60, tls: HttpTls | None = None
) -> AsyncIterator[str]:
    """Our server in front of that, with times of a test's."""
    limits = ConnectionLimits(32_768, 10, 16, 100, 100, stall_s, write_s)
    app = RequestLog(large, Requests(slow_s=100), UNBOUNDED)
    http = HttpServer(app, grace_s=0, keepalive_s=60, max_message_bytes=1000, limits=limits, tls=tls)
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[listener]))
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            http.should_exit = True


UNBOUNDED = UnreadBytes(max_bytes=2**40, max_bytes_per_caller=2**40)
GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize("requests", [pytest.param(1, id="one"), pytest.param(15, id="pipelined")])
async def test_answers_never_read(requests: int) -> None:
    """Who reads nothing of its answer for REQUEST_TIMEOUT_S loses its connection, and those that wait with it."""
    async with serving_large(stall_s=1) as url, peer(url) as raw:
        await send(raw, GET * requests)
        await ends(raw)


@pytest.mark.parametrize(
    "asking", [pytest.param("http", id="http"), pytest.param("websocket", id="websocket")]
)
async def test_answers_never_read_over_tls(tmp_path: Path, asking: str) -> None:
    """The same over TLS, whose layer takes whatever it is given."""
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "door")
    tls = HttpTls(TlsFiles(certificate, key, None, door="http").load())
    async with serving_large(stall_s=1, tls=tls) as url:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(
            place.hostname, place.port, ssl=authority.trusting(), server_hostname="localhost", limit=1
        )
        filler = b"\r\n" if asking == "http" else frame(Opcode.PONG)
        writer.write(GET if asking == "http" else HANDSHAKE)
        if asking == "websocket":
            await reader.readexactly(1)  # of the answer: frames that come with the handshake are dropped
            writer.write(text(""))
        started_at = time.monotonic()

        def is_closing() -> bool:
            writer.write(filler)
            return writer.transport.is_closing()

        await until(is_closing, within_s=PATIENCE_S)
        writer.transport.abort()
        assert time.monotonic() - started_at < 8  # not by the time for a head


@pytest.mark.parametrize("asking", ["large", "small", "websocket"])
async def test_answers_read_drop_by_drop(asking: str) -> None:
    """HTTP_WRITE_TIMEOUT_S is the time of a whole answer: a byte now and then doesn't hold it."""
    begin = websocket if asking == "websocket" else peer
    async with serving_large(stall_s=60, write_s=1) as url, begin(url) as raw:
        await send(raw, text("") if asking == "websocket" else GET.replace(b"/", b"/" + asking.encode(), 1))
        ending = asyncio.create_task(ends(raw, sending=frame(Opcode.PONG) if begin is websocket else b"\r\n"))
        while not ending.done():
            with suppress(BlockingIOError, ConnectionError):
                raw.recv(64 if asking == "small" else 4096)
            await asyncio.sleep(0.02)  # the pace of a slow reader
        await ending


async def test_slow_reader_gets_its_answer() -> None:
    """Who reads, slowly, is served: the time without progress is what counts."""
    async with serving_large(stall_s=1) as url, peer(url) as raw:
        await send(raw, GET.replace(b"host:", b"connection: close\r\nhost:"))
        size, started_at = 0, time.monotonic()
        while piece := await asyncio.get_running_loop().sock_recv(raw, 8192):
            size += len(piece)
            await asyncio.sleep(0.01 if time.monotonic() - started_at < 3 else 0)  # the same
        assert size > len(LARGE_BODY)


def waits(connections: list[Connection], least: int) -> bool:
    return bool(connections) and connections[-1].unread_bytes() > least


async def test_what_waits_for_a_peer_is_known() -> None:
    """An application can ask how much its peer has not read yet, and end the connection."""
    known: list[Connection] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        known.append(scope["state"]["connection"])
        await large(scope, receive, send)

    limits = ConnectionLimits(32_768, 10, 16, 100, 100, 60, 60)
    http = HttpServer(
        RequestLog(app, Requests(slow_s=100), UNBOUNDED),
        grace_s=0,
        keepalive_s=5,
        max_message_bytes=1000,
        limits=limits,
    )
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[listener]))
            for begin, asking in ((peer, GET), (websocket, text("")), (websocket, text("") * 3)):
                async with begin(url) as raw:
                    await send(raw, asking)
                    least = (asking.count(text("")) or 1) * len(
                        LARGE_BODY
                    ) - 1_000_000  # the kernel has those
                    await until(partial(waits, known, least))
                    known[-1].end()
                    await ends(raw)
                    await until(lambda: not known[-1].unread_bytes())
            http.should_exit = True


@asynccontextmanager
async def websocket(url: str) -> AsyncIterator[sockets.socket]:
    async with peer(url) as raw:
        await send(raw, HANDSHAKE)
        assert (await read(raw, 12)).startswith(b"HTTP/1.1 101")
        yield raw


async def test_websocket_messages_never_read() -> None:
    """The same for a WebSocket, whose application is told that its peer has gone."""
    async with serving_large(stall_s=1) as url, websocket(url) as raw:
        await send(raw, text("") * 3)
        await ends(raw, sending=frame(Opcode.PONG))


FLOODS = {
    "pings": frame(Opcode.PING, b"a" * 125) * 2000,
    "pongs": frame(Opcode.PONG) * 2000,
    "empty fragments": frame(Opcode.TEXT, fin=False) + frame(Opcode.CONT, fin=False) * 2000,
    "many fragments": frame(Opcode.TEXT, b" ", fin=False) + frame(Opcode.CONT, b" ", fin=False) * 2000,
}


async def test_frames_that_say_nothing(run: Run) -> None:
    """More of them than any client needs end the connection, which is told why: 1008."""
    url = await run()
    async with asyncio.TaskGroup() as tasks:  # each connection lingers for 2 s
        for what, flood in FLOODS.items():
            tasks.create_task(_flooded(url, flood), name=what)


async def _flooded(url: str, flood: bytes) -> None:
    async with websocket(url) as raw:
        await send(raw, text({"type": "connection_init"}))
        sending = asyncio.create_task(ends(raw, sending=flood))
        received = b""
        while piece := await _piece(raw):
            received += piece
        await sending
        assert b"\x03\xf0too many f" in received


async def _piece(raw: sockets.socket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await asyncio.get_running_loop().sock_recv(raw, 65_536)
        except ConnectionError:
            return b""


async def test_an_ordinary_ping(run: Run) -> None:
    async with websocket(await run()) as raw:
        await send(raw, text({"type": "connection_init"}) + frame(Opcode.PING, b"hello"))
        received = b""
        while b"hello" not in received:
            received += await read(raw, 1)


async def test_large_answer_over_websocket(run: Run) -> None:
    """It comes in fragments, and pings between them are answered."""
    from wire import socket  # noqa: PLC0415

    async with socket(await run()) as client:
        await client.subscribe("1", INTROSPECT)
        await client.subscribe("2", INTROSPECT)
        answers = [await client.next() for _ in range(4)]
    assert sorted(answer["type"] for answer in answers) == ["complete", "complete", "next", "next"]
    assert all(answer["payload"]["data"] for answer in answers if answer["type"] == "next")


@pytest.mark.thorough
async def test_shutdown_with_peers_that_do_nothing(accounts_file: Path, aws: Emulator) -> None:
    """SIGTERM ends the process long before its grace period, with 0 and no task left, whoever doesn't send or read."""
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_GRACE_S": "100",
    }
    async with started("serve", "--http-port", "0", **environment) as serving, AsyncExitStack() as stack:
        for _ in range(5):
            for begun in (b"", LARGE[:40], LARGE[:-5], LARGE * 10):
                await send(await stack.enter_async_context(peer(serving.url)), begun)
            raw = await stack.enter_async_context(websocket(serving.url))
            await send(raw, text({"type": "connection_init"}))
            for number in range(40):
                message = {"type": "subscribe", "id": str(number), "payload": {"query": INTROSPECT}}
                await send(raw, text(message))
        async with calling(serving.url) as gateway:
            assert (await gateway.send("GET", "/readyz")).status == 200
        started_at = time.monotonic()
        code, log = await serving.stop()
        took_s = time.monotonic() - started_at
    assert code == 0
    assert took_s < 50  # about 4 s, on a machine that does nothing else
    assert "tasks_left=[]" in log or '"tasks_left":[]' in log, log[-500:]
