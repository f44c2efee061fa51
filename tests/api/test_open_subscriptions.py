"""Subscriptions that stay open: heartbeats, rights, readers that don't read, and the end of the service."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode

from audited import audited
from callers import KEY, POLICY
from issuer import AUDIENCE, LocalIssuer, Time
from recorded import REMEMBERS, key_of, recorded_world, uploaded
from streams import ALL_CHANGED, CHANGED, EVENTS, Events, Lost, Messages, Refused, both, events, messages
from transfer_gateway import server
from wire import GUARDED, JSON, PLAIN, REGION, becomes, calling, socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.early
NOBODY = {"userNames": ["nobody"]}
WAITS_S, _MANY = 5.0, 25
PING = 0x89  # a frame's first byte


@pytest.fixture
def world() -> World:
    return recorded_world()


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(Time(), KEY) as issuer:
        yield issuer


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def oidc(issuer: LocalIssuer, policy_file: Path) -> dict[str, Any]:
    return {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
        "accounts_reload_s": 0.1,
        "oidc_leeway_s": 0,
    }


Live = Any


@pytest.fixture
async def live(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[Live]:
    """Run a service with a history, and the given settings."""
    async with AsyncExitStack() as stack:

        async def start(**overrides: object) -> server.Service:
            made = settings(**REMEMBERS | {"history_interval_s": 0.2, "grpc": False} | overrides)
            return await stack.enter_async_context(server.running(made))

        yield start


def running(world: World, account_id: str = PLAIN, region: str = REGION) -> dict[str, str]:
    """An execution in progress for long."""
    return key_of(
        uploaded(world, "trades", account_id=account_id, region=region, ago_s=60, duration_s=50_000)
    )


async def open_subscriptions(url: str) -> int:
    async with calling(url) as gateway:
        text = (await gateway.send("GET", "/metrics")).body.decode()
    (line,) = (line for line in text.splitlines() if line.startswith("transfer_gateway_live_subscribers"))
    return int(float(line.split()[1]))


async def test_heartbeats(live: Live) -> None:
    """A comment, or a WebSocket's ping, so that no proxy closes a connection on which nothing happens.

    These are checked for every two seconds, and by uvicorn.
    """
    service = await live(http_heartbeat_s=1)
    async with silent_websocket(service.url) as reader, calling(service.url) as gateway:
        opened = time.monotonic()
        async with events(gateway, ALL_CHANGED, filter=NOBODY) as stream:
            assert (await stream.event()).name == ""
            assert time.monotonic() - opened < 1
            assert (await stream.event()).name == ""
        assert (await reader.read(100))[0] == PING
        assert time.monotonic() - opened < WAITS_S


@asynccontextmanager
async def silent_websocket(url: str) -> AsyncIterator[asyncio.StreamReader]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"sec-websocket-protocol: graphql-transport-ws\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader
    finally:
        writer.close()


async def test_tokens_and_policies_are_judged_all_the_time(
    live: Live, oidc: dict[str, Any], issuer: LocalIssuer, world: World, policy_file: Path
) -> None:
    """A token that has expired ends its subscriptions, and a policy narrows or ends them, within seconds.

    Of an execution out of sight nothing more is told, and of a filter only what is still visible.
    """
    key, service = running(world, GUARDED), await live(**oidc)
    now = int(time.time())
    expiring, token = (issuer.token(sub="olga", groups=["ops"], exp=now + left_s) for left_s in (4, 3600))
    async with (
        both(service.url, CHANGED, token=expiring, key=running(world)) as ended,
        both(service.url, CHANGED, token=token, key=key) as singles,
        both(service.url, ALL_CHANGED, token=token, filter={}) as filters,
    ):
        for stream in (*ended, *singles, *filters):
            await stream.next()
        policy_file.write_text(POLICY.replace("{ all: true }", f'{{ ids: ["{PLAIN}"] }}'))
        for stream in singles:
            with pytest.raises(Refused) as refused:
                await until_ended(stream)
            assert refused.value.code == "ACCOUNT_NOT_AVAILABLE"
        hidden, seen = (
            key_of(uploaded(world, account_id=account_id, ago_s=0, duration_s=0.3))
            for account_id in (GUARDED, PLAIN)
        )
        for stream in filters:
            while (change := await stream.next())["execution"]["id"] != "/".join(seen.values()):
                assert change["execution"]["id"] != "/".join(hidden.values())
        over_socket, over_events = ended
        with suppress(Refused, ConnectionClosed):  # either may be first
            await until_ended(over_socket)
        with pytest.raises(ConnectionClosed) as closed:
            await over_socket.client.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
        with pytest.raises(Refused) as refused:
            await until_ended(over_events)
        assert refused.value.code == "UNAUTHENTICATED"
        assert await over_events.next() is None
    await becomes(lambda: open_subscriptions(service.url), 0)


async def test_a_callers_limit(live: Live, oidc: dict[str, Any], issuer: LocalIssuer, world: World) -> None:
    """So many subscriptions over both transports; they are no requests in progress, so that queries go on."""
    token, other = (issuer.token(sub=name, groups=["ops"]) for name in ("olga", "oskar"))
    service = await live(**oidc, caller_max_subscriptions=2, caller_max_concurrent_requests=1)
    async with AsyncExitStack() as stack:
        watch = messages(service.url, ALL_CHANGED, token=token, filter=NOBODY)
        stream = await stack.enter_async_context(watch)
        await becomes(lambda: open_subscriptions(service.url), 1)
        mine = await stack.enter_async_context(calling(service.url, token))
        await stack.enter_async_context(events(mine, ALL_CHANGED, filter=NOBODY))
        await becomes(lambda: open_subscriptions(service.url), 2)
        await stream.client.subscribe("2", ALL_CHANGED, filter=NOBODY)
        with pytest.raises(Refused, match="the limit of each caller is 2") as refused:
            await Messages(stream.client, "2").next()
        assert refused.value.code == "THROTTLED"
        with pytest.raises(Refused) as refused:
            await stack.enter_async_context(events(mine, ALL_CHANGED, filter=NOBODY))
        assert (refused.value.code, refused.value.status) == ("THROTTLED", 429)
        assert len((await mine.ask("{ accounts { id } }"))["data"]["accounts"]) == 3
        async with messages(service.url, CHANGED, token=other, key=running(world)) as others:
            assert (await others.next())["execution"]["status"] == "IN_PROGRESS"


async def test_readers_that_do_not_read(live: Live, world: World) -> None:
    """Are ended after the request timeout, over both transports; others are told meanwhile."""
    for _ in range(_MANY):
        running(world)
    service = await live(request_timeout_s=1)
    await known_to_be_running(service.url, _MANY)
    query = large_subscription()
    body = json.dumps({"query": query}).encode()
    head = (
        b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    with unread_connection(service.url) as raw:
        raw.sendall(head + body)
        await becomes(lambda: open_subscriptions(service.url), 1)
        with unread_connection(service.url) as other:
            async with socket(service.url, max_queue=1, close_timeout=0.1, sock=other) as client:
                await client.subscribe("1", query)
                async with calling(service.url) as gateway, events(gateway, query) as reading:
                    size = 0
                    for _ in range(_MANY):
                        size += len(json.dumps(await reading.next()))
                    assert size > 300_000
                    await becomes(lambda: open_subscriptions(service.url), 1)
                    new = "/".join(running(world).values())
                    while new not in json.dumps(await reading.next()):
                        pass


def large_subscription() -> str:
    fields = (
        "id results { steps { outputs } } initialFileLocation { s3FileLocation { bucket key } } executionRole"
    )
    large = " ".join(f"e{n}: execution {{ {fields} }}" for n in range(40))
    return ALL_CHANGED.replace("{ cursor", f"{{ {large} cursor")


def unread_connection(url: str) -> sockets.socket:
    place, raw = urlsplit(url), sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.connect((place.hostname, place.port))
    return raw


async def known_to_be_running(url: str, count: int) -> None:
    async def known() -> int:
        async with calling(url) as gateway:
            found = await gateway.ask("{ inProgressExecutions(first: 500) { edges { cursor } } }")
        return len(found["data"]["inProgressExecutions"]["edges"])

    await becomes(known, count)


async def test_a_subscription_is_not_idle(live: Live) -> None:
    """Its connection is not closed for a new one, however long nothing happens on it."""
    service = await live(http_max_connections=2, request_timeout_s=1)
    async with both(service.url, ALL_CHANGED, filter=NOBODY) as (stream, event_stream):
        assert (await event_stream.event()).name == ""
        await asyncio.sleep(1.2)  # longer than any operation takes
        async with calling(service.url) as gateway:
            assert (await gateway.post({"query": "{ accounts { id } }"})).status == 503
        await stream.client.send({"type": "ping"})
        assert await stream.client.next() == {"type": "pong"}
        assert not event_stream.response.connection.transport.is_closing()


async def test_the_end_of_the_service(aws: Emulator, settings: Callable[..., Settings], world: World) -> None:
    """Open streams do not hold it up: events end without `complete`, and WebSockets close with 1012: come back."""
    key = running(world)
    async with AsyncExitStack() as stack:
        async with server.running(settings(**REMEMBERS, grpc=False)) as service:
            stream, event_stream = await stack.enter_async_context(both(service.url, CHANGED, key=key))
            for each in (stream, event_stream):
                await each.next()
            began = time.monotonic()
        assert time.monotonic() - began < WAITS_S
        with pytest.raises(Lost):
            await until_ended(event_stream)
        with pytest.raises(ConnectionClosed) as closed:
            await until_ended(stream)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


async def test_a_client_that_leaves_without_reading(
    aws: Emulator, settings: Callable[..., Settings], world: World
) -> None:
    """It has said that it closes the WebSocket: the service shuts down all the same."""
    for _ in range(_MANY):
        running(world)
    leaving = Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True, extensions=[])
    made = settings(**REMEMBERS | {"history_interval_s": 0.2, "grpc": False})
    async with AsyncExitStack() as stack:
        async with server.running(made) as service:
            await known_to_be_running(service.url, _MANY)
            raw = stack.enter_context(unread_connection(service.url))
            client = await stack.enter_async_context(
                socket(service.url, max_queue=1, close_timeout=0.1, sock=raw)
            )
            await client.subscribe("1", large_subscription())
            await becomes(lambda: open_subscriptions(service.url), 1)
            client.connection.transport.write(leaving)
            await becomes(lambda: open_subscriptions(service.url), 0)
            began = time.monotonic()
        assert time.monotonic() - began < WAITS_S


async def until_ended(stream: Events | Messages) -> None:
    while True:
        assert await stream.next() is not None


async def test_trusted_documents(live: Live, world: World, tmp_path: Path) -> None:
    """Where only these are allowed, a subscription by its hash is, and its text is not."""
    key, path = running(world), tmp_path / "documents.json"
    hash_ = sha256(CHANGED.encode()).hexdigest()
    path.write_text(json.dumps({hash_: CHANGED}))
    service = await live(graphql_trusted_documents="only", graphql_trusted_documents_path=path)
    request = {"documentId": hash_, "variables": {"key": key}}
    async with socket(service.url) as client, calling(service.url) as gateway:
        await client.send({"type": "subscribe", "id": "1", "payload": request})
        assert (await Messages(client, "1").next())["execution"]["status"] == "IN_PROGRESS"
        async with gateway.open("POST", json.dumps(request).encode(), JSON | EVENTS) as response:
            assert (await Events(response).next())["execution"]["status"] == "IN_PROGRESS"
        await client.subscribe("2", CHANGED, key=key)
        while (message := await client.next())["id"] == "1":
            pass
        assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        assert (await gateway.post({"query": CHANGED, "variables": {"key": key}}, **EVENTS)).status == 403


async def test_pages_of_other_sites_may_not_subscribe(live: Live) -> None:
    """As for queries. A page of an allowed origin may, and may send the header with which it resumes."""
    service = await live(http_cors_origins="https://app.example.com")
    foreign = {"origin": "https://evil.example.com", "sec-fetch-site": "cross-site"}
    async with calling(service.url) as gateway:
        answer = await gateway.send("GET", "/graphql?query=subscription{x}", headers=EVENTS | foreign)
        assert answer.status == 403
        asked = {
            "origin": "https://app.example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "last-event-id,content-type",
        }
        assert (await gateway.send("OPTIONS", headers=asked)).status == 200


async def test_a_subscription_is_no_slow_request(live: Live, world: World) -> None:
    """Its request has ended once it has begun."""
    key = running(world)
    service = await live(slow_request_s=0.5)
    began_at = time.monotonic()
    with capture_logs() as logs:
        async with both(service.url, CHANGED, key=key) as streams:
            for stream in streams:
                await stream.next()
            # Longer than a slow request, and than beginning took, which may be slow on a busy machine.
            lasting_s = 0.6 + time.monotonic() - began_at
            await asyncio.sleep(lasting_s)  # as above
            async with calling(service.url) as gateway:
                metrics = (await gateway.send("GET", "/metrics")).body.decode()
            assert 'transfer_gateway_requests_in_flight{door="graphql"} 0.0' in metrics
            assert metrics.count('operation="executionChanged"') > 0
        await becomes(lambda: open_subscriptions(service.url), 0)
    slow = [line for line in logs if line["event"] == "slow_request"]
    assert not [line for line in slow if line["took_ms"] >= lasting_s * 1000]


async def test_a_subscription_is_audited(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Its begin, and its end, also if the client leaves; not each change."""
    key = running(world)
    history = {f"TRANSFER_GATEWAY_{name.upper()}": str(value) for name, value in REMEMBERS.items()}
    async with audited(accounts_file, **history) as service:
        async with both(service.gateway.url, CHANGED, key=key) as streams:
            for stream in streams:
                await stream.next()
        await becomes(lambda: open_subscriptions(service.gateway.url), 0)
    outcomes = sorted(
        line.outcome
        for lines in service.lines.values()
        for line in lines
        if line.operation == "watch_execution" and line.source is None
    )
    assert outcomes == ["BEGAN", "BEGAN", "CANCELLED", "CANCELLED"]
