"""Third-party clients that subscribe: each event once and in order, also when they are cut off.

Run by `.ci/run clients`, which installs them.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from history_events import new_run
from node import NODE
from recorded_gateway import Recorded, own_ids
from wire import to_input

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Sequence

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("typescript")]

BUILT = NODE / "typescript/built"
WS, SSE = ("subscribe_ws.js",), ("subscribe_sse.js",)
URQL_WS, URQL_SSE = ("subscribe_urql.js", "ws"), ("subscribe_urql.js", "sse")
APOLLO = ("subscribe_apollo.js",)
CLIENTS = [
    pytest.param(WS, id="graphql-ws"),
    pytest.param(SSE, id="graphql-sse"),
    pytest.param(URQL_WS, id="urql-graphql-ws"),
    pytest.param(URQL_SSE, id="urql-graphql-sse"),
    pytest.param(APOLLO, id="apollo-graphql-ws"),
]


class Printed:
    """A client's output: a line for each change, and one for the end."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def next(self) -> Any:
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            line = await self._process.stdout.readline()
        assert line, "it ended early"
        return json.loads(line)

    async def events(self, count: int) -> list[str]:
        """The ids of so many more events."""
        found: list[str] = []
        while len(found) < count:
            found += own_ids((await self.next())["events"])
        return found


@asynccontextmanager
async def subscribed(recorded: Recorded, client: Sequence[str], **variables: Any) -> AsyncIterator[Printed]:
    script, *more = client
    arguments = (recorded.url, json.dumps(variables), *more)
    process = await asyncio.create_subprocess_exec(
        "node", BUILT / script, *arguments, stdin=DEVNULL, stdout=PIPE
    )
    try:
        yield Printed(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("client", CLIENTS)
async def test_one_execution_to_its_end(recorded: Recorded, client: Sequence[str]) -> None:
    """First what is known, then each change, and the end when the execution has ended."""
    run = new_run()
    await recorded.store.append(run[:3])
    async with subscribed(recorded, client, key=to_input(run[0].key)) as printed:
        first = await printed.next()
        assert (first["status"], len(first["events"])) == ("IN_PROGRESS", 3)
        await recorded.store.append(run[3:])
        told = own_ids(first["events"]) + await printed.events(len(run) - 3)
        assert told == [event.event_id for event in run]
        assert await printed.next() == {"codes": []}


@pytest.mark.parametrize("client", CLIENTS)
async def test_goes_on_where_it_was_cut_off(recorded: Recorded, client: Sequence[str]) -> None:
    """Its connection is cut, and the gateway is replaced: it comes back by itself, and misses and repeats nothing."""
    run, later = new_run(), new_run(first_id=100)
    await recorded.store.append(run[:2])
    async with subscribed(recorded, client, filter={"statuses": None}) as printed:
        assert (await printed.next())["events"] == []  # it was in progress
        await recorded.store.append(run[2:4])
        told = await printed.events(2)
        recorded.gateway.cut()
        await recorded.store.append(run[4:5])
        told += await printed.events(1)
        await recorded.gateway.stop()
        await recorded.store.append(run[5:7] + later[:1])
        await recorded.gateway.start()
        told += await printed.events(3)
        await recorded.store.append(run[7:])
        told += await printed.events(1)
    expected = [event.event_id for event in (*run[2:7], later[0], run[7])]
    assert sorted(told) == sorted(expected)
    of_run = {event.event_id for event in run}
    assert [each for each in told if each in of_run] == [event.event_id for event in run[2:]]


@pytest.mark.parametrize("client", CLIENTS)
async def test_an_error_is_seen(recorded: Recorded, client: Sequence[str]) -> None:
    """The application sees its code, and nothing is tried again."""
    async with subscribed(recorded, client, filter={}, after="nonsense") as printed:
        assert await printed.next() == {"codes": ["BAD_USER_INPUT"]}
    assert recorded.gateway.http.connections == 1


async def test_react(recorded: Recorded) -> None:
    """The hook of docs/graphql.md has each event once, although its connection is cut."""
    run = new_run()
    await recorded.store.append(run[:1])
    async with subscribed(recorded, ("subscribe_react.js",), filter={}) as printed:
        while not (await printed.next())["executions"]:
            pass  # subscribed
        await recorded.store.append(run[1:4])
        while len((await printed.next())["events"]) < 3:
            pass
        recorded.gateway.cut()
        await recorded.store.append(run[4:])
        while len((shown := await printed.next())["events"]) < len(run) - 1:
            pass
    assert own_ids(shown["events"]) == [event.event_id for event in run[1:]]
