"""Refused tokens, and the reasons that callers get."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from issuer import ALGORITHMS, AUDIENCE, SUBJECT, LocalIssuer, SigningKey, Time, trusting
from transfer_gateway.auth import Oidc
from transfer_gateway.domain.errors import Unauthenticated

FORGER = SigningKey("RS256")  # of the issuer's key's name
WEAK = SigningKey("weak", bits=1024)
P384 = SigningKey("p384", "ES384")


def encoded(part: object) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def assembled(header: object, claims: object, signature: bytes = b"") -> str:
    """A token that no library would create."""
    return f"{encoded(header)}.{encoded(claims)}.{encoded(signature)}"


def signed(key: SigningKey, header: dict[str, Any], claims: object) -> str:
    """The same with a valid RS256 signature, whatever the header says."""
    unsigned = f"{encoded(header)}.{encoded(claims)}"
    signature = jwt.get_algorithm_by_name("RS256").sign(unsigned.encode(), key.private)
    return f"{unsigned}.{encoded(signature)}"


def confused(issuer: LocalIssuer, secret: bytes) -> str:
    """An HMAC whose secret is the issuer's public key."""
    unsigned = f"{encoded({'alg': 'HS256', 'kid': 'RS256'})}.{encoded(issuer.claims())}"
    return f"{unsigned}.{encoded(hmac.digest(secret, unsigned.encode(), 'sha256'))}"


def public_pem(issuer: LocalIssuer) -> bytes:
    pem: bytes = (
        issuer.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return pem


def altered(token: str, part: int, change: Callable[[str], str]) -> str:
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


@dataclass(frozen=True)
class Of:
    """A claim that a table can't contain directly."""

    of: Callable[[Time, LocalIssuer], object]


def from_now(seconds: int) -> Of:
    return Of(lambda clock, _: int(clock.now) + seconds)


CLAIMS = [
    pytest.param({"exp": from_now(-10)}, "has expired", id="expired"),
    pytest.param({"exp": from_now(-86400)}, "has expired", id="expired long ago"),
    pytest.param({"nbf": from_now(11)}, "not valid yet", id="not before"),
    pytest.param({"iat": from_now(11)}, "not valid yet", id="issued in the future"),
    pytest.param({"aud": "another"}, "not issued for this service", id="another audience"),
    pytest.param({"aud": []}, "not issued for this service", id="no audience in the list"),
    pytest.param({"aud": AUDIENCE.upper()}, "not issued for this service", id="audience's case"),
    pytest.param(
        {"aud": [AUDIENCE, 1]}, "claim aud must be a string or a list of strings", id="audience a number"
    ),
    pytest.param(
        {"aud": {AUDIENCE: 1}}, "claim aud must be a string or a list of strings", id="audience an object"
    ),
    pytest.param({"iss": "https://evil.example"}, "issuer is not trusted", id="another issuer"),
    pytest.param({"iss": Of(lambda _, issuer: [issuer.url])}, "issuer is not trusted", id="issuer a list"),
    pytest.param(
        {"iss": Of(lambda _, issuer: issuer.url + "/")}, "issuer is not trusted", id="issuer with a slash"
    ),
    pytest.param(
        {"iss": Of(lambda _, issuer: issuer.url + "#x")}, "issuer is not trusted", id="issuer with a fragment"
    ),
    pytest.param({"exp": ...}, "no exp claim", id="no exp"),
    pytest.param({"sub": ...}, "no valid sub claim", id="no sub"),
    pytest.param({"aud": ...}, "not issued for this service", id="no aud"),
    pytest.param({"iss": ...}, "issuer is not trusted", id="no iss"),
    pytest.param({"exp": None}, "no exp claim", id="exp null"),
    pytest.param({"exp": "4102444800"}, "claim exp must be a number of seconds", id="exp a text"),
    pytest.param({"exp": True}, "claim exp must be a number of seconds", id="exp a truth"),
    pytest.param({"exp": float("inf")}, "claim exp must be a number of seconds", id="exp infinite"),
    pytest.param({"exp": float("nan")}, "claim exp must be a number of seconds", id="exp no number"),
    pytest.param({"exp": 10**400}, "claim exp must be a number of seconds", id="exp huge"),
    pytest.param({"nbf": {}}, "claim nbf must be a number of seconds", id="nbf an object"),
    pytest.param({"sub": 7}, "no valid sub claim", id="sub a number"),
    pytest.param({"sub": ["alice"]}, "no valid sub claim", id="sub a list"),
    pytest.param({"sub": ""}, "no valid sub claim", id="sub empty"),
    pytest.param({"sub": "alice\nlevel=error"}, "no valid sub claim", id="sub with a line's end"),
    pytest.param({"sub": "\ud800"}, "no valid sub claim", id="sub half a character"),
    pytest.param({"sub": "x" * 513}, "no valid sub claim", id="sub long"),
    pytest.param({"groups": 7}, "claim groups must be a string or a list of strings", id="groups a number"),
    pytest.param(
        {"groups": ["ops", None]}, "claim groups must be a string or a list of strings", id="group null"
    ),
    pytest.param(
        {"groups": {"ops": True}}, "claim groups must be a string or a list of strings", id="groups an object"
    ),
    pytest.param({"groups": ["ops", ""]}, "groups must be strings", id="group empty"),
]


@pytest.mark.parametrize(("claims", "reason"), CLAIMS)
async def test_refuses_claims(
    clock: Time, issuer: LocalIssuer, oidc: Oidc, claims: dict[str, Any], reason: str
) -> None:
    """Signed by the issuer, but not valid here and now. The reason contains nothing of the token."""
    told = {
        name: value.of(clock, issuer) if isinstance(value, Of) else value for name, value in claims.items()
    }
    # PyJWT would not make some of these.
    token = signed(issuer.keys[0], {"alg": "RS256", "kid": "RS256"}, issuer.claims(**told))
    with pytest.raises(Unauthenticated, match=reason) as refusal:
        await oidc.authenticate(token)
    assert issuer.url not in refusal.value.message
    assert SUBJECT not in refusal.value.message


SIGNATURES: list[Any] = [
    pytest.param(lambda i: assembled({"alg": "none"}, i.claims()), "algorithm is not accepted", id="none"),
    pytest.param(
        lambda i: assembled({"alg": "nOnE", "kid": "RS256"}, i.claims()), "not accepted", id="none's case"
    ),
    pytest.param(lambda i: assembled({"kid": "RS256"}, i.claims()), "not accepted", id="no algorithm"),
    pytest.param(
        lambda i: assembled({"alg": ["RS256"], "kid": "RS256"}, i.claims()), "not accepted", id="algorithms"
    ),
    pytest.param(
        lambda i: assembled({"alg": "RS256", "kid": "RS256"}, i.claims()), "no valid sig", id="no signature"
    ),
    pytest.param(
        lambda i: confused(i, public_pem(i)), "algorithm is not accepted", id="HMAC with the public key"
    ),
    pytest.param(
        lambda i: confused(i, json.dumps(i.published[0]).encode()), "not accepted", id="HMAC with the JWK"
    ),
    pytest.param(lambda i: confused(i, b""), "algorithm is not accepted", id="HMAC without a secret"),
    pytest.param(lambda i: i.token(key=FORGER), "no valid signature", id="another's key of that name"),
    pytest.param(
        lambda i: i.keys[0].sign(i.claims(), algorithm="RS512"), "not accepted", id="algorithm not set"
    ),
    pytest.param(
        lambda i: i.keys[0].sign(i.claims(), algorithm="PS256"), "not signed with a key", id="other padding"
    ),
    pytest.param(lambda i: i.keys[0].sign(i.claims(), kid="ES256"), "not signed", id="wrong key type"),
    pytest.param(
        lambda i: i.keys[0].sign(i.claims(), jwk=FORGER.jwk(), kid="own"), "not signed", id="brings its key"
    ),
    pytest.param(
        lambda i: FORGER.sign(i.claims(), jku="https://evil.example/keys", x5u="https://evil.example"),
        "no valid signature",
        id="says where its key is",
    ),
    pytest.param(
        lambda i: signed(i.keys[0], {"alg": "ES256", "kid": "ES256"}, i.claims()), "no valid", id="RSA as EC"
    ),
    pytest.param(
        lambda i: signed(i.keys[0], {"alg": "EdDSA", "kid": "EdDSA"}, i.claims()), "no valid", id="RSA as Ed"
    ),
    pytest.param(
        lambda i: assembled({"alg": "ES256", "kid": "ES256"}, i.claims(), bytes(64)),
        "no valid signature",
        id="zeroes for a signature",
    ),
    pytest.param(
        lambda i: i.keys[0].sign(i.claims(), kid="../../etc/passwd"), "not signed with a key", id="kid a path"
    ),
    pytest.param(lambda i: SigningKey(None).sign(i.claims()), "no valid signature", id="no kid"),
    pytest.param(
        lambda i: altered(i.token(), 1, lambda _: encoded(i.claims(sub="root"))), "no valid", id="new claims"
    ),
    pytest.param(
        lambda i: altered(i.token(), 0, lambda _: encoded({"alg": "RS256", "kid": "RS256", "x": 1})),
        "no valid",
        id="new header",
    ),
]


@pytest.mark.parametrize(("make", "reason"), SIGNATURES)
async def test_refuses_signatures(
    issuer: LocalIssuer, oidc: Oidc, make: Callable[[LocalIssuer], str], reason: str
) -> None:
    """Not signed by the issuer, or with an algorithm that is not accepted."""
    with pytest.raises(Unauthenticated, match=reason):
        await oidc.authenticate(make(issuer))


HEADERS: list[Any] = [
    pytest.param({"crit": ["exp"], "exp": 1}, id="critical and unknown"),
    pytest.param({"crit": ["b64"], "b64": True}, id="critical and unneeded"),
    pytest.param({"crit": []}, id="critical and empty"),
    pytest.param({"crit": "b64"}, id="critical and no list"),
    pytest.param({"crit": None}, id="critical and null"),
    pytest.param({"b64": False}, id="payload not encoded"),
    pytest.param({"b64": True}, id="payload said to be encoded"),
    pytest.param({"kid": 7}, id="key's name a number"),
    pytest.param({"kid": None}, id="key's name null"),
    pytest.param({"kid": ["RS256"]}, id="key's name a list"),
]


@pytest.mark.parametrize("header", HEADERS)
async def test_refuses_headers(issuer: LocalIssuer, oidc: Oidc, header: dict[str, Any]) -> None:
    """Critical headers are not supported. The signature is valid."""
    with pytest.raises(Unauthenticated):
        await oidc.authenticate(
            signed(issuer.keys[0], {"alg": "RS256", "kid": "RS256"} | header, issuer.claims())
        )


GARBAGE: list[Any] = [
    pytest.param("", id="nothing"),
    pytest.param(".", id="dot"),
    pytest.param("..", id="dots"),
    pytest.param("a.b.c.d.e", id="as if encrypted"),
    pytest.param("Bearer abc", id="scheme left on"),
    pytest.param("ä.ö.ü", id="beyond ASCII"),
    pytest.param("\ud800.x.y", id="half a character"),
    pytest.param("\x00" * 64, id="zeroes"),
    pytest.param(assembled([], {}), id="header a list"),
    pytest.param(assembled({"alg": "RS256"}, []), id="claims a list"),
    pytest.param(assembled({"alg": "RS256"}, b"<html>"), id="claims no JSON"),
    pytest.param(assembled({"alg": "RS256"}, b"\xff\xfe"), id="claims no text"),
    pytest.param(assembled({"alg": "RS256"}, b"[" * 9_000), id="claims deep"),
    pytest.param(assembled({"alg": "RS256"}, b'{"exp":' + b"9" * 9_000 + b"}"), id="claims a huge number"),
    pytest.param(assembled({"alg": "RS256"}, {"iss": {}}), id="issuer an object"),
]


@pytest.mark.parametrize("token", GARBAGE)
async def test_refuses_garbage(issuer: LocalIssuer, oidc: Oidc, token: str) -> None:
    """Not a token at all; no request to the issuer."""
    await oidc.authenticate(issuer.token())
    with pytest.raises(Unauthenticated):
        await oidc.authenticate(token)
    assert issuer.fetches == 1


@pytest.mark.parametrize("characters", [16_385, 100_000, 10_000_000])
async def test_refuses_large_tokens_unparsed(issuer: LocalIssuer, oidc: Oidc, characters: int) -> None:
    """A token of over 16 KB is refused by its length alone."""
    token = issuer.token(filling="x" * characters)
    took_s = []
    for _ in range(5):
        started = time.process_time()
        with pytest.raises(Unauthenticated, match="longer than 16384 characters"):
            await oidc.authenticate(token)
        took_s.append(time.process_time() - started)
    assert min(took_s) < 0.005  # garbage of others may be collected meanwhile


KEYS: list[Any] = [
    pytest.param({"use": "enc"}, id="for encryption"),
    pytest.param({"use": ["sig"]}, id="uses"),
    pytest.param({"key_ops": ["encrypt"]}, id="operations without verify"),
    pytest.param({"key_ops": "verify"}, id="operations a text"),
    pytest.param({"alg": "RSA-OAEP"}, id="for another algorithm"),
    pytest.param({"alg": "RS512"}, id="for an algorithm not accepted"),
    pytest.param({"alg": 7}, id="algorithm a number"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0"}, id="symmetric"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}, id="symmetric, for HMAC"),
    pytest.param({"kty": "EC"}, id="key type not the algorithm's"),
    pytest.param({"kty": None}, id="no key type"),
    pytest.param({"n": None}, id="no modulus"),
    pytest.param({"n": 5}, id="modulus a number"),
    pytest.param({"n": "!"}, id="modulus garbage"),
    pytest.param({"e": "AQ"}, id="exponent of one"),
    pytest.param({"kid": 7}, id="name a number"),
]


@pytest.mark.parametrize("members", KEYS)
async def test_does_not_use_keys_that_are_not_for_it(
    clock: Time, issuer: LocalIssuer, members: dict[str, object]
) -> None:
    """The issuer publishes the key, but not for that signature. Other keys of the set are used."""
    rsa, ec = issuer.keys[0], issuer.keys[2]
    issuer.published = [rsa.jwk(**members), ec.jwk()]
    async with trusting(clock, issuer) as oidc:
        assert (await oidc.authenticate(issuer.token(key=ec))).subject == SUBJECT
        with pytest.raises(Unauthenticated, match="not signed with a key that its issuer publishes"):
            await oidc.authenticate(issuer.token())


async def test_does_not_use_weak_keys(clock: Time, issuer: LocalIssuer) -> None:
    """RSA keys of less than 2,048 bits can be forged."""
    issuer.published.append(WEAK.jwk())
    unsigned = f"{encoded({'alg': 'RS256', 'kid': 'weak'})}.{encoded(issuer.claims())}"
    signature = jwt.get_algorithm_by_name("RS256").sign(unsigned.encode(), WEAK.private)
    async with trusting(clock, issuer) as oidc:
        with pytest.raises(Unauthenticated, match="not signed with a key"):
            await oidc.authenticate(f"{unsigned}.{encoded(signature)}")


async def test_does_not_use_a_curve_that_is_not_the_algorithms(clock: Time, issuer: LocalIssuer) -> None:
    """ES256 only allows P-256."""
    issuer.published.append(P384.jwk(alg="ES256"))
    async with trusting(clock, issuer) as oidc:
        with pytest.raises(Unauthenticated, match="not signed with a key"):
            await oidc.authenticate(forged_curve(issuer))


def forged_curve(issuer: LocalIssuer) -> str:
    unsigned = f"{encoded({'alg': 'ES256', 'kid': 'p384'})}.{encoded(issuer.claims())}"
    signature = jwt.get_algorithm_by_name("ES384").sign(unsigned.encode(), P384.private)
    return f"{unsigned}.{encoded(signature)}"


async def test_does_not_guess_among_several_keys(issuer: LocalIssuer, oidc: Oidc) -> None:
    """A token without a key id is valid only if there is exactly one such key."""
    second = SigningKey("second", "ES256")
    issuer.published.append(second.jwk())
    second.kid = None
    with pytest.raises(Unauthenticated, match="not signed with a key"):
        await oidc.authenticate(issuer.token(key=second))


MUTATIONS = st.tuples(
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 3),
    st.one_of(st.sampled_from(["", ".", "=", "A", "-", "_", "AA", "e30", "\n"]), st.text(max_size=4)),
)


@settings(max_examples=examples(150))
@given(
    token=st.one_of(
        st.text(),
        st.lists(st.binary().map(encoded), max_size=5).map(".".join),
        st.builds(
            assembled,
            st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), st.text() | st.none()),
            st.dictionaries(
                st.sampled_from(["iss", "sub", "aud", "exp"]), st.text() | st.floats() | st.none()
            ),
            st.binary(max_size=80),
        ),
    )
)
async def test_any_text_is_refused_and_nothing_else_happens(oidc: Oidc, token: str) -> None:
    """Any text is refused as an invalid token."""
    with pytest.raises(Unauthenticated):
        await oidc.authenticate(token)


@settings(max_examples=examples(150))
@given(number=st.integers(0, len(ALGORITHMS) - 1), mutations=st.lists(MUTATIONS, min_size=1, max_size=3))
async def test_changed_tokens_are_valid_only_if_pyjwt_accepts_them(
    issuer: LocalIssuer, oidc: Oidc, number: int, mutations: list[tuple[float, int, str]]
) -> None:
    """A token with characters removed, replaced or inserted is refused, unless it is equivalent.

    What is accepted, `jwt.decode` accepts with the issuer's key, and finds the same claims.
    """
    key = issuer.keys[number]
    token = key.sign(issuer.claims())
    for place, left_out, put_in in mutations:
        at = int(place * len(token))
        token = token[:at] + put_in + token[at + left_out :]
    with suppress(Unauthenticated):
        caller = await oidc.authenticate(token)
        found = jwt.decode(
            token, jwt.PyJWK(key.jwk()), algorithms=[key.algorithm], audience=AUDIENCE, issuer=issuer.url
        )
        assert dict(caller.claims) == found


@settings(max_examples=examples(100))
@given(
    claims=st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "groups"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ),
        min_size=1,
    )
)
async def test_any_claims_make_a_caller_or_are_refused(
    issuer: LocalIssuer, oidc: Oidc, claims: dict[str, Any]
) -> None:
    """Any signed claims give a caller whose name is safe to log, or a refusal."""
    token = signed(issuer.keys[0], {"alg": "RS256", "kid": "RS256"}, issuer.claims() | claims)
    with suppress(Unauthenticated):
        caller = await oidc.authenticate(token)
        assert caller.name.isprintable()
        assert caller.expires_at == claims.get("exp", issuer.claims()["exp"])
