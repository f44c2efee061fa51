"""gRPC's own features: health, reflection, deadlines, cancellation, limits and shutdown. All over the wire."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from doors import details, rpc
from examples import examples
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from transfer_gateway.domain.execution import Execution
from transfer_gateway.settings import Settings
from wire import GUARDED, HOME, PLAIN, becomes, counting, place, until, until_in_flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from transfer_gateway.domain.identity import ExecutionKey

SERVICE = "transfer_api.v1.ExecutionService"
GET, BATCH = f"/{SERVICE}/GetExecution", f"/{SERVICE}/BatchGetExecutions"
DESCRIBE = "DescribeExecution"


def to_key(key: ExecutionKey) -> execution_pb2.ExecutionKey:
    return execution_pb2.ExecutionKey(
        account_id=key.account_id,
        region=key.region,
        workflow_id=key.workflow_id,
        execution_id=key.execution_id,
    )


def get(key: ExecutionKey) -> pb.GetExecutionRequest:
    return pb.GetExecutionRequest(key=to_key(key))


@pytest.fixture
async def channel(service: server.Service) -> AsyncIterator[Any]:  # the stubs' types know no bare bytes
    async with grpc.aio.insecure_channel(service.grpc) as channel:
        yield channel


@pytest.fixture
async def stub(service: server.Service) -> AsyncIterator[ExecutionServiceAsyncStub]:
    async with rpc(service) as stub:
        yield stub


@asynccontextmanager
async def failing(code: grpc.StatusCode) -> AsyncIterator[list[grpc.aio.AioRpcError]]:
    """The call fails with that status; then yields the error."""
    told: list[grpc.aio.AioRpcError] = []
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        yield told
    told.append(failed.value)
    assert failed.value.code() is code, failed.value


async def until_called(aws: Emulator, times: int = 1) -> None:
    await until(lambda: aws.calls.count(operation=DESCRIBE) >= times)


async def test_health(channel: Any) -> None:
    """The server as a whole and the service by name are SERVING; other names are unknown."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with failing(grpc.StatusCode.NOT_FOUND):
        await health.Check(health_pb2.HealthCheckRequest(service="another"))


async def test_reflection(channel: Any) -> None:
    """Clients without the proto can list the services and methods."""
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = reflection.ServerReflectionInfo(iter([asked]))
    answer = await call.read()
    assert SERVICE in {service.name for service in answer.list_services_response.service}


async def test_request_id(channel: Any, stub: ExecutionServiceAsyncStub, world: World) -> None:
    """A caller's request id is returned, with responses and errors; a malformed one is replaced."""
    found = get(place(world))
    for sent, kept in (("abc-123", True), ("x" * 300, False), ("a b", False)):
        call = stub.GetExecution(found, metadata=(("x-request-id", sent),))
        await call
        assert (dict(await call.trailing_metadata())["x-request-id"] == sent) is kept
    async with failing(grpc.StatusCode.INVALID_ARGUMENT) as told:
        await stub.GetExecution(pb.GetExecutionRequest(), metadata=(("x-request-id", "abc-123"),))
    assert dict(told[0].trailing_metadata())["x-request-id"] == "abc-123"
    assert details(told[0])["ErrorInfo"].metadata["requestId"] == "abc-123"


async def test_old_answers_are_let_go(stub: ExecutionServiceAsyncStub, world: World) -> None:
    """However often an execution is requested, only its latest response is cached."""
    asked = get(place(world))
    asked.max_age.FromSeconds(0)
    alive = []
    with counting(Execution) as executions:
        for _ in range(20):
            await stub.GetExecution(asked)
            alive.append(executions())
    assert alive[-1] <= alive[2]


async def test_a_request_that_comes_again(
    aws: Emulator, world: World, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Identical bytes get the current state of AWS, accounts file and scope. Invalid bytes stay invalid."""
    key = place(world)
    file = tmp_path / "accounts.yaml"

    def configure(account_id: str, alias: str) -> None:
        file.write_text(f'accounts: [{{ id: "{account_id}", alias: {alias}, regions: [{key.region}] }}]')

    configure(key.account_id, "before")
    fresh, old, bad = get(key), get(key), get(key)
    fresh.max_age.FromSeconds(0)
    old.max_age.FromSeconds(3600)
    bad.key.execution_id = "x"
    async with (
        server.running(settings(accounts_file=file, accounts_reload_s=0.1)) as service,
        rpc(service) as stub,
    ):
        first = await stub.GetExecution(old)
        assert await stub.GetExecution(old) == first
        assert aws.calls.count(operation=DESCRIBE) == 1
        newer = [(await stub.GetExecution(fresh)).execution for _ in range(2)]
        observed = [each.observed_at.ToNanoseconds() for each in (first.execution, *newer)]
        assert observed == sorted(set(observed))
        assert (await stub.GetExecution(old)).execution == newer[1]
        for _ in range(3):
            async with failing(grpc.StatusCode.INVALID_ARGUMENT):
                await stub.GetExecution(bad)
        configure(key.account_id, "after")

        async def alias() -> str:
            try:
                return (await stub.GetExecution(old)).execution.account.alias
            except grpc.aio.AioRpcError as error:
                return error.code().name

        await becomes(alias, "after")
        configure("222222222222", "other")
        await becomes(alias, "NOT_FOUND")


async def test_details_of_a_failure(stub: ExecutionServiceAsyncStub, world: World) -> None:
    """NOT_FOUND names the resource; a missing field is named with its rule."""
    key = place(world)
    world.remove(key.account_id, key.region, key.workflow_id, key.execution_id)
    async with failing(grpc.StatusCode.NOT_FOUND) as told:
        await stub.GetExecution(get(key))
    found = details(told[0])
    assert (found["ErrorInfo"].reason, found["ErrorInfo"].metadata["accountId"]) == (
        "EXECUTION_NOT_FOUND",
        PLAIN,
    )
    assert (found["ResourceInfo"].resource_type, found["ResourceInfo"].resource_name) == (
        "execution",
        str(key),
    )
    async with failing(grpc.StatusCode.INVALID_ARGUMENT) as told:
        await stub.GetExecution(pb.GetExecutionRequest())
    (violation,) = details(told[0])["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("key", "key is required.")


@pytest.mark.parametrize("number", [0, 99], ids=["unspecified", "unknown"])
async def test_statuses_that_are_none(stub: ExecutionServiceAsyncStub, number: Any) -> None:
    """An unknown status in a filter is rejected; the error names its position."""
    wanted = pb.ExecutionFilter(statuses=[execution_pb2.EXECUTION_STATUS_IN_PROGRESS, number])
    async with failing(grpc.StatusCode.INVALID_ARGUMENT) as told:
        await stub.ListExecutions(pb.ListExecutionsRequest(filter=wanted))
    assert details(told[0])["BadRequest"].field_violations[0].field == "filter.statuses[1]"


@pytest.mark.parametrize("method", [GET, BATCH])
async def test_what_is_no_message(channel: Any, method: str) -> None:
    """Bytes that are not a valid message are the caller's error, not ours."""
    async with failing(grpc.StatusCode.INVALID_ARGUMENT) as told:
        call: Any = channel.unary_stream(method)(b"\xff\xff\xff")
        await call.read()
    assert details(told[0])["ErrorInfo"].reason == "BAD_USER_INPUT"


async def test_unknown_method(channel: Any) -> None:
    """A method that does not exist, of our service or of another."""
    for method in (f"/{SERVICE}/GetNothing", "/other.Service/Get"):
        async with failing(grpc.StatusCode.UNIMPLEMENTED) as told:
            await channel.unary_unary(method)(b"")
        assert "No such method" in str(told[0].details())
        assert details(told[0])["ErrorInfo"].reason == "UNIMPLEMENTED"


async def test_large_messages(channel: Any) -> None:
    """A message of 5 MB is rejected before it is read; the error has both sizes."""
    async with failing(grpc.StatusCode.RESOURCE_EXHAUSTED) as told:
        await channel.unary_unary(GET)(b"\0" * 5_000_000)
    assert "5000000 vs. 262144" in str(told[0].details())


@settings(max_examples=examples(150))
@given(
    method=st.sampled_from(
        ["GetExecution", "FindExecution", "ListExecutions", "GetWorkflow", "ListWorkflows"]
    ),
    sent=st.binary(max_size=60)
    | st.builds(lambda text: pb.GetExecutionRequest(key={"account_id": text}).SerializeToString(), st.text()),  # type: ignore[arg-type]  # a key's fields
)
async def test_never_a_fault(channel: Any, method: str, sent: bytes) -> None:
    """For any request bytes, the status is never INTERNAL or UNKNOWN."""
    call = channel.unary_unary(f"/{SERVICE}/{method}")(sent)
    ok = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert await call.code() in ok


async def test_the_callers_deadline(stub: ExecutionServiceAsyncStub, world: World, aws: Emulator) -> None:
    """The wait for AWS ends a little before the caller's deadline, so that the response still arrives."""
    healthy, key = place(world, GUARDED), place(world)
    aws.faults.add(Fault(FaultKind.HANG, account_id=PLAIN))
    async with failing(grpc.StatusCode.DEADLINE_EXCEEDED) as told:
        await stub.GetExecution(get(key), timeout=4)  # of which the way back has 0.2
    assert details(told[0])["ErrorInfo"].reason == "DEADLINE_EXCEEDED"
    listed = await stub.ListExecutions(pb.ListExecutionsRequest(), timeout=4)
    assert [entry.execution.id for entry in listed.executions] == [str(healthy)]
    assert {failure.account_id for failure in listed.target_failures} == {PLAIN}


async def test_a_cancel_reaches_aws(
    stub: ExecutionServiceAsyncStub, world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """A caller that leaves a stream after ten responses stops the remaining calls."""
    keys = [place(world, account) for account in (PLAIN, GUARDED, HOME) for _ in range(60)]
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=0.2))
    call = stub.BatchGetExecutions(pb.BatchGetExecutionsRequest(keys=map(to_key, keys)))
    for _ in range(10):
        answer = await call.read()
        assert isinstance(answer, pb.BatchGetExecutionsResponse)
    call.cancel()
    await until_in_flight(aws, 0)
    stopped_at = aws.calls.count(operation=DESCRIBE)
    await asyncio.sleep(1)  # in which those of a stream that went on would be made
    assert aws.calls.count(operation=DESCRIBE) == stopped_at < len(keys)


async def test_results_come_as_they_are(stub: ExecutionServiceAsyncStub, world: World, aws: Emulator) -> None:
    """A stream's responses do not wait for a hanging one, which gets its own error at the deadline."""
    hangs, *healthy = place(world), *(place(world, GUARDED) for _ in range(20))
    aws.faults.add(Fault(FaultKind.HANG, account_id=PLAIN, operation=DESCRIBE))
    loop = asyncio.get_running_loop()
    started = loop.time()
    keys = [to_key(key) for key in (hangs, *healthy)]
    coming = stub.BatchGetExecutions(pb.BatchGetExecutionsRequest(keys=keys), timeout=6)
    came = [(answer.index, answer.WhichOneof("outcome"), loop.time() - started) async for answer in coming]
    assert sorted(index for index, _, _ in came) == list(range(21))
    assert came[-1][:2] == (0, "error")
    assert all(outcome == "execution" and at_s < 5 for _, outcome, at_s in came[:-1])


async def test_too_many_calls(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """Calls above the limit are rejected at once."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=2))
    async with server.running(settings(grpc_max_concurrent_rpcs=1)) as service, rpc(service) as stub:
        first = stub.GetExecution(get(key))
        await until_called(aws)
        async with failing(grpc.StatusCode.RESOURCE_EXHAUSTED):
            await stub.GetExecution(get(key))
        assert (await first).execution.id == str(key)


async def test_the_end(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """Shutdown: first not ready; active calls and streams finish; watches end with a status."""
    keys = [place(world), place(world, GUARDED)]
    aws.faults.add(Fault(FaultKind.LATENCY, operation=DESCRIBE, seconds=0.7))
    async with AsyncExitStack() as stack:
        async with server.running(settings(shutdown_delay_s=0.3)) as service:
            channel: Any = await stack.enter_async_context(grpc.aio.insecure_channel(service.grpc))
            stub = await stack.enter_async_context(rpc(service))
            health: Any = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            one = stub.GetExecution(get(keys[0]))
            many = stub.BatchGetExecutions(pb.BatchGetExecutionsRequest(keys=map(to_key, keys)))
            await until_called(aws, 2)
            ending = asyncio.create_task(changed(watch))
        assert await ending == [health_pb2.HealthCheckResponse.NOT_SERVING]
        assert (await one).execution.id == str(keys[0])
        assert {answer.execution.id async for answer in many} == {str(key) for key in keys}


async def changed(watch: Any) -> list[int]:
    """The statuses of a watch until it ends with UNAVAILABLE."""
    said = []
    async with failing(grpc.StatusCode.UNAVAILABLE) as told:
        while True:
            said.append((await watch.read()).status)
    assert details(told[0])["ErrorInfo"].reason == "UPSTREAM_UNAVAILABLE"
    return said


@pytest.mark.parametrize("method", ["GetExecution", "BatchGetExecutions"])
async def test_the_end_of_the_grace(
    aws: Emulator, world: World, settings: Callable[..., Settings], method: str
) -> None:
    """Calls that hang past the grace period end with UNAVAILABLE and its details."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.HANG, operation=DESCRIBE))
    patient = settings(shutdown_grace_s=0.2, request_timeout_s=100, aws_read_timeout_s=100)
    async with AsyncExitStack() as stack:
        async with server.running(patient) as service:
            stub = await stack.enter_async_context(rpc(service))
            call: Any = (
                stub.GetExecution(get(key))
                if method == "GetExecution"
                else stub.BatchGetExecutions(pb.BatchGetExecutionsRequest(keys=[to_key(key)])).read()
            )
            call = asyncio.ensure_future(call)
            await until_called(aws)
            ending = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - ending < 50
        async with failing(grpc.StatusCode.UNAVAILABLE) as told:
            await call
        assert details(told[0])["ErrorInfo"].reason == "UPSTREAM_UNAVAILABLE"


async def test_faults_are_masked(
    service: server.Service, stub: ExecutionServiceAsyncStub, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is INTERNAL with the request id; no details are disclosed."""
    key = place(world)
    service.gateway._sources = None  # type: ignore[assignment]  # a fault
    async with failing(grpc.StatusCode.INTERNAL) as told:
        await stub.GetExecution(get(key), metadata=(("x-request-id", "my-id"),))
    assert told[0].details() == "Internal server error. Request id: my-id."
    assert details(told[0])["ErrorInfo"].reason == "INTERNAL_SERVER_ERROR"
