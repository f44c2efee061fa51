"""Keys that are added, replaced and removed, and their effects on requests."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from issuer import KEYS, SUBJECT, LocalIssuer, SigningKey, Time
from issuer_keys import COOLDOWN_S, MAX_AGE_S, UNKNOWN, A, B, C, D, age, refreshed
from transfer_gateway.auth import Oidc
from transfer_gateway.domain.errors import Unauthenticated
from wire import until


async def test_rotation_fails_no_request(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """Keys rotate, each published before the previous one is removed; no concurrent request fails."""
    served, rotating = 0, True

    async def ask() -> None:
        nonlocal served
        while rotating:
            token = issuer.token(jti=str(served))
            assert (await oidc.authenticate(token)).subject == SUBJECT
            served += 1
            await asyncio.sleep(0)

    async def more_served(requests: int) -> None:
        enough = served + requests
        await until(lambda: served > enough)

    async def once_old() -> None:
        fetches = issuer.fetches
        clock.now += MAX_AGE_S
        await until(lambda: issuer.fetches > fetches)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(ask())
        for old, new in ((A, B), (B, C), (C, D)):
            issuer.publish(new, old)  # signs with the new one at once
            await more_served(50)
            issuer.publish(new)
            await once_old()
            await more_served(50)
        rotating = False
    assert served > 300
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await oidc.authenticate(issuer.token(key=A))


async def test_rotation_without_overlap_fails_no_request(issuer: LocalIssuer, oidc: Oidc) -> None:
    """A key used as soon as it is published is fetched on its first token."""
    await oidc.authenticate(issuer.token())
    issuer.publish(B)
    assert (await oidc.authenticate(issuer.token())).subject == SUBJECT
    assert issuer.fetches == 2


async def test_a_key_published_after_the_running_fetch_is_fetched_too(
    clock: Time, issuer: LocalIssuer, oidc: Oidc
) -> None:
    """A refresh that started before the key was published does not count as a fetch for it."""
    await oidc.authenticate(issuer.token())
    answered, go = asyncio.Event(), asyncio.Event()
    old = issuer.published

    async def late(request: web.BaseRequest) -> web.StreamResponse:
        answered.set()
        await go.wait()
        return web.json_response({"keys": old})

    issuer.answers[KEYS] = late
    clock.now += MAX_AGE_S
    await oidc.authenticate(issuer.token())
    await answered.wait()
    issuer.publish(B)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(oidc.authenticate(issuer.token()))
        await asyncio.sleep(0)
        del issuer.answers[KEYS]
        go.set()
    assert waiting.result().subject == SUBJECT


@pytest.mark.parametrize("repeated", [True, False], ids=["repeated token", "fresh token"])
async def test_a_removed_key_is_refused_after_the_maximum_age(
    clock: Time,
    issuer: LocalIssuer,
    oidc: Oidc,
    repeated: bool,  # noqa: FBT001  a table's column
) -> None:
    """After the regular refresh; cached verifications do not outlive the key."""
    token = issuer.token()
    await oidc.authenticate(token)
    issuer.publish(B)
    await age(clock, issuer, oidc, MAX_AGE_S)
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await oidc.authenticate(token if repeated else issuer.token(key=A))


@pytest.mark.parametrize("repeated", [True, False], ids=["repeated token", "fresh token"])
async def test_a_removed_key_is_refused_within_the_cooldown(
    clock: Time,
    issuer: LocalIssuer,
    oidc: Oidc,
    repeated: bool,  # noqa: FBT001  a table's column
) -> None:
    """The first token of the next key triggers a fetch, even right after a fetch for another unknown key."""
    token = issuer.token()
    await oidc.authenticate(token)
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await oidc.authenticate(issuer.token(key=C))
    issuer.publish(B)
    clock.now += COOLDOWN_S
    await oidc.authenticate(issuer.token())
    with pytest.raises(Unauthenticated, match=UNKNOWN):
        await oidc.authenticate(token if repeated else issuer.token(key=A))


async def test_a_key_replaced_under_its_name_is_refused(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """The same name for another key: tokens of the old key are invalid, cached or not."""
    token = issuer.token()
    await oidc.authenticate(token)
    issuer.publish(SigningKey(A.kid, "ES256"))
    await age_without_request(clock, oidc, issuer)
    for each in (token, issuer.token(key=A)):
        with pytest.raises(Unauthenticated, match="no valid signature"):
            await oidc.authenticate(each)


async def age_without_request(clock: Time, oidc: Oidc, issuer: LocalIssuer) -> None:
    clock.now += MAX_AGE_S
    oidc._keys[issuer.url].refresh_if_old()
    await refreshed(issuer, oidc)


async def test_an_unchanged_key_keeps_cached_verifications(
    clock: Time, issuer: LocalIssuer, oidc: Oidc
) -> None:
    """A refresh that adds a key causes no repeated verification."""
    token = issuer.token()
    caller = await oidc.authenticate(token)
    issuer.publish(A, B)
    await age(clock, issuer, oidc, MAX_AGE_S)
    assert await oidc.authenticate(token) is caller
