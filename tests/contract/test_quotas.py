"""Each caller's quotas, over both servers together."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from doors import Door, Failed
from issuer import AUDIENCE, LocalIssuer
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import becomes, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings
from callers import doors_of


async def test_quotas(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """A caller above its quota is THROTTLED, with the delay; others are not."""
    limits = {
        "caller_requests_per_s": 1,
        "caller_requests_burst": 20,
        "caller_aws_calls_per_s": 0.1,
        "caller_aws_calls_burst": 3,
    }
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
    }
    keys = [to_input(place(world)) for _ in range(5)]
    async with server.running(settings(**oidc, **limits)) as service:
        async with doors_of(service, issuer, "operator") as (graphql, rpc):
            found = await graphql.batch(keys, 3600)
            assert sorted(item.get("code", "found") for item in found) == ["THROTTLED"] * 2 + ["found"] * 3
            assert all(0 < item["retryAfter"] <= 30 for item in found if "code" in item)
            assert aws.calls.count(operation="DescribeExecution") == 3
            served = [item for item in await rpc.batch(keys, 3600) if "code" not in item]
            assert len(served) == 3  # snapshots cost no calls
            for _ in range(17):  # and the batches above
                await graphql.accounts()
            with pytest.raises(Failed) as refused:
                await asyncio.gather(*(graphql.accounts() for _ in range(3)))
            assert refused.value.error["code"] == "THROTTLED"
            assert 0 < refused.value.error["retryAfter"] <= 1
        async with doors_of(service, issuer, "payments") as doors:
            for door in doors:
                assert "code" not in await door.get(keys[0], 3600)


async def is_admitted(door: Door) -> bool:
    try:
        return bool(await door.accounts())
    except Failed:
        return False


@pytest.mark.fast_time
async def test_requests_under_way_are_bounded(
    aws: Emulator,
    settings: Callable[..., Settings],
    issuer: LocalIssuer,
    policy_file: Path,
    world: World,
) -> None:
    """CALLER_MAX_CONCURRENT_REQUESTS for both servers together; slots are free once requests end or are cancelled."""
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
        "caller_max_concurrent_requests": 2,
    }
    keys = [to_input(place(world)) for _ in range(2)]
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=40))
    async with (
        server.running(settings(**oidc)) as service,
        doors_of(service, issuer, "operator") as doors,
        doors_of(service, issuer, "payments") as others,
    ):
        for number, left in enumerate((False, True)):
            under_way = [asyncio.create_task(door.get(key, 0)) for door, key in zip(doors, keys, strict=True)]
            await until(
                lambda asked=2 * (number + 1): aws.calls.count(operation="DescribeExecution") >= asked  # type: ignore[misc]  # the loop's
            )
            for door in doors:
                with pytest.raises(Failed) as refused:
                    await door.accounts()
                assert refused.value.error["code"] == "THROTTLED"
                assert refused.value.error["retryAfter"] == 1
            for door in others:
                assert await door.accounts()
            for task in under_way if left else ():
                task.cancel()
            await asyncio.wait(under_way)
            for door in doors:
                await becomes(partial(is_admitted, door), expected=True)


async def test_quota_of_rows(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """Rows from snapshots are charged: above its quota a caller is THROTTLED, whatever field or method it uses."""
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
    }
    key = to_input(place(world))
    async with (
        server.running(settings(**oidc, caller_rows_per_s=0.01, caller_rows_burst=40)) as service,
        doors_of(service, issuer, "operator") as (graphql, rpc),
    ):
        for door in (graphql, rpc):
            assert "code" not in await door.get(key, 3600)
            assert all("code" not in item for item in await door.batch([key] * 20, 3600))
        for ask in (
            graphql.accounts,
            rpc.accounts,
            lambda: graphql.batch([key], 3600),
            lambda: rpc.batch([key], 3600),
        ):
            with pytest.raises(Failed) as refused:
                await ask()
            assert refused.value.error["code"] == "THROTTLED"
            assert "rows" in refused.value.error["message"]
            assert refused.value.error["retryAfter"] > 0
        for door in (graphql, rpc):
            assert (await door.get(key, 3600))["code"] == "THROTTLED"
        assert aws.calls.count(operation="DescribeExecution") == 1
        async with doors_of(service, issuer, "payments") as doors:
            for door in doors:
                assert "code" not in await door.get(key, 3600)
