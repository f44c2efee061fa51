"""One service, both of its doors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from doors import GraphQLDoor, RpcDoor, both_doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer_gateway import server


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
