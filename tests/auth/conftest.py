"""An issuer with a key of each kind, and an Oidc that trusts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from issuer import LocalIssuer, SigningKey, Time, trusting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer_gateway.auth import Oidc

# Made once: an RSA key costs 50 ms and more.
RSA, PSS, EC, ED = (SigningKey(name, name) for name in ("RS256", "PS256", "ES256", "EdDSA"))


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
async def issuer(clock: Time) -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(clock, RSA, PSS, EC, ED) as issuer:
        yield issuer


@pytest.fixture
async def oidc(clock: Time, issuer: LocalIssuer) -> AsyncIterator[Oidc]:
    async with trusting(clock, issuer) as oidc:
        yield oidc
