"""Watches over gRPC: each change once, how they end, and that nothing is left of them.

Another replica, the test, writes what happens to the history.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest

from callers import CALLERS, KEY, POLICY
from doors import rpc, told
from history_events import new_key, new_run
from issuer import AUDIENCE, LocalIssuer, Time
from raw_http2 import DEFAULT_WINDOW, calls_open, hostile
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway import server
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import parse_policy
from wire import GUARDED, PLAIN, becomes, calling, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from transfer_emulator import Emulator
    from transfer_gateway.domain.event import ExecutionEvent
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.history.store import HistoryStore
    from transfer_gateway.settings import Settings

LEEWAY_S = 30  # the default
SERVICE = "/transfer_api.v1.ExecutionService"


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


async def until_history_answers(stub: ExecutionServiceAsyncStub, key: ExecutionKey) -> None:
    """It connects to its database at the first question, which may take longer than a short request."""
    request = pb.ListExecutionEventsRequest(key=request_for(key).key)
    async with asyncio.timeout(60):
        while True:
            try:
                await stub.ListExecutionEvents(request)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.1)  # between two questions
            else:
                return


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
    changes: list[execution_pb2.ExecutionChange] = []
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


async def begun(call: Any) -> Any:
    """The watch has begun: its headers say so."""
    async with asyncio.timeout(60):
        await call.initial_metadata()
    return call


def watch_all(stub: ExecutionServiceAsyncStub, **options: Any) -> Any:
    return stub.WatchExecutions(pb.WatchExecutionsRequest(), **options)


async def test_watches_are_no_requests_in_progress(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """They hold no place of others, last longer than a request may, and count as requests only until they begin."""
    async with watched(settings, tmp_path, grpc_max_concurrent_rpcs=1, request_timeout_s=1.5) as it:
        await until_history_answers(it.stub, new_key(PLAIN))
        calls = [await begun(watch_all(it.stub)) for _ in range(3)]
        await becomes(lambda: metric(it.service, "live_subscribers"), 3)  # each a moment after it has begun
        found = await metrics(it.service)
        labels = '{code="OK",door="grpc",operation="WatchExecutions"}'
        assert found['transfer_gateway_requests_in_flight{door="grpc"}'] == 0
        assert found[f"transfer_gateway_request_duration_seconds_count{labels}"] == 3
        await it.stub.GetViewer(pb.GetViewerRequest())
        await asyncio.sleep(2.7)  # when a request's status would have been due
        run = new_run()
        await it.store.append(run)
        assert [ids([await next_change(call)]) for call in calls] == [ids_of(run)] * 3
        for call in calls:
            call.cancel()
        await none_left(it.service)
        await until(lambda: calls_open() == 0)
        found = await metrics(it.service)
        assert found[f"transfer_gateway_request_duration_seconds_count{labels}"] == 3


async def test_the_clients_deadline_ends_it(it: Watched) -> None:
    call = watch_all(it.stub, timeout=0.5)
    failed = await failure(call)
    assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await none_left(it.service)


async def test_too_many(aws: Emulator, settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Of all callers; a watch that ends makes room."""
    async with watched(settings, tmp_path, live_max_subscriptions=2) as (service, stub, _):
        first, _ = [await begun(watch_all(stub)) for _ in range(2)]
        failed = await failure(watch_all(stub))
        assert (failed.code(), told(failed)["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "THROTTLED")
        first.cancel()
        async with asyncio.timeout(60):
            while await metric(service, "live_subscribers") == 2:
                await asyncio.sleep(0.02)  # between two looks at the metrics
        await begun(watch_all(stub))


@asynccontextmanager
async def guarded(
    settings: Callable[..., Settings], path: Path, expires_in_s: float = 3600, **overrides: object
) -> AsyncIterator[Watched]:
    """With a caller who sees all accounts."""
    policy_file = path / "policy.yaml"
    policy_file.write_text(POLICY)
    async with LocalIssuer(Time(), KEY) as issuer:
        token = issuer.token(exp=int(time.time() - LEEWAY_S + expires_in_s), **CALLERS["operator"])
        async with watched(
            settings,
            path,
            token,
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy_file,
            **overrides,
        ) as it:
            yield it


async def test_too_many_of_one_caller(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async with guarded(
        settings, tmp_path, caller_max_subscriptions=1, caller_max_concurrent_requests=1
    ) as it:
        await begun(watch_all(it.stub))
        await it.stub.GetViewer(pb.GetViewerRequest())
        failed = await failure(watch_all(it.stub))
        assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_token_that_expires(aws: Emulator, settings: Callable[..., Settings], tmp_path: Path) -> None:
    """The watch ends within seconds."""
    async with guarded(settings, tmp_path, expires_in_s=2) as it:
        call = await begun(watch_all(it.stub))
        at = time.monotonic()
        failed = await failure(call)
        assert time.monotonic() - at < 2 + 5
        assert (failed.code(), told(failed)["code"]) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
        assert await metric(it.service, 'failures_total{code="UNAUTHENTICATED",door="grpc"}') == 1
        await none_left(it.service)


async def test_rights_that_change(aws: Emulator, settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Within seconds one watch ends, and the other goes on with what may still be seen."""
    lost, kept = new_run(GUARDED), new_run()
    async with guarded(settings, tmp_path, accounts_reload_s=3600) as it:
        await it.store.append([*lost[:1], *kept[:1]])
        one = await begun(it.stub.WatchExecution(request_for(lost[0].key)))
        both = await begun(it.stub.WatchExecutions(pb.WatchExecutionsRequest()))
        await next_change(both)
        rules = POLICY.replace("all: true", f'ids: ["{PLAIN}"]')
        it.service.admission.policy = parse_policy(rules.encode(), name="policy.yaml")
        failed = await failure(one)
        assert told(failed)["code"] == "ACCOUNT_NOT_AVAILABLE"
        await it.store.append([*lost[1:], *kept[1:]])
        received = ids([await next_change(both)])
        while len(received) < len(kept) - 1:
            received += ids([await next_change(both)])
        assert received == ids_of(kept[1:])


@pytest.mark.parametrize(
    ("count", "until"),
    [
        pytest.param(2, asyncio.ALL_COMPLETED, id="begun"),
        pytest.param(60, asyncio.FIRST_COMPLETED, id="beginning"),
    ],
)
async def test_the_end_of_the_service(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path, count: int, until: str
) -> None:
    """Watches end at once, long before the grace, and say how to go on; also those that are just beginning."""
    url = f"sqlite:///{tmp_path / 'history.db'}"
    running = server.running(settings(history_url=url, shutdown_grace_s=60))
    service = await running.__aenter__()
    async with rpc(service) as stub:
        calls = [watch_all(stub) for _ in range(count)]
        beginning = [asyncio.create_task(begun(call)) for call in calls]
        await asyncio.wait(beginning, return_when=until)
        async with asyncio.timeout(10):
            await running.__aexit__(None, None, None)
        for call in calls:
            failed = await failure(call)
            assert failed.code() is grpc.StatusCode.UNAVAILABLE
            assert "shutting down" in told(failed)["message"]
            assert "cursor" in told(failed)["message"]
        await asyncio.wait(beginning)
    assert calls_open() == 0


async def other_work() -> None:
    while True:
        time.sleep(0.05)  # noqa: ASYNC251  keeps the loop from everything else
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_busy", [False, pytest.param(True, marks=pytest.mark.thorough)])
async def test_calls_that_have_just_arrived_at_the_end(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path, *, is_busy: bool
) -> None:
    """Over connections that are new, too: none gets CANCELLED, which clients don't retry."""
    running = server.running(settings(history_url=f"sqlite:///{tmp_path / 'history.db'}"))
    service = await running.__aenter__()
    local = [("grpc.use_local_subchannel_pool", 1)]  # else they would share one connection
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(service.grpc, options=local))
            for _ in range(5)
        ]
        calls = [watch_all(ExecutionServiceStub(channel)) for channel in channels for _ in range(12)]
        endings = [asyncio.create_task(failure(call)) for call in calls]
        await asyncio.sleep(0.005)  # they are on their way
        working = asyncio.create_task(other_work()) if is_busy else None
        await running.__aexit__(None, None, None)
        if working is not None:
            working.cancel()
        codes = {(await ending).code() for ending in endings}
    assert codes == {grpc.StatusCode.UNAVAILABLE}


async def test_the_age_of_a_connection(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """A watch ends with a status before its connection is too old, and goes on after its cursor."""
    run = new_run()
    async with watched(settings, tmp_path, grpc_max_connection_age_s=1, request_timeout_s=0.5) as it:
        await it.store.append(run[:1])
        await until_history_answers(it.stub, run[0].key)
        call = it.stub.WatchExecution(request_for(run[0].key))
        cursor = (await next_change(call)).cursor
        failed = await failure(call)
        assert failed.code() is grpc.StatusCode.UNAVAILABLE
        assert "Subscribe again with the cursor" in told(failed)["message"]
        await it.store.append(run[1:])
        call = it.stub.WatchExecution(request_for(run[0].key, cursor))
        assert ids(await changes_to_the_end(call)) == ids_of(run[1:])


async def test_clients_that_do_not_read(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Their watches are ended after the request's time, and nothing is left of them; others go on."""
    run = new_run()
    async with (
        watched(settings, tmp_path, request_timeout_s=1.0) as (service, stub, store),
        hostile(service) as client,
    ):
        await store.append(run[:1])
        await until_history_answers(stub, run[0].key)
        streams = {client.call(f"{SERVICE}/WatchExecutions") for _ in range(3)}
        reading = await begun(stub.WatchExecution(request_for(run[0].key)))
        await until(lambda: calls_open() == 4)
        await until(lambda: calls_open() == 1)
        await store.append(run[1:])
        assert ids(await changes_to_the_end(reading)) == ids_of(run)
        assert not client.answered & streams
        await none_left(service)


async def test_connections_that_are_silent_are_pinged(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Proxies close those on which nothing is sent for a minute: pings go on as long as a watch is open."""
    async with (
        watched(settings, tmp_path, grpc_keepalive_s=1) as it,
        hostile(it.service, DEFAULT_WINDOW) as client,
    ):
        stream = client.call(f"{SERVICE}/WatchExecutions")
        await until(lambda: client.pings >= 3)
        assert stream not in client.ended
