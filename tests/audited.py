"""The service as a process, called at both servers, and its audit lines for each request."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from command import started
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from wire import JSON, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceAsyncStub
    from wire import Gateway


class Line(NamedTuple):
    """One line of the audit log."""

    operation: str
    ids: tuple[str, ...]
    outcome: str
    source: str | None = None


@dataclass
class Audited:
    """Requests with ids of their own; `lines` has each one's once the service has ended."""

    gateway: Gateway
    stub: ExecutionServiceAsyncStub
    lines: dict[str, list[Line]] = field(default_factory=lambda: defaultdict(list))

    async def ask(self, name: str, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = JSON | {"x-request-id": name}
        answer: dict[str, Any] = (await self.gateway.send("POST", body=body, headers=headers)).json()
        return answer

    async def call(self, name: str, method: str, request: Any) -> Any:
        """An RPC's response, the list of a stream's, or the status of its failure."""
        call = getattr(self.stub, method)(request, metadata=(("x-request-id", name),))
        try:
            return [answer async for answer in call] if hasattr(call, "__aiter__") else await call
        except grpc.aio.AioRpcError as error:
            return error.code()


@asynccontextmanager
async def audited(accounts_file: Path, **environment: str) -> AsyncIterator[Audited]:
    given = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_FORMAT": "json",
        "TRANSFER_GATEWAY_HISTORY_URL": "off",  # its followers read the same snapshots in between
    }
    async with started("serve", "--http-port", "0", **given | environment) as service:
        async with calling(service.url) as gateway, grpc.aio.insecure_channel(service.grpc) as channel:
            asked = Audited(gateway, ExecutionServiceStub(channel))
            yield asked
        _, log = await service.stop()
    for event in map(json.loads, log.splitlines()):
        if event["logger"] == "audit":
            line = Line(event["operation"], tuple(event["ids"]), event["outcome"], event.get("source"))
            asked.lines[event["request_id"]].append(line)
