"""AWS is not trusted either: oversized responses are rejected, at a limited cost, and never disclosed."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from wire import GUARDED, calling, place, until_in_flight

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_gateway.settings import Settings
    from wire import Gateway

LIST = "{ list: inProgressExecutions { edges { node { id } } targetFailures { error { code message } } } }"
DESCRIBE = "DescribeExecution"

REFUSED = [
    pytest.param(FaultKind.OVERSIZED_BODY, "is larger than 4194304 bytes", id="oversized"),
    pytest.param(FaultKind.ENDLESS_BODY, "is larger than 4194304 bytes", id="endless"),
    pytest.param(FaultKind.MANY_STEPS, "has more than 104857 values", id="steps"),
    pytest.param(FaultKind.MANY_VALUES, "has more than 104857 values", id="values"),
    pytest.param(FaultKind.OTHER_ANSWER, "is about a different object, by its WorkflowId", id="another"),
    pytest.param(FaultKind.REDIRECT, "is a redirect", id="redirect"),
]


@pytest.mark.parametrize(("kind", "why"), REFUSED)
async def test_a_hostile_answer_is_refused(
    gateway: Gateway, world: World, aws: Emulator, kind: FaultKind, why: str
) -> None:
    """The error names the exceeded limit; memory and event loop are hardly affected, and nothing is cached."""
    key, neighbour = place(world), place(world, GUARDED)
    await gateway.look_up(key)
    aws.faults.add(Fault(kind, account_id=key.account_id, operation=DESCRIBE))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = await gateway.look_up(key, max_age=0)
    assert found["code"] == "UPSTREAM_UNAVAILABLE"
    assert found["retryable"]
    assert f"was rejected: it {why}." in found["message"]
    assert "code" not in await gateway.look_up(neighbour)
    if kind is not FaultKind.MANY_STEPS:  # which the emulator, in this process, has in memory
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000
    aws.faults.clear()
    await until_in_flight(aws, 0)  # its connection was closed


async def test_the_bound_is_a_setting(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """A response at the limit is read; one with a byte more is rejected."""
    key = place(world)
    async with (
        server.running(settings(aws_max_answer_bytes=100_000)) as service,
        calling(service.url) as gateway,
    ):
        for size_bytes, code in ((100_000, None), (100_001, "UPSTREAM_UNAVAILABLE")):
            aws.faults.clear()
            aws.faults.add(Fault(FaultKind.OVERSIZED_BODY, operation=DESCRIBE, size_bytes=size_bytes))
            assert (await gateway.look_up(key, max_age=0)).get("code") == code


@pytest.mark.parametrize(
    ("kind", "why", "pages"),
    [
        pytest.param(FaultKind.REPEATED_TOKEN, "repeats a page token", 2, id="repeated"),
        pytest.param(FaultKind.FRESH_TOKENS, "has more than 11 pages", 11, id="fresh"),
    ],
)
async def test_page_tokens_that_never_end(
    aws: Emulator, world: World, settings: Callable[..., Settings], kind: FaultKind, why: str, pages: int
) -> None:
    """A repeated page token ends a list, and so does the number of pages, long before the request's deadline."""
    key = place(world)
    aws.faults.add(Fault(kind, account_id=key.account_id, region=key.region, operation="ListExecutions"))
    async with (
        server.running(settings(aws_max_list_rows=1000)) as service,
        calling(service.url) as gateway,
        asyncio.timeout(60),
    ):
        answer: dict[str, Any] = (await gateway.ask(LIST))["data"]["list"]
    assert [failure["error"]["code"] for failure in answer["targetFailures"]] == ["UPSTREAM_UNAVAILABLE"]
    assert why in answer["targetFailures"][0]["error"]["message"]
    assert aws.calls.count(operation="ListExecutions") <= pages + 2


async def test_revoked_sessions_are_no_denial(gateway: Gateway, world: World, aws: Emulator) -> None:
    """A session revoked before a second region has accepted it is replaced there, too."""
    here, there = place(world), place(world, region="us-east-1")
    await gateway.look_up(here)
    aws.faults.add(Fault(FaultKind.REVOKED, service="transfer"))
    assert "code" not in await gateway.look_up(there)


@pytest.mark.fast_time
async def test_sessions_revoked_twice_in_a_row(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """AWS denied nothing: callers get a retryable error, and when to retry."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.ERROR, operation=DESCRIBE, code="ExpiredTokenException"))
    async with (
        server.running(settings(request_timeout_s=30)) as service,
        calling(service.url) as gateway,
    ):
        found = await gateway.look_up(key)
    assert (found["code"], found["retryable"]) == ("UPSTREAM_UNAVAILABLE", True)
    assert found["retryAfter"] > 0
