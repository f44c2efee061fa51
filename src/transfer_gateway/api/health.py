"""Liveness and readiness endpoints for Kubernetes. Neither calls AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from transfer_gateway.telemetry import audit_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

_METHODS = ["GET", "HEAD"]


@dataclass(slots=True)
class Readiness:
    """Whether the service accepts requests: not before it has accounts, not during shutdown, and not without audit log.

    `server.py` updates it. `on_change` receives each new state, so that gRPC's health service agrees with /readyz.
    """

    on_change: Callable[[bool], Awaitable[None]]
    not_ready_reason: str | None = "starting"

    async def update(self, not_ready_reason: str | None) -> None:
        """None: ready."""
        self.not_ready_reason = not_ready_reason
        await self.publish()

    async def publish(self) -> None:
        await self.on_change(self.reason() is None)

    def reason(self) -> dict[str, str] | None:
        """Why the service is not ready, as /readyz reports it; None if it is ready."""
        if self.not_ready_reason is not None:
            return {"reason": self.not_ready_reason}
        detail = audit_problem()
        return None if detail is None else {"reason": "audit log can't be written", "detail": detail}


def health_routes(readiness: Readiness) -> list[Route]:
    """Starlette routes: FastAPI would cache these functions, and with them `readiness`, for the life of the process."""

    async def livez(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> JSONResponse:
        reason = readiness.reason()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", **reason}, status_code=503)

    return [Route("/livez", livez, methods=_METHODS), Route("/readyz", readyz, methods=_METHODS)]
