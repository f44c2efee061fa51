"""A service with both servers, and one with authentication."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from callers import KEY, POLICY
from doors import GraphQLDoor, RpcDoor, both_doors
from issuer import AUDIENCE, LocalIssuer, Time
from recorded import REMEMBERS
from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings


@pytest.fixture
async def doors(service: server.Service) -> AsyncIterator[tuple[GraphQLDoor, RpcDoor]]:
    async with both_doors(service) as doors:
        yield doors


@pytest.fixture
def graphql(doors: tuple[GraphQLDoor, RpcDoor]) -> GraphQLDoor:
    return doors[0]


@pytest.fixture
def rpc(doors: tuple[GraphQLDoor, RpcDoor]) -> RpcDoor:
    return doors[1]


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(Time(), KEY) as issuer:
        yield issuer


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
async def guarded(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path
) -> AsyncIterator[server.Service]:
    """The service with its default authentication."""
    async with server.running(
        settings(
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy_file,
            accounts_reload_s=0.1,
            target_rate_per_s=1000,  # some tests here ask a lot
        )
    ) as service:
        yield service


@pytest.fixture
async def remembering(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path
) -> AsyncIterator[server.Service]:
    """With authentication and a history; the policy file is not read again."""
    async with server.running(
        settings(
            **REMEMBERS,
            caller_requests_per_s=10_000,  # property tests ask as fast as they can
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy_file,
            accounts_reload_s=3600,
        )
    ) as service:
        yield service
