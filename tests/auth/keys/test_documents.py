"""The documents that an issuer publishes: read within limits, or refused."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from issuer import ALGORITHMS, DISCOVERY, KEYS, SUBJECT, LocalIssuer, Time, answering, trusting
from issuer_keys import MAX_AGE_S, A, B, age
from transfer_gateway.auth import Issuer, Oidc
from transfer_gateway.auth.jwks import Unusable, decode_discovery, decode_keys
from transfer_gateway.domain.errors import UpstreamUnavailable


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
