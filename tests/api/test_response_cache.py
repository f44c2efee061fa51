"""Repeated responses: equal to new ones, and only while everything they were built from is unchanged."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from examples import examples
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from transfer_gateway.api.graphql.response_cache import ResponseCache
from transfer_gateway.build import build_core
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.identity import ExecutionId
from transfer_gateway.domain.scope import Hideable, Scope
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls
from wire import HOME, QUERY, calling, place, to_input, until_in_flight

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings
    from wire import Gateway as Wire

AUDIT = AuditTrail(ANONYMOUS, "graphql", lambda: None)
DEADLINE = float("inf")


@pytest.fixture
async def core(
    aws: Emulator, settings: Callable[..., Settings], accounts_file: Path
) -> AsyncIterator[Gateway]:
    async with build_core(settings(), AccountsFile(accounts_file).load(), AwsCalls()) as core:
        yield core.gateway


async def kept(core: Gateway, key: ExecutionKey, max_age_s: float = 3600) -> ResponseCache:
    """A cache with a response to the request `asked`, built from that execution."""
    answers, reader = ResponseCache(1_000_000), core.reader(AUDIT)
    await reader.describe(key, max_age_s=max_age_s, deadline=DEADLINE)
    answers.keep(b"asked", reader, b"answer")
    return answers


async def test_while_its_snapshot_is_fresh(core: Gateway, world: World) -> None:
    """It is repeated for the same request only, and not after AWS was called again."""
    key = place(world)
    answers = await kept(core, key)
    assert answers.get(b"asked", core.reader(AUDIT)) == b"answer"
    assert answers.get(b"asked otherwise", core.reader(AUDIT)) is None
    await core.reader(AUDIT).describe(key, max_age_s=0, deadline=DEADLINE)
    assert answers.get(b"asked", core.reader(AUDIT)) is None


async def test_to_whom_sees_the_same(core: Gateway, world: World, accounts_file: Path) -> None:
    """Another scope gets its own response; an equal one, or the same accounts reloaded, gets the same."""
    key = place(world)
    answers, listed = await kept(core, key), AccountsFile(accounts_file).load().listed
    outputs_hidden = Scope(listed, {key.target: frozenset({Hideable.STEP_OUTPUTS})})
    fewer = Accounts(account for account in listed if account.id != HOME)
    for scope in (outputs_hidden, Scope(fewer)):
        assert answers.get(b"asked", core.reader(AUDIT, scope)) is None
    assert answers.get(b"asked", core.reader(AUDIT, Scope(listed))) == b"answer"
    await core.use_accounts(listed)
    assert answers.get(b"asked", core.reader(AUDIT)) == b"answer"
    await core.use_accounts(fewer)
    assert answers.get(b"asked", core.reader(AUDIT)) is None


async def test_what_is_made_of_more(core: Gateway, world: World) -> None:
    """Responses from lists, definitions or errors, or that must be as fresh as the request, are never repeated."""
    key, answers = place(world), ResponseCache(1_000_000)
    gone = key._replace(execution_id=ExecutionId("00000000-0000-4000-8000-000000000000"))
    for number in range(4):
        reader = core.reader(AUDIT)
        await reader.describe(key, max_age_s=0 if number == 0 else 3600, deadline=DEADLINE)
        match number:
            case 1:
                reader.list_accounts()
            case 2:
                with pytest.raises(GatewayError):
                    await reader.describe(gone, max_age_s=3600, deadline=DEADLINE)
            case 3:
                await reader.find(key.execution_id, None, None, None, deadline=DEADLINE)
        answers.keep(b"asked", reader, b"answer")
        assert answers.get(b"asked", core.reader(AUDIT)) is None, number
    answers.keep(b"asked", core.reader(AUDIT), b"made of nothing")
    assert answers.get(b"asked", core.reader(AUDIT)) is None


async def test_memory(core: Gateway, world: World) -> None:
    """The cache is limited in bytes, and evicts the least recently used response; a very large one is not cached."""
    key, answers, reader = place(world), ResponseCache(100_000), core.reader(AUDIT)
    await reader.describe(key, max_age_s=3600, deadline=DEADLINE)
    answers.keep(b"large", reader, b"a" * 50_000)
    assert answers.get(b"large", reader) is None
    for number in range(100):
        answers.keep(b"%d" % number, reader, b"answer")
    there = [number for number in range(100) if answers.get(b"%d" % number, reader)]
    assert there == list(range(4, 100))


@asynccontextmanager
async def two(settings: Callable[..., Settings]) -> AsyncIterator[list[Any]]:
    """A service that repeats responses, and one that never does."""
    async with (
        server.running(settings(target_rate_per_s=1000)) as keeping,
        server.running(settings(target_rate_per_s=1000, graphql_answers_max_bytes=0)) as making,
        calling(keeping.url) as first,
        calling(making.url) as second,
    ):
        yield [first, second]


@given(
    asked=st.lists(
        st.tuples(st.sampled_from(["one", "both", "get", "gone"]), st.sampled_from([0.0, 3600.0]), st.booleans()),
        min_size=6,
        max_size=30,
    )
)  # fmt: skip
@hypothesis_settings(max_examples=examples(8))
async def test_as_if_made_anew(
    aws: Emulator, world: World, settings: Callable[..., Settings], asked: list[tuple[str, float, bool]]
) -> None:
    """While executions progress, a service without the cache returns the same, with as many AWS calls."""
    one, other = place(world), place(world)
    async with two(settings) as gateways:
        for what, max_age, goes_on in asked:
            if goes_on:
                world.place(
                    one.account_id, one.region, one.workflow_id, {"Status": what.upper()}, one.execution_id
                )
            found = []
            for gateway in gateways:
                before = aws.calls.count(operation="DescribeExecution")
                found.append(
                    (
                        await ask(gateway, what, max_age, one, other),
                        aws.calls.count(operation="DescribeExecution") - before,
                    )
                )
            assert found[0] == found[1]


@pytest.mark.fast_time
async def test_made_once_for_all_who_ask_at_once(gateway: Wire, aws: Emulator, world: World) -> None:
    """Concurrent identical requests wait for one that is building the response, however long AWS takes."""
    key = place(world)
    await gateway.look_up(key, max_age=5)
    await asyncio.sleep(6)
    aws.calls.reset()
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=50))
    async with asyncio.TaskGroup() as asking:
        asked = [asking.create_task(gateway.look_up(key, max_age=5))]
        await until_in_flight(aws, 1)
        asked += [asking.create_task(gateway.look_up(key, max_age=5)) for _ in range(20)]
    found = [each.result() for each in asked]
    assert {answer["__typename"] for answer in found} == {"Execution"}
    assert len({answer["observedAt"] for answer in found}) == 1
    assert aws.calls.count(operation="DescribeExecution") == 1
    told = (await gateway.send("GET", "/metrics")).body.decode()
    outcomes = dict(re.findall(r'snapshot_lookups_total\{kind="execution",outcome="(\w+)"\} ([0-9.]+)', told))
    # A request that is executed during the AWS call joins it; one that waits for the response is a hit.
    assert {name: float(count) for name, count in outcomes.items()} == {"hit": 20, "joined": 0, "missed": 2}


@pytest.mark.fast_time
async def test_made_anew_when_its_maker_leaves(gateway: Wire, aws: Emulator, world: World) -> None:
    """Those that waited build the response themselves, within their own deadline."""
    key = place(world)
    await gateway.look_up(key, max_age=5)
    await asyncio.sleep(6)
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution", times=1))
    body = {"query": QUERY, "variables": {"key": to_input(key), "maxAge": 5}}
    first = asyncio.create_task(gateway.post(body))
    await until_in_flight(aws, 1)
    hasty = (await gateway.post(body, **{"x-request-timeout": "10"})).json()
    assert hasty["data"]["executionOrError"]["code"] == "DEADLINE_EXCEEDED"
    patient = asyncio.create_task(gateway.post(body))
    await asyncio.sleep(10)  # in which it must not answer
    assert not patient.done()
    first.cancel()
    assert (await patient).json()["data"]["executionOrError"]["__typename"] == "Execution"


async def ask(gateway: Any, what: str, max_age: float, one: ExecutionKey, other: ExecutionKey) -> Any:
    match what:
        case "one":
            return without_times(await gateway.ask(QUERY, key=to_input(one), maxAge=max_age))
        case "both":
            keys = [to_input(one), to_input(other)]
            return await gateway.ask(
                "query($keys: [ExecutionKey!]!, $maxAge: Float) { executions(keys: $keys, maxAge: $maxAge) "
                "{ ... on Execution { id rawStatus } } }",
                keys=keys,
                maxAge=max_age,
            )
        case "get":
            query = "query($key: ExecutionKey!, $maxAge: Float) { execution(key: $key, maxAge: $maxAge) { rawStatus } }"
            variables = json.dumps({"key": to_input(one), "maxAge": max_age})
            return (await gateway.send("GET", params={"query": query, "variables": variables})).json()
        case _:
            gone = to_input(other) | {"executionId": "00000000-0000-4000-8000-000000000000"}
            return without_times(await gateway.ask(QUERY, key=gone, maxAge=max_age))


def without_times(answer: Any) -> Any:
    for name in ("observedAt", "awsRequestId"):
        answer["data"]["executionOrError"].pop(name, None)
    return answer


async def test_a_body_never_passes_for_the_parameters_of_a_get(gateway: Wire, world: World) -> None:
    """Otherwise a caller could choose the response that others get."""
    one, other = place(world), place(world)
    ask = '{ execution(key: {accountId: "%s", region: "%s", workflowId: "%s", executionId: "%s"}) { executionId } }'
    planted, wanted = (urlencode({"query": ask % tuple(key)}) for key in (one, other))
    refused = await gateway.send(
        "POST",
        f"/graphql?{planted}",
        f"?{wanted}".encode(),
        {"content-type": "application/json"},
        encoded=True,
    )
    assert refused.status == 400
    for _ in range(2):
        answer = await gateway.send("GET", f"/graphql?{wanted}", encoded=True)
        assert answer.json()["data"]["execution"] == {"executionId": other.execution_id}
