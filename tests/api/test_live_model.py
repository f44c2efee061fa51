"""Whatever is cut off, wherever, each subscriber is told every event once, and in the order of the history.

Connections are cut off at random bytes, gateways are replaced by others on the same database, and some readers are
slow. Each subscriber keeps the last cursor that it has received completely, and comes back with it. The same with
policies that change, and on both databases: tests/history/test_live_model.py.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import grpc
import pytest
from websockets.exceptions import WebSocketException

from history_events import events_in_order, new_run
from proxy import ProxiedGateway
from streams import Lost, events, messages
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway import server
from transfer_gateway.history.store import open_store
from wire import calling, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from streams import Stream
    from transfer_emulator import Emulator
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.early
_FIELDS = "{ cursor execution { id } events { id } }"
ONE = (
    "subscription ($key: ExecutionKey!, $after: String) "
    f"{{ executionChanged(key: $key, after: $after) {_FIELDS} }}"
)
ALL = f"subscription ($after: String) {{ executionsChanged(after: $after) {_FIELDS} }}"
TRANSPORTS = ("events", "websocket", "grpc")
_EXECUTIONS, _RESTARTS = 12, 3


class Change(NamedTuple):
    """As all transports tell it; the ids are global ones."""

    cursor: str
    execution: str
    events: list[str]


class Responses:
    """A gRPC stream, as the other transports."""

    def __init__(self, call: Any) -> None:
        self._responses = aiter(call)

    async def next(self) -> Any:
        try:
            change = (await anext(self._responses)).change
        except StopAsyncIteration:
            return None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            raise Lost from error
        return {
            "cursor": change.cursor,
            "execution": {"id": change.execution.id},
            "events": [{"id": event.id} for event in change.events],
        }


class Subscriber:
    """Comes back with its last cursor whenever it is cut off. `told`: the ids of events, by execution."""

    def __init__(
        self,
        gateway: ProxiedGateway,
        transport: str,
        key: ExecutionKey | None = None,
        *,
        after: str | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.gateway, self.transport, self.key = gateway, transport, key
        self.after, self.pause_s = after, pause_s
        self.told: defaultdict[str, list[str]] = defaultdict(list)
        self.has_ended, self.connections = False, 0

    async def run(self) -> None:
        while not self.has_ended:
            with suppress(Lost, OSError, EOFError, aiohttp.ClientError, WebSocketException):
                async with aclosing(self._changes()) as changes:
                    async for change in changes:
                        self.told[change.execution] += change.events
                        self.after = change.cursor
                        await asyncio.sleep(self.pause_s)  # it is slow
                self.has_ended = True
            self.connections += 1
            await asyncio.sleep(0.02)  # until it comes back

    async def _changes(self) -> AsyncGenerator[Change]:
        """Those of one connection."""
        variables: dict[str, Any] = {"after": self.after}
        if self.key is not None:
            variables["key"] = to_input(self.key)
        async with AsyncExitStack() as stack:
            match self.transport:
                case "events":
                    client = await stack.enter_async_context(calling(self.gateway.url))
                    opened: AbstractAsyncContextManager[Stream] = events(client, self._query, **variables)
                case "websocket":
                    opened = messages(self.gateway.url, self._query, **variables)
                case _:
                    opened = self._call()
            stream = await stack.enter_async_context(opened)
            while (change := await stream.next()) is not None:
                ids = [event["id"] for event in change["events"]]
                yield Change(change["cursor"], change["execution"]["id"], ids)

    @property
    def _query(self) -> str:
        return ALL if self.key is None else ONE

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Stream]:
        local = [
            ("grpc.use_local_subchannel_pool", 1)
        ]  # others would share its pauses between attempts to connect
        async with grpc.aio.insecure_channel(self.gateway.grpc.address, options=local) as channel:
            yield Responses(self._responses(ExecutionServiceStub(channel)))

    def _responses(self, stub: Any) -> Any:
        if self.key is None:
            return stub.WatchExecutions(pb.WatchExecutionsRequest(after=self.after))
        key = execution_pb2.ExecutionKey(
            account_id=self.key.account_id,
            region=self.key.region,
            workflow_id=self.key.workflow_id,
            execution_id=self.key.execution_id,
        )
        return stub.WatchExecution(pb.WatchExecutionRequest(key=key, after=self.after))


class Scenario:
    """Executions whose events are recorded one after the other, and those who watch them."""

    def __init__(self, gateway: ProxiedGateway, store: HistoryStore, random: Random) -> None:
        self.gateway, self.store, self.random = gateway, store, random
        self.runs = [new_run(first_id=number * 100) for number in range(_EXECUTIONS)]
        self.left = [list(run) for run in self.runs]
        self.everything: list[Subscriber] = []
        self.single: list[Subscriber] = []

    async def play(self) -> None:
        after = await self._a_cursor()
        async with asyncio.TaskGroup() as tasks:
            watching = []

            def watch(subscriber: Subscriber) -> Subscriber:
                watching.append(tasks.create_task(subscriber.run()))
                return subscriber

            for transport in TRANSPORTS:
                for pause_s in (0.0, 0.05):
                    subscriber = Subscriber(self.gateway, transport, after=after, pause_s=pause_s)
                    self.everything.append(watch(subscriber))
            for number, run in enumerate(self.runs):
                await self._record_some()
                if len(self.left[number]) == len(run):
                    await self._record(number)
                if number % (_EXECUTIONS // _RESTARTS) == 0:
                    await self.gateway.stop()
                    await self._record_some()
                    await self.gateway.start()
                transport = TRANSPORTS[number % len(TRANSPORTS)]
                pause_s = self.random.choice([0.0, 0.05])
                self.single.append(watch(Subscriber(self.gateway, transport, run[0].key, pause_s=pause_s)))
                await asyncio.sleep(self.random.uniform(0, 0.3))  # between what is recorded
            while any(self.left):
                await self._record_some()
            await until(self._all_is_told)
            for task in watching:
                task.cancel()

    async def _a_cursor(self) -> str:
        """After all that is recorded: those who are cut off before the first change would begin anew without it."""
        ended = new_run(first_id=10_000)
        await self.store.append(ended)
        first = Subscriber(self.gateway, "events", ended[0].key)
        await first.run()
        assert first.after is not None
        return first.after

    async def _record_some(self) -> None:
        for number in self.random.sample(range(_EXECUTIONS), 4):
            await self._record(number)

    async def _record(self, number: int) -> None:
        """The next events of an execution, if any."""
        count = self.random.randint(1, 3)
        if some := self.left[number][:count]:
            del self.left[number][:count]
            await self.store.append(some)

    def _all_is_told(self) -> bool:
        count = sum(map(len, self.runs))
        return all(each.has_ended for each in self.single) and all(
            sum(map(len, each.told.values())) >= count for each in self.everything
        )


@pytest.mark.thorough
async def test_everything_once_and_in_order(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    random, cutting = Random(1), Random(1)  # noqa: S311  they draw lots
    url = f"sqlite:///{tmp_path / 'history.db'}"
    made = settings(history_url=url, grpc=True)
    async with (
        ProxiedGateway(lambda: server.running(made), lambda: cutting.randint(1, 8_000)) as gateway,
        open_store(url) as store,
    ):
        scenario = Scenario(gateway, store, random)
        await scenario.play()
        stored = {
            str(run[0].key): [event.id for event in await events_in_order(store, run[0].key)]
            for run in scenario.runs
        }
    assert [len(events) for events in stored.values()] == [len(run) for run in scenario.runs]
    for each in scenario.everything:
        assert each.told == stored
        assert each.connections > _RESTARTS
    for each in scenario.single:
        assert each.key is not None
        assert each.told == {str(each.key): stored[str(each.key)]}
