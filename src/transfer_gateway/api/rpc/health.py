"""The standard health service, for probes and clients. It needs no token.

grpcio-health-checking's own servicer writes to watchers while holding the lock that status changes need: a client that
does not read would block the change to NOT_SERVING at shutdown.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """The same status for all given services."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._status: int = _Response.NOT_SERVING
        self._changed = asyncio.Event()

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001  the only argument
        self._status = _Response.SERVING if ready else _Response.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: ANN401  as the generated code has it
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _Response(status=self._status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, _context: Any) -> AsyncIterator[Any]:  # noqa: ANN401  as above
        """The current status, then each change. A client that reads slowly gets only the latest."""
        sent = None
        while True:
            changed = self._changed
            status = self._status if request.service in self._services else _Response.SERVICE_UNKNOWN
            if status != sent:
                yield _Response(status=status)
                sent = status
            await changed.wait()
