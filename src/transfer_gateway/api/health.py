"""Liveness and readiness, as Kubernetes asks for them. Neither ever asks AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from transfer_gateway.telemetry import audit_lack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

_METHODS = ["GET", "HEAD"]


@dataclass(slots=True)
class Readiness:
    """Whether to send requests here: not before there is any account to serve, and no more once it ends.

    Nor while the audit log can't be written. `server.py` changes it. `follow` hears each change: gRPC's health checks
    say the same.
    """

    follow: Callable[[bool], Awaitable[None]]
    lack: str | None = "starting"

    async def change(self, lack: str | None) -> None:
        """What is lacking for the service to be ready; None: nothing."""
        self.lack = lack
        await self.tell()

    async def tell(self) -> None:
        await self.follow(self.reason() is None)

    def reason(self) -> dict[str, str] | None:
        """Why it isn't ready, as /readyz says it."""
        if self.lack is not None:
            return {"reason": self.lack}
        detail = audit_lack()
        return None if detail is None else {"reason": "audit log can't be written", "detail": detail}


def health_routes(readiness: Readiness) -> list[Route]:
    """Plain routes: FastAPI keeps what it has analysed, and with it `readiness` and all that it leads to, for good."""

    async def livez(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> JSONResponse:
        reason = readiness.reason()
        if reason is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", **reason}, status_code=503)

    return [Route("/livez", livez, methods=_METHODS), Route("/readyz", readyz, methods=_METHODS)]
