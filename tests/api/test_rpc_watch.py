"""Watches over gRPC: each change once, how they end, and that nothing is left of them.

Another replica, the test, writes what happens to the history.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest

from doors import rpc, told
from history_events import START, a_run, new_key
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import server
from transfer_gateway.history.store import open_store
from wire import GUARDED, PLAIN, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from transfer_emulator import Emulator
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.settings import Settings


class Watched(NamedTuple):
    """A service, a client of it, and its history."""

    service: server.Service
    stub: ExecutionServiceAsyncStub
    store: HistoryStore


@asynccontextmanager
async def watched(
    settings: Callable[..., Settings], path: Path, token: str | None = None, **overrides: object
) -> AsyncIterator[Watched]:
    url = f"sqlite:///{path / 'history.db'}"
    async with (
        server.running(settings(history_url=url, **overrides)) as service,
        rpc(service, token) as stub,
        open_store(url) as store,
    ):
        yield Watched(service, stub, store)


@pytest.fixture
async def it(aws: Emulator, settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(settings, tmp_path) as it:
        yield it


def request_for(key: ExecutionKey, after: str | None = None) -> pb.WatchExecutionRequest:
    message = execution_pb2.ExecutionKey(
        account_id=key.account_id,
        region=key.region,
        workflow_id=key.workflow_id,
        execution_id=key.execution_id,
    )
    return pb.WatchExecutionRequest(key=message, after=after)


async def next_change(call: Any) -> execution_pb2.ExecutionChange:
    response = await asyncio.wait_for(call.read(), 60)
    assert response is not grpc.aio.EOF
    change: execution_pb2.ExecutionChange = response.change
    return change


async def changes_to_the_end(call: Any) -> list[execution_pb2.ExecutionChange]:
    found = []
    async with asyncio.timeout(60):
        while (response := await call.read()) is not grpc.aio.EOF:
            found.append(response.change)
    return found


def new_run(account_id: str = PLAIN) -> list[ExecutionEvent]:
    """The events of an execution that starts now."""
    return a_run(new_key(account_id), start_ms=int((time.time() - START.timestamp()) * 1000))


def ids(changes: list[execution_pb2.ExecutionChange]) -> list[str]:
    return [each.id for change in changes for each in change.events]


def ids_of(events: list[ExecutionEvent]) -> list[str]:
    return [each.id for each in events]


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """How a watch fails, once it has sent what it has."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await changes_to_the_end(call)
    return failed.value


async def metrics(service: server.Service) -> dict[str, float]:
    async with calling(service.url) as gateway:
        text = (await gateway.send("GET", "/metrics")).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def metric(service: server.Service, name: str) -> float:
    return (await metrics(service))[f"transfer_gateway_{name}"]


async def none_left(service: server.Service) -> None:
    async with asyncio.timeout(60):
        while await metric(service, "live_subscribers"):
            await asyncio.sleep(0.02)  # between two looks at the metrics


async def test_an_execution_to_its_end(it: Watched) -> None:
    """What is known first, then each change, once, until it has ended."""
    run = new_run()
    await it.store.append(run[:3])
    call = it.stub.WatchExecution(request_for(run[0].key))
    first = await next_change(call)
    await it.store.append(run[3:])
    rest = await changes_to_the_end(call)
    assert ids([first]) == ids_of(run[:3])
    assert ids([first, *rest]) == ids_of(run)
    assert [first.execution.status, rest[-1].execution.status] == [
        execution_pb2.EXECUTION_STATUS_IN_PROGRESS,
        execution_pb2.EXECUTION_STATUS_COMPLETED,
    ]
    assert await call.code() is grpc.StatusCode.OK
    await none_left(it.service)


async def test_all_that_match(it: Watched) -> None:
    """First what is in progress, then what changes, also of executions that start."""
    running, starting, other = new_run(), new_run(), new_run(GUARDED)
    await it.store.append(running[:2])
    call = it.stub.WatchExecutions(pb.WatchExecutionsRequest(filter=pb.SearchFilter(account_ids=[PLAIN])))
    first = await next_change(call)
    assert (first.execution.execution_id, list(first.events)) == (running[0].key.execution_id, [])
    await it.store.append([*starting[:1], *other])
    await it.store.append(running[2:])
    changes = []
    while len(ids(changes)) < 7:
        changes.append(await next_change(call))
    assert ids(changes) == ids_of([*starting[:1], *running[2:]])


@pytest.mark.parametrize("one", [True, False], ids=["one", "all"])
async def test_resuming(it: Watched, one: bool) -> None:  # noqa: FBT001  a parameter
    """After any cursor, on a new connection, comes what follows it, once."""
    run = new_run()
    await it.store.append(run[:1])

    def watch(stub: ExecutionServiceAsyncStub, after: str | None = None) -> Any:
        if one:
            return stub.WatchExecution(request_for(run[0].key, after))
        return stub.WatchExecutions(pb.WatchExecutionsRequest(after=after))

    call = watch(it.stub)
    change = await next_change(call)
    call.cancel()
    received = ids([change]) or ids_of(run[:1])
    while len(received) < len(run):
        await it.store.append(run[len(received) : len(received) + 3])
        async with rpc(it.service) as stub:
            call = watch(stub, change.cursor)
            change = await next_change(call)
        received += ids([change])
    assert received == ids_of(run)


async def test_bad_requests(it: Watched) -> None:
    """The status names the field as the request does; `after` is no page token."""
    run = new_run()
    await it.store.append(run)
    for call, field in (
        (it.stub.WatchExecution(request_for(run[0].key, "x")), "after"),
        (it.stub.WatchExecution(pb.WatchExecutionRequest()), "key"),
        (it.stub.WatchExecutions(pb.WatchExecutionsRequest(after="x")), "after"),
        (
            it.stub.WatchExecutions(pb.WatchExecutionsRequest(filter=pb.SearchFilter(account_ids=["1"]))),
            "filter.account_ids[0]",
        ),
        (
            it.stub.WatchExecutions(pb.WatchExecutionsRequest(filter=pb.SearchFilter(running=True))),
            "filter.running",
        ),
    ):
        found = told(await failure(call))
        assert (found["code"], found["field"]) == ("BAD_USER_INPUT", field)
        assert found["message"].startswith(field)


async def test_without_a_history(service: server.Service) -> None:
    async with rpc(service) as stub:
        for call in (
            stub.WatchExecution(request_for(new_key())),
            stub.WatchExecutions(pb.WatchExecutionsRequest()),
        ):
            failed = await failure(call)
            assert told(failed)["code"] == "HISTORY_OFF"
