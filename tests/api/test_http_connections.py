"""What one connection, or many, may cost the HTTP door: written on the wire as no client library would."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket as sockets
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from certificates import Authority
from command import started
from transfer_gateway import server
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.http_server import HttpServer
from wire import HOME, becomes, calling, connected, place, socket, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

LIVEZ = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
PATIENCE_S = 20
Run = Any
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything up to the end of the connection, which must come."""
    answer = b""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                answer += piece
    return answer


async def exchange(url: str, *pieces: bytes) -> bytes:
    """Send, and read to the end of the connection."""
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
    """Status and message of a failure: JSON like all others, and the connection is closed after it."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert b"content-type: application/json" in head.lower()
    (error,) = json.loads(body)["errors"]
    assert error["extensions"]["code"]
    return int(head.split()[1]), error["message"]


async def status(url: str, path: str = "/livez") -> int:
    """Of a request on a connection of its own; 0 where it was closed instead."""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = await exchange(url, request.encode())
    return int(answer.split()[1]) if answer else 0


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
    """A head of more than HTTP_MAX_HEAD_BYTES is refused, however it comes, and its connection closed."""
    answer = await exchange(await run(), *pieces)
    assert answer.startswith(b"HTTP/1.1 %d " % expected), answer[:200]
    if b"content-length: 0" not in answer:
        assert failure(answer)[0] == expected


async def test_a_head_that_just_fits(run: Run) -> None:
    """The bound is of the head alone: what follows in the same chunk isn't counted."""
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
    """A body in more chunks than any client makes is refused: each chunk is work."""
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
    """Trailers and extensions of chunks have the head's bound, too."""
    assert failure(await exchange(await run(), *pieces))[0] == 431


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"PUT /graphql HTTP/1.1\r\n", id="405"),
        pytest.param(b"POST /nowhere HTTP/1.1\r\n", id="404"),
        pytest.param(b"POST /graphql HTTP/1.1\r\ncontent-type: application/json\r\n", id="413"),
        pytest.param(b"GET /livez HTTP/1.1\r\n", id="200"),
    ],
)
async def test_a_body_without_end(run: Run, head: bytes) -> None:
    """After the answer the rest of a body is awaited for 2 s; then the connection is closed."""
    url = await run(http_max_body_bytes=1024)
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
            await asyncio.sleep(0.01)
            assert time.monotonic() - with_answer < PATIENCE_S
        assert (await reading).startswith(b"HTTP/1.1 ")


async def test_connection_goes_on_after_an_unwanted_body(run: Run) -> None:
    """A body that ends soon after the answer costs its client nothing."""
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
    """Half a head is 408 after HTTP_HEAD_TIMEOUT_S, nothing at all no answer. Either way the connection is closed."""
    answer = await exchange(await run(http_head_timeout_s=0.2), begun)
    assert answer.startswith(expected)
    assert bool(answer) == bool(expected)


async def test_head_that_trickles(run: Run) -> None:
    """The time is of the whole head, of a later request's as well; each byte doesn't start it anew."""
    url = await run(http_head_timeout_s=0.5)
    async with connected(url) as (reader, writer):
        writer.write(LIVEZ)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reading = asyncio.create_task(rest(reader))
        started = time.monotonic()
        writer.write(b"GET /livez HTTP/1.1\r\n")
        while not reading.done() and time.monotonic() - started < PATIENCE_S:
            writer.write(b"a")
            await asyncio.sleep(0.05)
        assert b"HTTP/1.1 408 " in await reading


async def test_time_for_a_tls_handshake(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """A client that connects and begins no TLS, or half of it, is closed as one with half a head."""
    certificate, key = Authority().server().write(tmp_path, "door")
    tls = {"http_tls_cert_file": certificate, "http_tls_key_file": key}
    async with server.running(settings(http_head_timeout_s=0.3, **tls)) as service:
        assert await exchange(service.url) == b""
        assert await exchange(service.url, b"\x16\x03\x01\x02\x00\x01") == b""


async def test_pipeline(run: Run) -> None:
    """Requests beyond HTTP_MAX_PIPELINED_REQUESTS get no answer; those before do, and the last says it closes."""
    answer = await exchange(await run(http_max_pipelined_requests=4), LIVEZ * 50_000)
    assert answer.count(b"HTTP/1.1 200 OK") == 5
    *_, last = answer.split(b"HTTP/1.1 200 OK")
    assert b"connection: close" in last
    assert answer.count(b"connection: close") == 1


async def test_pipeline_within_the_bound(run: Run) -> None:
    """All are answered, in turn, and the connection stays."""
    async with connected(await run(http_max_pipelined_requests=4)) as (reader, writer):
        for _ in range(3):
            writer.write(LIVEZ * 5)
            for _ in range(5):
                async with asyncio.timeout(PATIENCE_S):
                    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_reading_stops_while_requests_wait() -> None:
    """What comes meanwhile stays in the kernel, so a client that sends on is served, not cut off."""
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
    """A handshake that comes before earlier answers are out is not begun: they would be sent into the WebSocket."""
    upgrade = (
        b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    answer = await exchange(await run(), LIVEZ + upgrade)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 101" not in answer


@asynccontextmanager
async def held(
    url: str, count: int, *, address: str = "127.0.0.1", begun: bytes = b""
) -> AsyncIterator[list[Pair]]:
    """So many connections from that address, each with that much of a request sent."""
    place = urlsplit(url)
    async with AsyncExitStack() as stack:
        pairs = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port, local_addr=(address, 0)
            )
            stack.callback(writer.transport.abort)
            writer.write(begun)
            pairs.append((reader, writer))
        yield pairs


SLOW = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"


async def test_idle_connections_make_room(run: Run) -> None:
    """Whoever has been idle longest is closed for one more, whether it sent nothing or a whole request."""
    url = await run(http_max_connections=10)
    async with held(url, 5, begun=LIVEZ) as kept, held(url, 45) as silent:
        async with calling(url) as gateway:
            assert (await gateway.send("GET", "/livez")).status == 200
        for reader, _ in silent[:30]:
            assert await rest(reader) == b""
        assert [await status(url) for _ in range(20)] == [200] * 20
        for reader, _ in kept:
            assert (await rest(reader)).startswith(b"HTTP/1.1 200")


async def test_busy_connections_leave_room_for_probes(run: Run) -> None:
    """Where all have a request under way, probes are answered; anything else is 503, and closed."""
    url = await run(http_max_connections=5)
    async with held(url, 5, begun=SLOW):
        await asyncio.sleep(
            0.1
        )  # they are accepted in turn, and so is what follows; their requests come after
        assert [await status(url, path) for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
        answer = await exchange(url, b"GET /graphql HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert failure(answer) == (503, "The service has reached its connection limit.")
        assert b"retry-after: 1" in answer
    await becomes(partial(status, url, "/graphql?query={__typename}"), 200)


async def test_silent_connections_do_not_keep_the_reserve(run: Run) -> None:
    """However many come while all places are busy, a probe finds one."""
    url = await run(http_max_connections=5)
    async with held(url, 5, begun=SLOW):
        await asyncio.sleep(0.1)
        async with held(url, 100):
            assert [await status(url) for _ in range(20)] == [200] * 20


async def test_connections_of_one_address(run: Run) -> None:
    """An address that has its share gets no more, and others notice nothing."""
    url = await run(http_max_connections=20, http_max_connections_per_address=5)
    async with held(url, 5, address="127.0.0.2", begun=SLOW):
        await asyncio.sleep(0.1)
        async with held(
            url, 1, address="127.0.0.2", begun=b"GET /graphql HTTP/1.1\r\nhost: localhost\r\n\r\n"
        ) as more:
            assert failure(await rest(more[0][0]))[0] == 503
        async with calling(url) as gateway:
            assert "errors" not in await gateway.ask("{ __typename }")
    async with held(url, 3, address="127.0.0.3") as others, held(url, 30, address="127.0.0.2", begun=LIVEZ):
        await asyncio.sleep(0.1)
        for reader, writer in others:
            writer.write(LIVEZ)
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_idle_websockets_make_room_last(run: Run) -> None:
    """A WebSocket without operations goes after idle HTTP connections, and is told to come again."""
    url = await run(http_max_connections=3, request_timeout_s=1)
    async with socket(url) as websocket:
        await asyncio.sleep(1.2)  # it is idle when no operation can be running any more
        async with held(url, 3, begun=LIVEZ) as kept:
            assert (await rest(kept[0][0])).startswith(b"HTTP/1.1 200")
            await websocket.subscribe("1", "{ __typename }")
            assert (await websocket.next())["type"] == "next"
            assert (await websocket.next())["type"] == "complete"
        await asyncio.sleep(1.2)
        async with held(url, 3, begun=SLOW):
            async with asyncio.timeout(PATIENCE_S):
                await websocket.connection.wait_closed()
            assert websocket.connection.close_code == 1013


@pytest.mark.parametrize("limit", [pytest.param(256, id="256"), pytest.param(128, id="128")])
async def test_descriptors(aws: Emulator, accounts_file: Path, limit: int) -> None:
    """With few descriptors fewer connections are taken: files and AWS find some, whoever comes."""
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_ACCOUNTS_RELOAD_S": "0.1",
        "TRANSFER_GATEWAY_GRPC": "false",
    }
    async with started(
        "serve", "--http-port", "0", until="GraphQL", limit_descriptors=str(limit), **environment
    ) as serving:
        async with held(serving.url, 2 * limit), calling(serving.url) as gateway:
            assert (await gateway.look_up(place(aws.world)))["__typename"] == "Execution"
            accounts_file.write_text(
                f'accounts:\n  - {{ id: "{HOME}", role_arn: null, regions: [eu-west-1] }}\n'
            )

            async def accounts() -> int:
                return len((await gateway.ask("{ accounts { accountId } }"))["data"]["accounts"])

            await becomes(accounts, 1)
        code, log = await serving.stop()
    assert code == 0
    assert "connections_reduced" in log


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """This process, and so the service in it, can open nothing."""
    limits, taken = resource.getrlimit(resource.RLIMIT_NOFILE), []
    used = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)


async def test_no_descriptor_left_for_a_connection(run: Run) -> None:
    """accept() is tried again after a while, not in a circle; who waits in the backlog is then served."""
    url, loop = await run(), asyncio.get_running_loop()
    place = urlsplit(url)
    assert await status(url) == 200
    with ExitStack() as stack, capture_logs() as logs:
        clients = [stack.enter_context(sockets.socket()) for _ in range(10)]
        with no_descriptor_left():
            for client in clients:
                client.setblocking(False)  # noqa: FBT003  the library's
                await loop.sock_connect(client, (place.hostname, place.port))
                await loop.sock_sendall(client, LIVEZ)
            started_at = time.process_time()
            await until(lambda: [log["event"] for log in logs].count("no_descriptor_left") >= 2)
            assert time.process_time() - started_at < 0.5
        async with asyncio.timeout(PATIENCE_S):
            for client in clients[-2:]:
                assert (await loop.sock_recv(client, 100)).startswith(b"HTTP/1.1 200")
