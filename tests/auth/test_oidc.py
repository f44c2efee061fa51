"""Valid tokens, and the callers they identify."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jwt
import pytest

from issuer import (
    ALGORITHMS,
    AUDIENCE,
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
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import Unauthenticated
from transfer_gateway.settings import ConfigurationError


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_accepts_what_the_issuer_signed(issuer: LocalIssuer, oidc: Oidc, algorithm: str) -> None:
    """With each kind of key: the caller has the token's subject, groups and expiry."""
    key = next(key for key in issuer.keys if key.algorithm == algorithm)
    caller = await oidc.authenticate(issuer.token(key=key, groups=["ops", "sre"], team="x"))
    assert (caller.subject, caller.issuer) == (SUBJECT, issuer.url)
    assert caller.groups == {"ops", "sre"}
    assert caller.claims["team"] == "x"
    assert caller.expires_at == issuer.claims()["exp"]
    assert caller.name == f"{issuer.url} {SUBJECT}"
    assert len({caller, replace(caller, claims={})}) == 1


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_accepts_either_padding_of_a_key_without_an_algorithm(
    clock: Time, issuer: LocalIssuer, algorithm: str
) -> None:
    """An RSA key without `alg` is used for each accepted algorithm."""
    key = issuer.keys[0]
    issuer.published = [key.jwk(alg=None, use=None)]
    async with trusting(clock, issuer) as oidc:
        token = key.sign(issuer.claims(), algorithm=algorithm)
        assert (await oidc.authenticate(token)).subject == SUBJECT


async def test_uses_the_public_half_of_a_key_published_whole(clock: Time, issuer: LocalIssuer) -> None:
    """Tokens are verified even if the issuer publishes a private key by mistake."""
    key = issuer.keys[0]
    whole = jwt.get_algorithm_by_name("RS256").to_jwk(key.private, as_dict=True)
    assert "d" in whole
    issuer.published = [whole | {"kid": key.kid, "key_ops": ["verify"]}]
    async with trusting(clock, issuer) as oidc:
        assert (await oidc.authenticate(issuer.token())).subject == SUBJECT


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        pytest.param(..., frozenset(), id="none"),
        pytest.param([], frozenset(), id="empty list"),
        pytest.param("ops", {"ops"}, id="one text"),
        pytest.param(["ops", "ops", "a b"], {"ops", "a b"}, id="list"),
    ],
)
async def test_reads_groups(issuer: LocalIssuer, oidc: Oidc, claim: object, groups: frozenset[str]) -> None:
    """Groups are a string, a list or absent; a string is one group, even with spaces."""
    assert (await oidc.authenticate(issuer.token(groups=claim))).groups == groups


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": ["another", AUDIENCE]}, id="one of several audiences"),
        pytest.param({"nbf": ..., "iat": ...}, id="no beginning"),
        pytest.param({"sub": "Zoë Ångström"}, id="subject beyond ASCII"),
        pytest.param({"exp": 4102444800.5}, id="fraction of a second"),
    ],
)
async def test_accepts(issuer: LocalIssuer, oidc: Oidc, claims: dict[str, Any]) -> None:
    """Whatever RFC 7519 allows in a claim."""
    token = issuer.token(**claims)
    assert (await oidc.authenticate(token)).issuer == issuer.url


@pytest.mark.parametrize("claims", [{"exp": -9}, {"nbf": 9}, {"iat": 9}], ids=["exp", "nbf", "iat"])
async def test_grants_clocks_a_leeway(
    clock: Time, issuer: LocalIssuer, oidc: Oidc, claims: dict[str, Any]
) -> None:
    """A token is valid ten seconds before and after its period, which is the leeway here."""
    token = issuer.token(**{name: int(clock.now) + off_s for name, off_s in claims.items()})
    assert (await oidc.authenticate(token)).subject == SUBJECT


async def test_tells_issuers_apart(clock: Time, issuer: LocalIssuer) -> None:
    """Each issuer's keys only verify its own tokens, even with equal key names, and the callers differ."""
    namesake = SigningKey(issuer.keys[0].kid)
    async with LocalIssuer(clock, namesake) as other, trusting(clock, issuer, other) as oidc:
        callers = [await oidc.authenticate(each.token()) for each in (issuer, other)]
        assert [caller.issuer for caller in callers] == [issuer.url, other.url]
        assert callers[0] != callers[1]
        assert callers[0].name != callers[1].name
        with pytest.raises(Unauthenticated, match="no valid signature"):
            await oidc.authenticate(other.token(iss=issuer.url))


async def test_one_issuer_down_does_not_affect_another(clock: Time, issuer: LocalIssuer) -> None:
    """Tokens of an available issuer are valid while another has never been reached."""
    nobody = Issuer("http://127.0.0.1:1")
    async with trusting(clock, nobody, issuer) as oidc:
        assert (await oidc.authenticate(issuer.token())).subject == SUBJECT


async def test_accepts_a_token_without_a_key_name_if_there_is_one_key(
    clock: Time, issuer: LocalIssuer
) -> None:
    """Small issuers use no key ids."""
    key = SigningKey(None, "ES256")
    issuer.publish(key)
    async with trusting(clock, issuer) as oidc:
        assert (await oidc.authenticate(issuer.token())).subject == SUBJECT


async def test_accepts_an_issuer_with_a_slash_at_its_end(clock: Time, issuer: LocalIssuer) -> None:
    """The slash is part of its name, but not doubled in the discovery URL."""
    issuer.answers[DISCOVERY] = answering({"issuer": issuer.url + "/", "jwks_uri": issuer.url + KEYS})
    issuer.url += "/"
    async with trusting(clock, issuer) as oidc:
        assert (await oidc.authenticate(issuer.token())).issuer == issuer.url


async def test_verifies_a_repeated_token_once(issuer: LocalIssuer, oidc: Oidc) -> None:
    """The second time, the cached caller is returned."""
    token = issuer.token()
    first = await oidc.authenticate(token)
    assert await oidc.authenticate(token) is first


async def test_a_repeated_token_expires_too(clock: Time, issuer: LocalIssuer, oidc: Oidc) -> None:
    """A cached token is not accepted after its expiry."""
    token = issuer.token(exp=int(clock.now) + 60)
    await oidc.authenticate(token)
    clock.now += 60 + 9.5
    assert (await oidc.authenticate(token)).subject == SUBJECT  # within the leeway
    clock.now += 1
    with pytest.raises(Unauthenticated, match="expired"):
        await oidc.authenticate(token)


async def test_stores_no_token(issuer: LocalIssuer, oidc: Oidc) -> None:
    """The cache contains hashes of tokens only, and a caller's repr contains no claims."""
    token = issuer.token(secret="claimed")
    caller = await oidc.authenticate(token)
    kept = repr(list(oidc._verified.items()))
    assert token not in kept
    assert token.rpartition(".")[2] not in kept
    assert "claimed" not in repr(caller)


def test_callers_claims_are_immutable() -> None:
    """Later code can't change an issuer's claims."""
    with pytest.raises(TypeError):
        ANONYMOUS.claims["admin"] = True  # type: ignore[index]  # just so
    assert ANONYMOUS.name == "anonymous"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        pytest.param({"algorithms": ["HS256"]}, "algorithm 'HS256' must be one of RS256", id="HMAC"),
        pytest.param({"algorithms": ["RS256", "none"]}, "algorithm 'none' must be", id="none"),
        pytest.param({"algorithms": ["rs256"]}, "algorithm 'rs256' must be", id="case"),
        pytest.param({"algorithms": []}, "at least one algorithm", id="no algorithm"),
        pytest.param({"audiences": []}, "at least one audience", id="no audience"),
        pytest.param({"audiences": ["x", ""]}, "none may be empty", id="empty audience"),
        pytest.param({"issuers": []}, "at least one issuer", id="no issuer"),
        pytest.param({"issuers": ["https://a.example"] * 2}, "must be unique", id="issuer twice"),
        pytest.param({"issuers": ["http://a.example"]}, "must begin with https", id="issuer without TLS"),
        pytest.param({"issuers": ["https://a.example?x=1"]}, "without spaces", id="query"),
        pytest.param({"issuers": ["https://u:p@a.example"]}, "without spaces", id="password"),
        pytest.param({"issuers": ["https://a example"]}, "without spaces", id="space"),
        pytest.param({"issuers": ["https://a.example:port"]}, "must begin with", id="port"),
        pytest.param({"issuers": ["file:///keys"]}, "must begin with https", id="file"),
        pytest.param({"issuers": ["https://"]}, "must begin with https", id="no host"),
    ],
)
def test_refuses_unsafe_configuration(wrong: dict[str, Any], problem: str) -> None:
    """An Oidc that would accept invalid tokens can't be created."""
    good: dict[str, Any] = {
        "issuers": ["https://a.example"],
        "audiences": [AUDIENCE],
        "algorithms": ["RS256"],
    } | wrong
    issuers = [Issuer(url) for url in good.pop("issuers")]
    with pytest.raises(ConfigurationError, match=problem):
        Oidc(issuers, **good, groups_claim="groups", leeway_s=0)
