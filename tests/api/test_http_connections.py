"""Connection limits, and which connections are closed to make room."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket as sockets
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from command import started
from wire import HOME, becomes, calling, place, socket, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from transfer_emulator import Emulator
from raw_http import LIVEZ, PATIENCE_S, Run, exchange, failure, rest

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def status(url: str, path: str = "/livez") -> int:
    """The status of a request on a new connection; 0 if it was closed instead."""
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = await exchange(url, request.encode())
    return int(answer.split()[1]) if answer else 0


@asynccontextmanager
async def held(
    url: str, count: int, *, address: str = "127.0.0.1", begun: bytes = b""
) -> AsyncIterator[list[Pair]]:
    """That many connections from one address, each with a partial request."""
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


async def requests_in_flight(url: str) -> int:
    """Counted by the service's metrics, read over a connection reserved for probes."""
    metrics = await exchange(url, b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    counted = re.findall(
        rb'^transfer_gateway_requests_in_flight\{door="graphql"\} (\d+)', metrics, re.MULTILINE
    )
    return sum(map(int, counted))


SLOW = b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"


async def test_idle_connections_make_room(run: Run) -> None:
    """The connection that has been idle longest is closed for a new one, whether it sent nothing or a whole request."""
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
    """If all connections are busy, probes are answered; anything else gets 503 and is closed."""
    url = await run(http_max_connections=5)
    async with held(url, 5, begun=SLOW):
        await becomes(partial(requests_in_flight, url), 5)
        assert [await status(url, path) for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
        answer = await exchange(url, b"GET /graphql HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert failure(answer) == (503, "The service has reached its connection limit.")
        assert b"retry-after: 1" in answer
    await becomes(partial(status, url, "/graphql?query={__typename}"), 200)


async def test_silent_connections_do_not_keep_the_reserve(run: Run) -> None:
    """However many connections arrive while all are busy, a probe is served."""
    url = await run(http_max_connections=5)
    async with held(url, 5, begun=SLOW):
        await becomes(partial(requests_in_flight, url), 5)
        async with held(url, 100):
            assert [await status(url) for _ in range(20)] == [200] * 20


async def test_connections_of_one_address(run: Run) -> None:
    """An address at its limit gets no more connections; others are not affected."""
    url = await run(http_max_connections=20, http_max_connections_per_address=5)
    async with held(url, 5, address="127.0.0.2", begun=SLOW):
        await becomes(partial(requests_in_flight, url), 5)
        async with held(
            url, 1, address="127.0.0.2", begun=b"GET /graphql HTTP/1.1\r\nhost: localhost\r\n\r\n"
        ) as more:
            assert failure(await rest(more[0][0]))[0] == 503
        async with calling(url) as gateway:
            assert "errors" not in await gateway.ask("{ __typename }")
    async with held(url, 3, address="127.0.0.3") as others, held(url, 30, address="127.0.0.2", begun=LIVEZ):
        await asyncio.sleep(0.1)  # in which these must not be closed
        for reader, writer in others:
            writer.write(LIVEZ)
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_idle_websockets_make_room_last(run: Run) -> None:
    """A WebSocket without operations is closed after idle HTTP connections, with code 1013 (try again later)."""
    url = await run(http_max_connections=3, request_timeout_s=1)
    async with socket(url) as websocket:
        await asyncio.sleep(1.2)  # it is idle when no operation can be running any more
        async with held(url, 3, begun=LIVEZ) as kept:
            assert (await rest(kept[0][0])).startswith(b"HTTP/1.1 200")
            await websocket.subscribe("1", "{ __typename }")
            assert (await websocket.next())["type"] == "next"
            assert (await websocket.next())["type"] == "complete"
        await asyncio.sleep(1.2)  # the same
        async with held(url, 3, begun=SLOW):
            async with asyncio.timeout(PATIENCE_S):
                await websocket.connection.wait_closed()
            assert websocket.connection.close_code == 1013


@pytest.mark.parametrize("limit", [256, 128])
@pytest.mark.thorough
async def test_descriptors(aws: Emulator, accounts_file: Path, limit: int) -> None:
    """With few file descriptors, fewer connections are accepted, so that files and AWS calls still get some."""
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
    """This process, and so the service in it, can open no more files."""
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
    """accept() is retried after a pause, not in a loop; then connections in the backlog are served."""
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
