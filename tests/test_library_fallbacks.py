"""Private parts of libraries that are missing or answer differently: the service starts, serves, and warns once.

Each test takes a library's part away, as a newer release may, and looks at the service from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from transfer_gateway import server
from wire import calling, place, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

Logs = list[Any]
HANDLER = "strawberry.subscriptions.protocols.graphql_transport_ws.handlers.BaseGraphQLTransportWSHandler"
QUERY = "query ($keys: [ExecutionKeyInput!]!) { executions(keys: $keys) { ... on Execution { id status } } }"


@pytest.fixture
def logs() -> Any:
    with capture_logs() as logs:
        yield logs


@pytest.fixture
async def start(
    aws: Emulator, settings: Callable[..., Settings], logs: Logs
) -> AsyncIterator[Callable[..., Any]]:
    """Starts the service with a part of a library gone, or replaced."""


def warnings(logs: Logs) -> list[tuple[str, str]]:
    return [(line["library"], line["reason"]) for line in logs if line["event"] == "library_internals_differ"]


async def look_up(service: server.Service, world: World) -> None:
    """Two executions in one operation, whose input is a long list, and an error."""
    async with calling(service.url) as gateway:
        keys = [place(world), place(world)]
        answer = await gateway.ask(QUERY, keys=[to_input(key) for key in keys])
        assert [found["status"] for found in answer["data"]["executions"]] == ["IN_PROGRESS"] * 2
        wrong = await gateway.ask("{ acounts { id } }")
        assert wrong["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("part", "library", "reason"),
    [
        (
            "aiobotocore.client.AioBaseClient._resolve_endpoint_ruleset",
            "botocore",
            "Transfer._resolve_endpoint_ruleset is missing",
        ),
        (
            "botocore.auth.SigV4Auth._modify_request_before_signing",
            "botocore",
            "x",
        ),
    ],
)
async def test_a(part: str, library: str, reason: str) -> None:
    pass
