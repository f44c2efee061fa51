"""Call counts, and the control API over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from botocore.credentials import Credentials

from transfer_emulator import Clock, Emulator, Fault, FaultKind, World, demo_world

ACCOUNT = "111111111111"
HOME = "999999999999"


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client of the control API."""
    async with aiohttp.ClientSession(f"{emulator.url}/_emulator/") as http:
        yield http


async def test_calls_are_counted_per_operation_account_and_region(emulator: Emulator, aws: Any) -> None:
    """AssumeRole counts for the role's account, other calls for the caller's, unauthenticated ones for ""."""
    session = await aws.session()
    await aws.raw("transfer", "ListWorkflows", {}, credentials=session)
    await aws.raw("transfer", "ListWorkflows", {}, credentials=session, region="us-east-1")
    await aws.raw("transfer", "ListWorkflows", {})
    await aws.raw("transfer", "ListWorkflows", {}, credentials=Credentials("AKIAUNKNOWN", "s"))
    count = emulator.calls.count
    assert count() == 5
    assert count(operation="AssumeRole", account_id=ACCOUNT) == 1
    assert count(operation="AssumeRole", account_id=HOME) == 0
    assert count(operation="ListWorkflows") == 4
    assert count(operation="ListWorkflows", account_id=ACCOUNT) == 2
    assert count(operation="ListWorkflows", account_id=ACCOUNT, region="us-east-1") == 1
    assert count(account_id="") == 1
    assert count(service="sts") == 1
    emulator.calls.reset()
    assert count() == 0


async def test_calls_that_a_fault_prevents_are_counted(emulator: Emulator, aws: Any) -> None:
    """A call is counted on arrival, whatever its outcome."""
    emulator.faults.add(Fault(FaultKind.DENY))
    await aws.raw("transfer", "ListWorkflows", {})
    assert emulator.calls.count(operation="ListWorkflows", account_id=HOME) == 1


async def test_the_clock_never_goes_back(http: aiohttp.ClientSession) -> None:
    """It may only be advanced, and by no more than makes sense."""
    before = (await (await http.post("clock", json={"advance_s": 60})).json())["now"]
    for advance_s in (-1, -0.001, 1e300):
        async with http.post("clock", json={"advance_s": advance_s}) as answer:
            assert (answer.status, "advance_s: must be from 0 to" in (await answer.json())["error"]) == (
                400,
                True,
            )
    assert (await (await http.post("clock", json={"advance_s": 0})).json())["now"] >= before


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            {"operation": "DescribeExecutions"},
            "operation: must be one of AssumeRole, GetCallerIdentity, Describe",
        ),
        ({"operation": "AssumeRole", "service": "transfer"}, "operation: must be one of DescribeExecution, "),
        ({"service": "s3"}, "service: must be one of sts, transfer, logs; got 's3'"),
    ],
    ids=["operation", "of-another-service", "service"],
)
async def test_faults_that_match_no_call(
    http: aiohttp.ClientSession, fault: dict[str, str], says: str
) -> None:
    """A fault for something that is not emulated is refused with the list of what is."""
    async with http.post("faults", json={"kind": "deny"} | fault) as answer:
        assert (answer.status, (await answer.json())["error"].startswith(says)) == (400, True)


@pytest.mark.fast_time
async def test_maximum_calls_in_flight(emulator: Emulator, aws: Any) -> None:
    """`max_in_flight` is the highest value of `in_flight`; connections are counted when they open."""
    emulator.faults.add(Fault(FaultKind.LATENCY, seconds=20))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(7):
            tasks.create_task(aws.raw("transfer", "ListWorkflows", {}))
    assert (emulator.calls.max_in_flight, emulator.calls.in_flight) == (7, 0)
    assert emulator.calls.connections == 7


async def test_one_connection_carries_many_calls(emulator: Emulator, aws: Any) -> None:
    """Keep-alive: boto3's client opens one connection for calls in a row."""
    client = aws.client("transfer")
    for _ in range(3):
        await aws.call(client, "list_workflows")
    assert emulator.calls.connections == 1


async def test_calls_can_be_read_over_http(emulator: Emulator, aws: Any, http: aiohttp.ClientSession) -> None:
    """GET returns all counts, DELETE resets them; the control API itself is not counted."""
    await aws.session()
    async with http.get("calls") as response:
        told = await response.json()
    call = {
        "service": "sts",
        "operation": "AssumeRole",
        "account_id": ACCOUNT,
        "region": "eu-west-1",
        "count": 1,
    }
    assert told["calls"] == [call]
    assert (told["in_flight"], told["max_in_flight"]) == (0, 1)
    async with http.delete("calls") as response:
        assert response.status == 200
    assert emulator.calls.by_call() == {}


async def test_faults_can_be_set_over_http(emulator: Emulator, aws: Any, http: aiohttp.ClientSession) -> None:
    """A posted fault is active until it is deleted."""
    async with http.post("faults", json={"kind": "empty_429", "operation": "ListWorkflows"}) as response:
        assert await response.json() == {"id": 1}
    assert (await aws.raw("transfer", "ListWorkflows", {})).status == 429
    async with http.get("faults") as response:
        (fault,) = (await response.json())["faults"]
    assert (fault["id"], fault["kind"], fault["operation"]) == (1, "empty_429", "ListWorkflows")
    async with http.post("faults", json=fault) as response:
        assert (await response.json())["error"] == "id: unknown field of a fault"
    async with http.delete("faults") as response:
        assert response.status == 200
    assert emulator.faults.active() == {}
    assert (await aws.raw("transfer", "ListWorkflows", {})).status == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("faults", b'{"kind": "flood"}', "kind"),
        ("faults", b"{}", "kind"),
        ("faults", b'{"kind": []}', "kind"),
        ("faults", b'{"kind": "latency", "seconds": "1"}', "seconds"),
        ("faults", b'{"kind": "latency", "seconds": -1}', "seconds"),
        ("faults", b'{"kind": "reset", "times": 1.5}', "times"),
        ("faults", b'{"kind": "reset", "account_id": 1}', "account_id"),
        ("faults", b'{"kind": "reset", "colour": "blue"}', "colour"),
        ("faults", b"[]", "body"),
        ("clock", b"{}", "advance_s"),
        ("clock", b'{"advance_s": true}', "advance_s"),
        ("clock", b'{"advance_s": 1, "by": 1}', "by"),
    ],
)
async def test_invalid_input_names_the_field(
    http: aiohttp.ClientSession, path: str, body: bytes, field: str
) -> None:
    """Status 400, and JSON whose error starts with the field's name."""
    async with http.post(path, data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"].startswith(f"{field}: ")


async def test_invalid_json_and_unknown_paths(http: aiohttp.ClientSession) -> None:
    """A body that cannot be parsed gets a 400, an unknown path a 404."""
    async with http.post("faults", data=b"{") as response:
        assert response.status == 400
        assert (await response.json())["error"]
    async with http.get("nothing") as response:
        assert response.status == 404
    async with http.get("health") as response:
        assert await response.json() == {"status": "ok"}


async def test_the_clock_and_the_executions_over_http() -> None:
    """`executions` returns `World.running` at the time of `clock`, which can be advanced."""
    world = demo_world(seed=3, accounts=2, regions=("eu-west-1",))
    workflow_id = world.add_workflow(HOME, "eu-west-1")
    placed = world.place(HOME, "eu-west-1", workflow_id)
    clock = Clock.frozen(1_767_225_600.0)
    async with Emulator(world, clock=clock) as emulator, aiohttp.ClientSession(emulator.url) as http:
        async with http.get("/_emulator/executions") as response:
            before = (await response.json())["executions"]
        async with http.post("/_emulator/clock", json={"advance_s": 600}) as response:
            assert await response.json() == {"now": 1_767_226_200.0}
        async with http.get("/_emulator/executions") as response:
            after = (await response.json())["executions"]
    names = ["account_id", "region", "workflow_id", "execution_id", "status", "seconds_left"]
    assert list(before[0]) == names
    assert {row["account_id"] for row in before} == {HOME, ACCOUNT, "222222222222"}
    still = {row["execution_id"] for row in before} & {row["execution_id"] for row in after}
    assert still == {placed}
    assert next(row["seconds_left"] for row in after if row["execution_id"] == placed) is None
    assert [tuple(row.values())[:5] for row in after] == [row[:5] for row in world.running(1_767_226_200.0)]


async def test_the_emulator_can_be_down_for_a_while(world: World, new_aws: Any) -> None:
    """Connections fail after `stop`; after `start` the port, sessions and counts are the same."""
    emulator = Emulator(world)
    await emulator.start()
    try:
        aws, url = new_aws(emulator), emulator.url
        session = await aws.session()
        await emulator.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await aws.raw("transfer", "ListWorkflows", {})
        await emulator.start()
        assert emulator.url == url
        assert (await aws.raw("transfer", "ListWorkflows", {}, credentials=session)).status == 200
        assert emulator.calls.count(operation="AssumeRole") == 1
    finally:
        await emulator.stop()
