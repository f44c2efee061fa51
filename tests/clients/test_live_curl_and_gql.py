"""curl and Python's `gql` subscribe: each event once and in order, also when they are cut off."""

from __future__ import annotations

import asyncio
import json
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from history_events import new_run
from recorded_gateway import Recorded, own_ids
from wire import to_input

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_FIELDS = "{ cursor execution { id status } events { id } }"
ONE = (
    "subscription ($key: ExecutionKey!, $after: String) "
    f"{{ executionChanged(key: $key, after: $after) {_FIELDS} }}"
)
ALL = f"subscription ($after: String) {{ executionsChanged(after: $after) {_FIELDS} }}"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


class Received:
    """What curl prints of an event stream."""

    def __init__(self, stdout: asyncio.StreamReader) -> None:
        self._stdout = stdout
        self.last_id = ""

    async def next(self) -> Any:
        """The next change; None: the stream is complete."""
        async with asyncio.timeout(60):
            async for line in self._stdout:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "data":
                    (change,) = json.loads(value)["data"].values()
                    return change
                elif (name, value) == ("event", "complete"):
                    return None
        raise AssertionError("it ended early")


@asynccontextmanager
async def curl(*arguments: str) -> AsyncIterator[Received]:
    process = await asyncio.create_subprocess_exec(
        "curl",
        *("--silent", "--no-buffer", "--header", "accept: text/event-stream", *arguments),
        stdin=DEVNULL,
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        yield Received(process.stdout)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@needs_curl
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_curl(recorded: Recorded, method: str) -> None:
    """By GET and by POST. With the last id as `Last-Event-ID`, another curl goes on to the end."""
    run = new_run()
    await recorded.store.append(run[:3])
    variables = {"key": to_input(run[0].key)}
    if method == "GET":
        asked = [f"{recorded.url}?{urlencode({'query': ONE, 'variables': json.dumps(variables)})}"]
    else:
        body = json.dumps({"query": ONE, "variables": variables})
        asked = [recorded.url, "--header", "content-type: application/json", "--data", body]
    async with curl(*asked) as received:
        told = own_ids([event["id"] for event in (await received.next())["events"]])
    await recorded.store.append(run[3:5])
    async with curl(*asked, "--header", f"last-event-id: {received.last_id}") as received:
        told += own_ids([event["id"] for event in (await received.next())["events"]])
        await recorded.store.append(run[5:])
        while (change := await received.next()) is not None:
            told += own_ids([event["id"] for event in change["events"]])
    assert told == [event.event_id for event in run]


async def changes(recorded: Recorded, query: str, **variables: Any) -> AsyncGenerator[Any]:
    """With `gql`: comes back with the last cursor when it is cut off."""
    while True:
        transport = WebsocketsTransport(recorded.url.replace("http", "ws", 1))
        request = GraphQLRequest(query, variable_values=variables)
        with suppress(TransportConnectionFailed, OSError):
            async with Client(transport=transport) as session:
                async for result in session.subscribe(request):
                    (change,) = result.values()
                    variables["after"] = change["cursor"]
                    yield change
                return
        await asyncio.sleep(0.05)  # until it comes back


async def test_gql(recorded: Recorded) -> None:
    """To the end of an execution, while its connection is cut and the gateway is replaced."""
    run = new_run()
    await recorded.store.append(run[:2])
    told: list[str] = []
    async with aclosing(changes(recorded, ONE, key=to_input(run[0].key))) as following, asyncio.timeout(60):
        async for change in following:
            told += own_ids([event["id"] for event in change["events"]])
            match len(told):
                case 2:
                    await recorded.store.append(run[2:4])
                case 4:
                    recorded.gateway.cut()
                    await recorded.store.append(run[4:6])
                case 6:
                    await recorded.gateway.stop()
                    await recorded.store.append(run[6:])
                    await recorded.gateway.start()
    assert told == [event.event_id for event in run]


async def test_gql_sees_an_error(recorded: Recorded) -> None:
    with pytest.raises(TransportQueryError) as refused:
        await anext(changes(recorded, ALL, after="nonsense"))
    assert refused.value.errors is not None
    assert refused.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
