"""Private parts of libraries that are missing or behave differently: the service starts, serves, and warns once.

Each test changes a library as a newer release might, and tests the service from outside.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiobotocore.client import AioBaseClient
from aiobotocore.httpsession import AIOHTTPSession
from botocore.auth import SigV4Auth
from botocore.client import BaseClient
from botocore.loaders import JSONFileLoader
from graphql.execution.executor import Executor
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.types.info import Info
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidStatus

from transfer_api.v1 import execution_pb2, execution_service_pb2_grpc
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import library_checks, server
from transfer_gateway.aws.botocore_data import data_loader
from wire import calling, connected, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

    Change = Callable[[pytest.MonkeyPatch], None]

QUERY = """
  query ($keys: [ExecutionKey!]!) {
    executions(keys: $keys) { ... on Execution { status workflowId } ... on Error { code } }
  }
"""


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(library_checks, "_reported", set())


def gone(owner: type, name: str) -> Change:
    return lambda patch: patch.delattr(owner, name)


def other_parameters(owner: type, name: str) -> Change:
    """It does the same, but no longer shows its parameters."""
    theirs = getattr(owner, name)

    def part(*args: Any, **options: Any) -> Any:
        return theirs(*args, **options)

    return lambda patch: patch.setattr(owner, name, part)


def signs_one_more_header(patch: pytest.MonkeyPatch) -> None:
    theirs = SigV4Auth.add_auth

    def add_auth(self: SigV4Auth, request: Any) -> None:
        request.headers["X-Amz-New"] = "1"
        theirs(self, request)

    patch.setattr(SigV4Auth, "add_auth", add_auth)


def does_not_shut_down(patch: pytest.MonkeyPatch) -> None:
    def shutdown(self: HttpToolsProtocol) -> None:
        pass

    patch.setattr(HttpToolsProtocol, "shutdown", shutdown)


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[tuple[server.Service, list[Any]]]:
    """The service, and its warnings about libraries."""
    with capture_logs() as logs:
        async with server.running(settings) as service:
            yield service, [line for line in logs if line["event"] == "library_internals_differ"]


async def check_lookups(service: server.Service, world: World) -> None:
    """Lookups, a long list of input objects, and errors are unchanged; limits apply."""
    async with calling(service.url) as gateway:
        keys = [to_input(place(world)) for _ in range(3)]
        for _ in range(2):
            answer = await gateway.ask(QUERY, keys=keys)
            assert answer == {
                "data": {
                    "executions": [{"status": "IN_PROGRESS", "workflowId": key["workflowId"]} for key in keys]
                }
            }
        unknown = await gateway.ask(QUERY, keys=[keys[0] | {"accountId": "999999999998"}])
        assert unknown["data"]["executions"] == [{"code": "ACCOUNT_NOT_AVAILABLE"}]
        wrong = await gateway.ask("query ($keys: [ExecutionKey!]!) { executions(keys: $keys) { a } }")
        assert wrong["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        message = (await gateway.ask(QUERY, keys=[keys[0] | {"accountId": True}]))["errors"][0]["message"]
        assert message.startswith("Variable '$keys' has invalid value at [0].accountId: AccountId must match")
        assert message.endswith("got true.")
        aliases = " ".join(f"a{number}: accounts {{ id }}" for number in range(60))
        assert "max_" in (await gateway.ask(f"{{ {aliases} }}"))["errors"][0]["message"]


@pytest.mark.parametrize(
    ("change", "library", "reason"),
    [
        pytest.param(
            gone(BaseClient, "_get_credentials"),
            "botocore",
            "_get_credentials is missing",
            id="botocore: a part is gone",
        ),
        pytest.param(
            other_parameters(AioBaseClient, "_convert_to_request_dict"),
            "botocore",
            "_convert_to_request_dict takes other parameters",
            id="botocore: a part takes other parameters",
        ),
        pytest.param(
            signs_one_more_header,
            "botocore",
            "a request is signed differently",
            id="botocore: signs differently",
        ),
        pytest.param(
            other_parameters(AIOHTTPSession, "_get_session"),
            "aiobotocore",
            "_get_session takes other parameters",
            id="aiobotocore: a part takes other parameters",
        ),
        pytest.param(
            gone(HttpToolsProtocol, "_get_upgrade"), "uvicorn", "_get_upgrade", id="uvicorn: a part is gone"
        ),
        pytest.param(
            does_not_shut_down,
            "uvicorn",
            "an idle connection is not closed at shutdown",
            id="uvicorn: answers differently",
        ),
        pytest.param(
            other_parameters(WebSocketsSansIOProtocol, "handle_ping"),
            "uvicorn",
            "handle_ping takes other parameters",
            id="uvicorn: a part of its WebSockets",
        ),
        pytest.param(
            other_parameters(Executor, "collect_subfields"),
            "graphql-core",
            "collect_subfields takes other parameters",
            id="graphql-core: a part takes other parameters",
        ),
        pytest.param(
            other_parameters(Info, "__init__"),
            "strawberry-graphql",
            "__init__ takes other parameters",
            id="strawberry: a part takes other parameters",
        ),
    ],
)
@pytest.mark.variants(keep=3)
async def test_the_service_serves_without_it(
    aws: Emulator,
    world: World,
    settings: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    library: str,
    reason: str,
) -> None:
    """By the library's public API, with one warning that has library, version, reason and fallback."""
    change(monkeypatch)
    async with started(settings()) as (service, warnings):
        await check_lookups(service, world)
        async with socket(service.url) as client:
            await client.subscribe("1", "{ accounts { id } }")
            assert len((await client.next())["payload"]["data"]["accounts"]) == 3
    told = [line for line in warnings if line["library"] == library]
    assert len(told) == 1
    assert reason in told[0]["reason"]
    assert told[0]["version"]
    assert told[0]["fallback"]


async def test_no_warning_where_all_is_known(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    async with started(settings()) as (service, warnings):
        await check_lookups(service, world)
    assert warnings == []


async def test_uvicorns_own_server_limits_heads_and_ends(
    aws: Emulator, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HttpToolsProtocol, "_get_upgrade")
    async with (
        started(settings(http_max_head_bytes=8192, shutdown_grace_s=1)) as (service, warnings),
        connected(service.url) as (reader, writer),
    ):
        assert "no timeouts for heads" in warnings[0]["fallback"]
        writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\na: " + b"a" * 20_000)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


async def test_websockets_are_refused_without_strawberrys_handler(
    aws: Emulator, world: World, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strawberry's own handler would bypass limits and admission."""
    other_parameters(BaseGraphQLTransportWSHandler, "handle_subscribe")(monkeypatch)
    async with started(settings()) as (service, warnings):
        with pytest.raises(InvalidStatus, match="403"):
            async with socket(service.url):
                pass
        await check_lookups(service, world)
    assert [line["library"] for line in warnings] == ["strawberry-graphql"]


async def test_grpcs_own_server(
    aws: Emulator, world: World, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc, "__version__", "1.99.0")
    key = place(world)
    asked = pb.GetExecutionRequest(
        key=execution_pb2.ExecutionKey(
            account_id=key.account_id,
            region=key.region,
            workflow_id=key.workflow_id,
            execution_id=key.execution_id,
        )
    )
    async with started(settings()) as (service, warnings):
        async with grpc.aio.insecure_channel(service.grpc) as channel:
            stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
            answer = await stub.GetExecution(asked)
        assert answer.execution.execution_id == key.execution_id
    assert [(line["library"], line["reason"]) for line in warnings] == [
        ("grpcio", "1.99.0: only 1.85.* is known")
    ]


def test_botocores_own_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    other_parameters(JSONFileLoader, "load_file")(monkeypatch)
    with capture_logs() as logs:
        loader = data_loader()
    assert type(loader.file_loader) is JSONFileLoader
    assert [line["library"] for line in logs] == ["botocore"]
