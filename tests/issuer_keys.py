"""An issuer's keys over time: signing keys, how long they are cached, and a clock that makes them old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from issuer import SigningKey
from wire import until

if TYPE_CHECKING:
    from issuer import LocalIssuer, Time
    from transfer_gateway.auth import Oidc

COOLDOWN_S, MAX_AGE_S = 30.0, 300.0
UNKNOWN = "not signed with a key that its issuer publishes"
A, B, C, D = (SigningKey(f"key-{letter}", "ES256") for letter in "abcd")


async def refreshed(issuer: LocalIssuer, oidc: Oidc) -> None:
    """Wait for a background refresh that a request has started."""
    await until(lambda: all(keys._fetching is None for keys in oidc._keys.values()))


async def age(clock: Time, issuer: LocalIssuer, oidc: Oidc, seconds: float) -> None:
    """Advance the clock, then send a request."""
    clock.now += seconds
    await oidc.authenticate(issuer.token())
    await refreshed(issuer, oidc)
