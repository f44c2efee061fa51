"""When an issuer's keys are fetched, how often, and how long requests wait for them."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from issuer import KEYS, SUBJECT, LocalIssuer, SigningKey, Time, trusting
from issuer_keys import COOLDOWN_S, MAX_AGE_S, UNKNOWN, A, age, refreshed
from transfer_gateway.auth import Oidc
from transfer_gateway.domain.errors import Unauthenticated
from wire import until


async def test_keys_are_fetched_before_the_first_request(issuer: LocalIssuer, oidc: Oidc) -> None:
    """Entering the context starts the fetch, so that the first request need not wait."""
    await until(lambda: issuer.fetches == 1)
    await refreshed(issuer, oidc)
    await oidc.authenticate(issuer.token())
    assert issuer.fetches == 1


async def test_first_requests_share_one_fetch(issuer: LocalIssuer, oidc: Oidc) -> None:
    """A hundred requests before the keys are fetched wait for the same fetch."""
    callers = await asyncio.gather(*(oidc.authenticate(issuer.token(sub=f"user-{n}")) for n in range(100)))
    assert len({caller.subject for caller in callers}) == 100
    assert issuer.fetches == 1


async def test_a_cancelled_caller_does_not_cancel_the_fetch(clock: Time, issuer: LocalIssuer) -> None:
    """Even if its request started the fetch."""
    go = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await go.wait()
        return web.json_response({"keys": issuer.published})

    issuer.answers[KEYS] = slow
    async with trusting(clock, issuer) as oidc, asyncio.TaskGroup() as tasks:
        leaves, stays = (tasks.create_task(oidc.authenticate(issuer.token())) for _ in range(2))
        await until(lambda: issuer.fetches == 1)
        leaves.cancel()
        go.set()
        assert (await stays).subject == SUBJECT
    assert leaves.cancelled()
    assert issuer.fetches == 1


async def test_an_idle_service_refreshes_its_keys(clock: Time, issuer: LocalIssuer) -> None:
    """Keys are refreshed without requests, so that the first request after a quiet night finds current keys."""
    async with trusting(clock, issuer, keys_max_age_s=0.04) as oidc:
        await oidc.authenticate(issuer.token())
        clock.now += 1
        await until(lambda: issuer.fetches >= 2)


async def test_a_background_refresh_delays_no_request(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """Requests use the cached keys while the issuer is slow; there is one fetch for all."""
    await oidc.authenticate(issuer.token())
    stuck = asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        await stuck.wait()
        return web.Response()

    issuer.answers[KEYS] = hang
    clock.now += MAX_AGE_S
    async with asyncio.timeout(4.5):  # a fetch is given up after 5 s
        for number in range(100):
            await oidc.authenticate(issuer.token(jti=str(number)))
    await until(lambda: issuer.fetches == 2)
    stuck.set()


async def test_keys_are_refreshed_at_their_maximum_age(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """An hour of requests costs the issuer twelve fetches."""
    for _ in range(360):
        await age(clock, issuer, oidc, 10)
    assert issuer.fetches == 12


async def test_repeated_tokens_refresh_keys(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """Requests with a cached token trigger refreshes like any other."""
    token = issuer.token()
    await oidc.authenticate(token)
    clock.now += MAX_AGE_S
    await oidc.authenticate(token)
    await until(lambda: issuer.fetches == 2)


async def test_a_clock_that_is_set_back_does_not_stop_refreshes(
    clock: Time, issuer: LocalIssuer, oidc: Oidc
) -> None:
    """Keys fetched in the future are due for a refresh."""
    await oidc.authenticate(issuer.token())
    await age(clock, issuer, oidc, -86_400)
    assert issuer.fetches == 2


async def test_a_hundred_unknown_keys_cost_one_fetch(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """Invented key names can't cause more than one fetch per cooldown."""
    await oidc.authenticate(issuer.token())

    async def make_up(number: int) -> str:
        with pytest.raises(Unauthenticated) as refusal:
            await oidc.authenticate(A.sign(issuer.claims(), kid=f"made-up-{number}"))
        return refusal.value.message

    reasons = await asyncio.gather(*map(make_up, range(50)))
    reasons += [await make_up(number) for number in range(50, 100)]
    assert issuer.fetches == 2
    assert all(UNKNOWN in reason for reason in reasons)
    clock.now += COOLDOWN_S - 1
    await make_up(100)
    assert issuer.fetches == 2
    clock.now += 1
    await make_up(101)
    assert issuer.fetches == 3


async def test_a_known_key_for_another_algorithm_costs_no_fetch(issuer: LocalIssuer, oidc: Oidc) -> None:
    """A fetch could not find a key for that algorithm."""
    await oidc.authenticate(issuer.token())
    with pytest.raises(Unauthenticated):
        await oidc.authenticate(SigningKey(A.kid, "RS256").sign(issuer.claims()))
    assert issuer.fetches == 1
