"""Callers with tokens of a real issuer, and the policy that defines what each of them sees."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from doors import both_doors
from issuer import LocalIssuer, SigningKey
from transfer_gateway import server
from wire import PLAIN, REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from doors import Door

KEY = SigningKey("one")
POLICY = f"""
rules:
  - callers: {{ groups: [ops] }}
    accounts: {{ all: true }}
  - callers: {{ groups: [payments] }}
    accounts: {{ ids: ["{PLAIN}"] }}
    regions: [{REGION}]
  - callers: {{ subjects: [auditor] }}
    accounts: {{ aliases: ["payments-*"] }}
    hide: [executionRole, initialFileLocation, stepOutputs]
"""
CALLERS: dict[str, dict[str, Any]] = {
    "operator": {"sub": "olga", "groups": ["ops"]},
    "payments": {"sub": "paul", "groups": ["payments"]},
    "auditor": {"sub": "auditor"},
    "nobody": {"sub": "nina", "groups": ["others"]},
}


@asynccontextmanager
async def doors_of(
    service: server.Service, issuer: LocalIssuer, caller: str, *, history: bool = False
) -> AsyncIterator[tuple[Door, ...]]:
    async with both_doors(service, issuer.token(**CALLERS[caller]), history=history) as doors:
        yield doors
