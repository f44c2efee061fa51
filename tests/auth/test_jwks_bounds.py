"""No document of an issuer blocks the event loop for long."""

from __future__ import annotations

import base64
import json
import time

import pytest

from transfer_gateway.auth.jwks import Unusable, decode_keys

MEBIBYTE = 1_048_576
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
STALL_S = 0.05


def number(bits: int) -> str:
    return base64.urlsafe_b64encode(((1 << bits) - 1).to_bytes(bits // 8, "big")).rstrip(b"=").decode()


def keys(count: int, **members: str) -> bytes:
    return json.dumps({"keys": [{"kid": str(kid), **members} for kid in range(count)]}).encode()


HOSTILE = {
    "lists": b'{"keys":[' + b"[]," * (MEBIBYTE // 3 - 10) + b"[]]}",
    "objects": b'{"keys":[' + b"{}," * (MEBIBYTE // 3 - 10) + b"{}]}",
    "deep": b'{"keys":' + b"[" * (MEBIBYTE // 2 - 10) + b"]" * (MEBIBYTE // 2 - 10) + b"}",
    "one-modulus": keys(1, kty="RSA", n=number(6_000_000), e="AQAB"),
    "moduli": keys(100, kty="RSA", n=number(60_000), e="AQAB"),
    "exponents": keys(100, kty="RSA", n=number(2048), e=number(60_000)),
    "points": keys(100, kty="EC", crv="P-256", x=number(30_000), y=number(30_000)),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_slow_documents_are_not_decoded(body: bytes) -> None:
    """1 MiB is rejected within 50 ms of CPU time; a million empty lists took 230 ms, a hundred long numbers 75 ms."""
    assert len(body) < MEBIBYTE * 1.1
    took_s = []
    for _ in range(3):
        began = time.process_time()
        with pytest.raises(Unusable):
            decode_keys(body, ALGORITHMS)
        took_s.append(time.process_time() - began)
    assert min(took_s) < STALL_S
