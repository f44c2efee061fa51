"""Operations over WebSocket: the rules and errors of HTTP, with graphql-transport-ws only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import QUERY, TRANSPORT_WS, Gateway, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings


async def test_answers_are_those_of_http(gateway: Gateway, world: World) -> None:
    """Data, partial data with errors, and failed requests have the same form and codes as over HTTP."""
    key = to_input(place(world))
    missing = key | {"executionId": "00000000-0000-4000-8000-000000000000"}
    single = "query($key: ExecutionKey!) { execution(key: $key, maxAge: 60) { id observedAt } }"
    async with socket(gateway.url) as client:
        for query, variables in (
            (single, {"key": key}),
            (single, {"key": missing}),
            (single, {"key": key | {"region": "Ireland"}}),
            ("{ nonsense }", {}),
            ("{", {}),
            ("{ a b " + "x: __typename " * 51 + "}", {}),
        ):
            expected = await gateway.ask(query, **variables)
            await client.subscribe("1", query, **variables)
            answer = await client.next()
            if "data" in expected:
                assert answer["type"] == "next"
                assert answer["payload"]["data"] == expected["data"]
                assert await client.next() == {"id": "1", "type": "complete"}
                given = answer["payload"].get("errors", [])
            else:
                assert answer["type"] == "error"
                given = answer["payload"]
            for error in (*given, *expected.get("errors", ())):
                error["extensions"].pop("awsRequestId", None)
            assert given == expected.get("errors", [])


async def test_operations_do_not_wait_for_each_other(gateway: Gateway, world: World, aws: Emulator) -> None:
    """Results are sent as they become available; an operation that the client completes ends, with its AWS call."""
    slow = to_input(place(world))
    async with socket(gateway.url) as client:
        aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
        await client.subscribe("slow", QUERY, key=slow, maxAge=0)
        await client.subscribe("quick", "{ accounts { id } }")
        assert (await client.next())["id"] == "quick"
        assert (await client.next()) == {"id": "quick", "type": "complete"}
        await client.send({"type": "complete", "id": "slow"})
        await client.send({"type": "ping"})
        assert await client.next() == {"type": "pong"}


@pytest.mark.parametrize("message", [{"payload": None}, {"payload": {}}, {"id": None}, {"more": 1}])
async def test_optional_members(service: server.Service, message: dict[str, Any]) -> None:
    """A payload that is null is as if absent, where the protocol has it as optional."""
    async with socket(service.url, init=False) as client:
        await client.send({"type": "connection_init"} | message)
        assert await client.next() == {"type": "connection_ack"}
        await client.send({"type": "pong"} | message)
        await client.send({"type": "ping"} | message)
        assert await client.next() == {"type": "pong"}


TYPES = "`type` must be one of connection_init, ping, pong, subscribe, complete"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        pytest.param([], "A message must be a JSON object", id="no-object"),
        pytest.param({}, TYPES, id="no-type"),
        pytest.param({"type": None}, TYPES, id="null"),
        pytest.param({"type": ["ping"]}, TYPES, id="list"),
        pytest.param({"type": "x" * 5000}, TYPES, id="unknown-type"),
        pytest.param({"type": "subscribe", "payload": {}}, "`id` must be a string", id="no-id"),
        pytest.param({"type": "complete"}, "`id` must be a string", id="complete-without-id"),
        pytest.param({"type": "subscribe", "id": "1"}, "`payload` must be an object", id="no-payload"),
        pytest.param(
            {"type": "subscribe", "id": "1", "payload": None}, "`payload` must be", id="null-payload"
        ),
        pytest.param(
            {"type": "ping", "payload": True}, "`payload` must be an object", id="payload-of-a-ping"
        ),
    ],
)
async def test_reasons_of_a_close(service: server.Service, message: Any, says: str) -> None:
    """The close says which rule the message broke, without its value."""
    async with socket(service.url) as client:
        await client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await client.next()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason.startswith(says)) == (4400, True)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param("nonsense", 4400, id="not-json"),
        pytest.param("[]", 4400, id="no-object"),
        pytest.param({}, 4400, id="no-type"),
        pytest.param({"type": "start"}, 4400, id="unknown-type"),
        pytest.param({"type": "subscribe", "id": "1", "payload": []}, 4400, id="payload"),
        pytest.param({"type": "subscribe", "id": {}, "payload": {}}, 4400, id="id"),
        pytest.param({"type": "subscribe", "payload": {}}, 4400, id="no-id"),
        pytest.param({"type": "subscribe", "id": "1" * 257, "payload": {}}, 4400, id="long-id"),
        pytest.param({"type": "connection_init"}, 4429, id="second-init"),
        pytest.param(b"{}", 4400, id="bytes"),
        pytest.param("[" * 2_000_000, 1009, id="too-large"),
    ],
)
async def test_malformed_messages(service: server.Service, message: Any, code: int) -> None:
    """A client that violates the protocol is disconnected with a close code, and the service continues."""
    async with socket(service.url) as client:
        await client.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            await client.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    async with socket(service.url):
        pass


async def test_before_the_beginning(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A connection that is not initialised runs nothing, and is closed."""
    for timeout_s, code in ((100, "4401"), (0.2, "4408")):
        async with (
            server.running(settings(request_timeout_s=timeout_s)) as service,
            socket(service.url, init=False) as client,
        ):
            if code == "4401":
                await client.subscribe("1", "{ accounts { id } }")
            with pytest.raises(ConnectionClosed, match=code):
                await client.next()


async def test_who_may_connect(service: server.Service) -> None:
    """The old protocol, pages of other origins, and non-loopback names are rejected."""
    async with socket(service.url, "graphql-ws", init=False) as client:
        with pytest.raises(ConnectionClosed, match="4406"):
            await client.next()
    address = urlsplit(service.url)
    for url, options in (
        (service.url, {"origin": Origin("https://evil.example")}),
        ("http://evil.example", {"host": address.hostname, "port": address.port}),
    ):
        with pytest.raises(InvalidStatus, match="403"):
            async with socket(url, **options):
                pass


async def test_the_end_of_the_service(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Shutdown closes open connections and does not wait for them."""
    async with server.running(settings(shutdown_grace_s=5)) as service:
        stays = connect(
            service.url.replace("http", "ws", 1) + "/graphql", subprotocols=[Subprotocol(TRANSPORT_WS)]
        )
        connection = await stays
    with pytest.raises(ConnectionClosed, match="1012"):
        await connection.recv()
