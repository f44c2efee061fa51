"""Many executions in one request, and the request's timeout."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway.api.graphql.types import ExecutionKeyInput
from transfer_gateway.domain.execution import Execution
from wire import GUARDED, HOME, PLAIN, Gateway, place, to_input

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = pytest.mark.fast_time

QUERY = """
query Many($keys: [ExecutionKey!]!, $maxAge: Float) {
  executions(keys: $keys, maxAge: $maxAge) {
    __typename ... on Execution { id } ... on Error { code message }
  }
}
"""


async def ask(gateway: Gateway, keys: list[ExecutionKey], **variables: Any) -> list[Any]:
    answer = await gateway.ask(QUERY, keys=[to_input(key) for key in keys], **variables)
    assert "errors" not in answer, answer
    return [item.get("id") or item["code"] for item in answer["data"]["executions"]]


async def test_target_of_an_error(gateway: Gateway, world: World) -> None:
    """An execution and an error both have their account and region in one selection; the deprecated fields agree."""
    there = place(world)
    query = """
    query Targets($keys: [ExecutionKey!]!) {
      executions(keys: $keys) {
        ... on Execution { accountId region }
        ... on Error { target { accountId region } account: accountId place: region }
      }
    }
    """
    elsewhere = to_input(there) | {"accountId": "444444444444", "region": "us-east-1"}
    answer = await gateway.ask(query, keys=[to_input(there), elsewhere])
    assert answer["data"]["executions"] == [
        {"accountId": there.account_id, "region": there.region},
        {
            "target": {"accountId": "444444444444", "region": "us-east-1"},
            "account": "444444444444",
            "place": "us-east-1",
        },
    ]


async def test_order_is_kept_and_duplicates_are_asked_once(
    gateway: Gateway, aws: Emulator, world: World
) -> None:
    """Each key has its result at its own index; a duplicate key causes one call."""
    a, b, c = place(world), place(world, GUARDED), place(world, HOME)
    assert await ask(gateway, [c, a, b, a, c, a]) == [str(key) for key in (c, a, b, a, c, a)]
    assert aws.calls.count(operation="DescribeExecution") == 3
    assert await ask(gateway, []) == []


@pytest.mark.parametrize("request_timeout_s", [30])
async def test_one_failure_spoils_nothing(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Found, finished, denied, not configured, rejected by AWS and hanging executions in one request."""
    found, gone, denied, hangs = (place(world, account) for account in (PLAIN, PLAIN, GUARDED, HOME))
    invalid = place(world, HOME, "us-east-1")
    world.remove(PLAIN, gone.region, gone.workflow_id, gone.execution_id)
    unknown = type(found)(
        type(found.account_id)("123123123123"), found.region, found.workflow_id, found.execution_id
    )
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation="DescribeExecution"))
    code = "InvalidRequestException"
    aws.faults.add(
        Fault(
            FaultKind.ERROR, account_id=HOME, region=invalid.region, operation="DescribeExecution", code=code
        )
    )
    aws.faults.add(Fault(FaultKind.HANG, account_id=HOME, operation="DescribeExecution"))
    assert await ask(gateway, [found, gone, denied, unknown, invalid, hangs, found]) == [
        str(found),
        "EXECUTION_NOT_FOUND",
        "ACCESS_DENIED",
        "ACCOUNT_NOT_AVAILABLE",
        "BAD_USER_INPUT",
        "DEADLINE_EXCEEDED",
        str(found),
    ]


async def test_nothing_is_left_for_the_search_for_garbage(gateway: Gateway, world: World) -> None:
    """Repeated requests leave one copy of each execution in memory, and no keys: a thousand old ones would be 5 MB."""
    keys = [place(world) for _ in range(10)]
    gc.disable()
    try:
        for _ in range(3):
            await ask(gateway, keys, maxAge=0)
        alive = gc.get_objects()
        found = [it.key for it in alive if isinstance(it, Execution) and it.key in keys]
        inputs = [it for it in alive if isinstance(it, ExecutionKeyInput)]
    finally:
        gc.enable()
    assert sorted(map(str, found)) == sorted(map(str, keys))
    assert inputs == []


@pytest.mark.parametrize(
    ("keys", "max_age", "says"),
    [
        (1001, None, "keys may contain at most 1000 keys; got 1001."),
        (1, -0.5, "maxAge must be 0 or more seconds; got -0.5."),
    ],
)
async def test_bad_input(gateway: Gateway, world: World, keys: int, max_age: float | None, says: str) -> None:
    """Too many keys or a negative age: BAD_USER_INPUT that names the rule."""
    answer = await gateway.ask(QUERY, keys=[to_input(place(world))] * keys, maxAge=max_age)
    assert answer["data"] is None
    assert answer["errors"][0]["message"] == says
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_thousand_keys_are_not_too_many(gateway: Gateway, world: World) -> None:
    """1,000 keys are answered."""
    key = place(world)
    assert await ask(gateway, [key] * 1000) == [str(key)] * 1000


async def test_a_header_shortens_the_time(gateway: Gateway, aws: Emulator, world: World) -> None:
    """X-Request-Timeout: what is missing by then is DEADLINE_EXCEEDED, the rest is returned."""
    quick, slow = place(world), place(world, GUARDED)
    aws.faults.add(Fault(FaultKind.HANG, account_id=GUARDED))
    body = {"query": QUERY, "variables": {"keys": [to_input(quick), to_input(slow)]}}
    started = asyncio.get_running_loop().time()
    answer = (await gateway.post(body, **{"x-request-timeout": "3"})).json()
    assert asyncio.get_running_loop().time() - started < 50
    assert [item["__typename"] for item in answer["data"]["executions"]] == ["Execution", "DeadlineExceeded"]


@pytest.mark.parametrize("header", ["0", "-1", "soon", "nan", ""])
async def test_a_bad_header(shared_gateway: Gateway, header: str) -> None:
    """An invalid timeout is rejected; the error names the header."""
    answer = await shared_gateway.post({"query": "{ __typename }"}, **{"x-request-timeout": header})
    assert answer.status == 400
    assert "X-Request-Timeout" in answer.json()["errors"][0]["message"]


async def test_one_account_throttled_at_full_rate(gateway: Gateway, aws: Emulator, world: World) -> None:
    """While one account is throttled, hanging or failing, all lookups of other accounts succeed."""
    healthy = [place(world, HOME) for _ in range(30)]
    sick = [place(world, PLAIN) for _ in range(30)]
    for kind in (FaultKind.THROTTLE, FaultKind.HTML_502):
        aws.faults.clear()
        aws.faults.add(Fault(kind, account_id=PLAIN, operation="DescribeExecution"))
        answers = await ask(
            gateway, [key for pair in zip(healthy, sick, strict=True) for key in pair], maxAge=0
        )
        assert answers[::2] == [str(key) for key in healthy]
        assert set(answers[1::2]) <= {"THROTTLED", "UPSTREAM_UNAVAILABLE"}
