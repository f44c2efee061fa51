"""Third-party clients against the gRPC server. Run by `.ci/run clients`, which installs them."""

from __future__ import annotations

import asyncio
import json
import socket
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any

import pytest

from history_events import new_run
from node import NODE, output
from transfer_gateway import server
from transfer_gateway.history.store import open_store
from wire import place, to_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.node

SERVICE = "transfer_api.v1.ExecutionService"


async def buf_curl(service: server.Service, path: str, *options: str) -> tuple[int | None, str]:
    buf, url = NODE / "node_modules/.bin/buf", f"http://{service.grpc}{path}"
    return await output(buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options, url)


async def test_buf_curl(service: server.Service, world: World) -> None:
    """With reflection alone, buf lists the services, gets an execution, and reads an error's details."""
    _, listed = await buf_curl(service, "", "--list-services")
    assert {SERVICE, "grpc.health.v1.Health"} <= set(listed.split())
    key = place(world)
    asked = json.dumps({"key": to_input(key)})
    code, found = await buf_curl(service, f"/{SERVICE}/GetExecution", "-d", asked)
    assert (code, json.loads(found)["execution"]["id"]) == (0, str(key))
    world.remove(key.account_id, key.region, key.workflow_id, key.execution_id)
    asked = json.dumps({"key": to_input(key), "maxAge": "0s"})
    code, failed = await buf_curl(service, f"/{SERVICE}/GetExecution", "-d", asked)
    assert code != 0
    assert json.loads(failed)["code"] == "not_found"
    assert {"google.rpc.ErrorInfo", "google.rpc.ResourceInfo"} <= {
        detail["type"] for detail in json.loads(failed)["details"]
    }


async def test_node(service: server.Service, world: World) -> None:
    """A Node client gets an execution, and reads an error's details."""

    async def get(key: dict[str, str]) -> Any:
        return json.loads((await output("node", NODE / "grpc_client.mjs", service.grpc, json.dumps(key)))[1])

    key = place(world)
    assert (await get(to_input(key)))["id"] == str(key)
    failed = await get(to_input(key) | {"accountId": "123123123123"})
    assert failed["code"] == "NOT_FOUND"
    by_type = {detail["type"]: detail for detail in failed["details"]}
    assert by_type["ErrorInfo"]["reason"] == "ACCOUNT_NOT_AVAILABLE"
    assert by_type["ErrorInfo"]["metadata"]["accountId"] == "123123123123"
    assert by_type["ResourceInfo"]["resourceName"] == "123123123123"
    (violation,) = (await get({}))["details"][1]["fieldViolations"]
    assert violation["field"] == "key.account_id"


async def test_node_watches(aws: Emulator, settings: Callable[..., Settings], tmp_path: Path) -> None:
    """A Node client watches an execution to its end, while the gateway is replaced: each event once, in order."""
    url = f"sqlite:///{tmp_path / 'history.db'}"
    port = free_port()
    remembering = settings(history_url=url, grpc_port=port, grpc_max_connection_age_s=1)
    run = new_run()
    async with open_store(url) as store:
        async with server.running(remembering):
            await store.append(run[:2])
            process = await asyncio.create_subprocess_exec(
                "node",
                NODE / "grpc_watch.mjs",
                f"127.0.0.1:{port}",
                json.dumps(to_input(run[0].key)),
                stdout=PIPE,
                stderr=PIPE,
            )
            assert process.stdout is not None
            assert process.stderr is not None
            async with asyncio.timeout(60):
                received = event_ids(await process.stdout.readline())
                assert b"UNAVAILABLE: The subscription" in await process.stderr.readline()
                await store.append(run[2:4])
                received += event_ids(await process.stdout.readline())
        await store.append(run[4:6])
        async with server.running(remembering), asyncio.timeout(60):
            received += event_ids(await process.stdout.readline())
            await store.append(run[6:])
            while line := await process.stdout.readline():
                received += event_ids(line)
            assert await process.wait() == 0
    assert received == [event.id for event in run]


def event_ids(line: bytes) -> list[str]:
    return [event["id"] for event in json.loads(line).get("events", ())]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
