"""An issuer that is unavailable or never answers."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from issuer import KEYS, SUBJECT, LocalIssuer, Time, trusting
from issuer_keys import COOLDOWN_S, MAX_AGE_S, A, B, age, refreshed
from transfer_gateway.auth import Oidc
from transfer_gateway.domain.errors import UpstreamUnavailable


async def test_an_hour_without_the_issuer_fails_no_request(
    clock: Time, issuer: LocalIssuer, oidc: Oidc
) -> None:
    """The keys stay cached; fetching is retried once per cooldown until the issuer is back."""
    await oidc.authenticate(issuer.token())
    issuer.down = True
    issuer.authorizations.clear()
    for number in range(360):
        clock.now += 10
        assert (await oidc.authenticate(issuer.token(jti=str(number)))).subject == SUBJECT
        await refreshed(issuer, oidc)
    tries = len(issuer.authorizations) / 2  # aiohttp sends again what a closed connection didn't answer
    assert tries == (3600 - MAX_AGE_S) / COOLDOWN_S + 1
    issuer.down = False
    issuer.publish(B, A)
    await age(clock, issuer, oidc, COOLDOWN_S)
    assert issuer.fetches == 2


async def test_an_unknown_key_while_the_issuer_is_down_is_not_the_callers_fault(
    clock: Time, issuer: LocalIssuer, oidc: Oidc
) -> None:
    """The key may be valid."""
    await oidc.authenticate(issuer.token())
    issuer.down = True
    with pytest.raises(UpstreamUnavailable, match="keys of the token's issuer") as failure:
        await oidc.authenticate(issuer.token(key=B))
    assert failure.value.retry_after_s == COOLDOWN_S
    assert (await oidc.authenticate(issuer.token())).subject == SUBJECT


async def test_an_issuer_that_was_never_available_is_not_the_callers_fault(
    clock: Time, issuer: LocalIssuer
) -> None:
    """Without keys, requests fail at once as unavailable, and fetching is retried every second."""
    issuer.down = True
    async with trusting(clock, issuer) as oidc:
        for _ in range(20):
            with pytest.raises(UpstreamUnavailable, match="are unavailable") as failure:
                await oidc.authenticate(issuer.token())
        assert issuer.url not in failure.value.message
        assert issuer.url in (failure.value.detail or "")
        assert failure.value.retry_after_s == 1.0
        assert len(issuer.authorizations) <= 2  # aiohttp tries a closed connection twice
        issuer.down = False
        clock.now += 1
        assert (await oidc.authenticate(issuer.token())).subject == SUBJECT


async def test_waits_for_a_silent_issuer_five_seconds(clock: Time, issuer: LocalIssuer) -> None:
    """The first requests wait for the same fetch, with a timeout."""
    stuck = asyncio.Event()

    async def hang(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b'{"keys": [')
        await stuck.wait()
        return answer

    issuer.answers[KEYS] = hang
    started = time.monotonic()
    async with trusting(clock, issuer) as oidc:
        failures = await asyncio.gather(
            *(oidc.authenticate(issuer.token()) for _ in range(10)), return_exceptions=True
        )
    assert all(isinstance(failure, UpstreamUnavailable) for failure in failures)
    assert 4.5 < time.monotonic() - started < 25  # and not ten times five
    assert issuer.fetches == 1
    stuck.set()
