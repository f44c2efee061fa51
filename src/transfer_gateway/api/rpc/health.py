"""The standard health service, as probes and clients ask it: no token is needed.

grpcio-health-checking's own writes to watchers while it holds the lock that a change of status needs: one that doesn't
read would keep the service from ever saying that it shuts down.
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
    """One status for the services of these names."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services)
        self._status: int = _Response.NOT_SERVING
        self._changed = asyncio.Event()

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001  the one thing it is told
        self._status = _Response.SERVING if ready else _Response.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> Any:  # noqa: ANN401  as the generated code has it
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _Response(status=self._status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, _context: Any) -> AsyncIterator[Any]:  # noqa: ANN401  as above
        """The status now, and each other one from then on. A client that reads slowly is told the newest alone."""
        told = None
        while True:
            changed = self._changed
            status = self._status if request.service in self._services else _Response.SERVICE_UNKNOWN
            if status != told:
                yield _Response(status=status)
                told = status
            await changed.wait()
