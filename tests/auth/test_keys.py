"""An issuer's keys: fetching, rotation and removal, and their effects on requests."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from issuer import (
    ALGORITHMS,
    DISCOVERY,
    KEYS,
    SUBJECT,
    LocalIssuer,
    SigningKey,
    Time,
    answering,
    trusting,
)
from transfer_gateway.auth import Issuer, Oidc
from transfer_gateway.auth.jwks import Unusable, decode_discovery, decode_keys
from transfer_gateway.domain.errors import Unauthenticated, UpstreamUnavailable
from wire import until

COOLDOWN_S, MAX_AGE_S = 30.0, 300.0
UNKNOWN = "not signed with a key that its issuer publishes"
A, B, C, D = (SigningKey(f"key-{letter}", "ES256") for letter in "abcd")


@pytest.fixture
async def issuer(clock: Time) -> Any:
    async with LocalIssuer(clock, A) as issuer:
        yield issuer


async def refreshed(issuer: LocalIssuer, oidc: Oidc) -> None:
    """Wait for a background refresh that a request has started."""
    await until(lambda: all(keys._fetching is None for keys in oidc._keys.values()))


async def age(clock: Time, issuer: LocalIssuer, oidc: Oidc, seconds: float) -> None:
    """Advance the clock, then send a request."""
    clock.now += seconds
    await oidc.authenticate(issuer.token())
    await refreshed(issuer, oidc)


# Fetching


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


# Rotation


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


# Removal


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


# Fetch rate


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


# An issuer that is down


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


# Published documents


def bomb(request: web.BaseRequest) -> Any:
    async def send() -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "application/json"})
        await answer.prepare(request)
        await answer.write(b'{"keys": [')
        for _ in range(2000):  # 128 MB
            await answer.write(b" " * 65_536)
        return answer

    return send()


def elsewhere(local: LocalIssuer, **members: object) -> Any:
    return answering({"issuer": local.url, "jwks_uri": local.url + KEYS} | members)


BAD: list[Any] = [
    pytest.param(lambda _: {KEYS: bomb}, "more than 1048576 bytes", id="bomb"),
    pytest.param(
        lambda _: {KEYS: answering(b" " * 2_000_000)}, "more than 1048576 bytes", id="2 MB, length told"
    ),
    pytest.param(lambda _: {KEYS: answering(b"<html>Sign in</html>")}, "not JSON", id="HTML"),
    pytest.param(lambda _: {DISCOVERY: answering(b"<html>Sign in</html>")}, "not JSON", id="HTML discovery"),
    pytest.param(lambda _: {KEYS: answering(b"\x1f\x8b\x08")}, "not JSON", id="compressed"),
    pytest.param(lambda _: {KEYS: answering(b"[" * 500_000)}, "more than 10000 values", id="deep"),
    pytest.param(lambda _: {KEYS: answering(b"[]")}, "not a JSON object", id="list"),
    pytest.param(lambda _: {KEYS: answering({})}, "not a list", id="no keys"),
    pytest.param(lambda _: {KEYS: answering({"keys": {}})}, "not a list", id="keys an object"),
    pytest.param(lambda _: {KEYS: answering({"keys": []})}, "no usable key", id="empty"),
    pytest.param(
        lambda _: {KEYS: answering({"keys": [None, 1, [], {}, {"kty": "RSA"}]})},
        "no usable key",
        id="unusable",
    ),
    pytest.param(
        lambda _: {KEYS: answering({"keys": [A.jwk(use="enc")]})}, "no usable key", id="for encryption"
    ),
    pytest.param(lambda _: {KEYS: answering({"keys": [{}] * 101})}, "more than 100 keys", id="too many"),
    pytest.param(lambda _: {KEYS: answering(b"", status=500)}, "status 500", id="500"),
    pytest.param(
        lambda i: {KEYS: answering(b"", status=302, location=i.url + "/moved")}, "status 302", id="redirect"
    ),
    pytest.param(
        lambda i: {DISCOVERY: elsewhere(i, issuer="https://evil.example")},
        "is not the configured URL",
        id="issuer",
    ),
    pytest.param(
        lambda i: {DISCOVERY: elsewhere(i, issuer=None)}, "is not the configured URL", id="no issuer"
    ),
    pytest.param(lambda i: {DISCOVERY: elsewhere(i, jwks_uri=None)}, "not an https URL", id="no jwks_uri"),
    pytest.param(
        lambda i: {DISCOVERY: elsewhere(i, jwks_uri="http://keys.example/")},
        "not an https",
        id="keys without TLS",
    ),
    pytest.param(
        lambda i: {DISCOVERY: elsewhere(i, jwks_uri="file:///etc/passwd")},
        "not an https URL",
        id="keys a file",
    ),
    pytest.param(
        lambda i: {DISCOVERY: elsewhere(i, jwks_uri="https://[::1")}, "not an https URL", id="keys nowhere"
    ),
]


@pytest.mark.parametrize(("answers", "reason"), BAD)
async def test_unusable_documents_replace_no_keys(
    clock: Time, issuer: LocalIssuer, oidc: Oidc, answers: Any, reason: str
) -> None:
    """The cached keys stay in use, and the log has the reason."""
    await oidc.authenticate(issuer.token())
    issuer.answers = answers(issuer)
    await age(clock, issuer, oidc, MAX_AGE_S)
    assert (await oidc.authenticate(issuer.token(jti="fresh"))).subject == SUBJECT
    with pytest.raises(UpstreamUnavailable) as failure:
        await oidc.authenticate(issuer.token(key=B))
    assert reason in (failure.value.detail or "")


MEMBERS = st.text(max_size=8) | st.binary(max_size=80).map(lambda number: urlsafe_b64encode(number).decode())


@given(
    st.lists(
        st.fixed_dictionaries(
            {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"])},
            optional={
                "crv": st.sampled_from(["P-256", "P-384", "Ed25519", "Ed448", "X25519", ""]),
                "alg": st.sampled_from([*ALGORITHMS, "HS256", None]),
                "kid": st.text() | st.none() | st.integers(),
                "use": st.sampled_from(["sig", "enc", None]),
            }
            | dict.fromkeys(("n", "e", "x", "y", "d", "k"), MEMBERS | st.none() | st.integers()),
        )
        | st.none()
        | st.lists(st.integers())
    )
)
def test_any_keys_are_decoded_or_refused(keys: list[Any]) -> None:
    """Any list of keys is decoded to usable keys or is Unusable."""
    with suppress(Unusable):
        for name, key in decode_keys(json.dumps({"keys": keys}).encode(), ALGORITHMS).items():
            assert name.algorithm in ALGORITHMS
            assert key.verify(b"text", b"no signature") is False


@given(st.binary())
def test_any_bytes_are_refused(body: bytes) -> None:
    """Any other document is Unusable; there is no other exception."""
    with pytest.raises(Unusable):
        decode_keys(body, ALGORITHMS)
    with pytest.raises(Unusable):
        decode_discovery(body, Issuer("https://issuer.example"))


async def test_a_redirect_is_not_followed(clock: Time, issuer: LocalIssuer) -> None:
    """Neither to another server nor on the same one."""
    issuer.answers[KEYS] = answering(b"", status=307, location=issuer.url + "/moved")
    issuer.answers["/moved"] = answering({"keys": issuer.published})
    async with trusting(clock, issuer) as oidc:
        with pytest.raises(UpstreamUnavailable):
            await oidc.authenticate(issuer.token())
