"""Liveness and readiness, as Kubernetes asks for them. Neither ever asks AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

_METHODS = ["GET", "HEAD"]


@dataclass(slots=True)
class Readiness:
    """Whether to send requests here: not before there is any account to serve, and no more once it ends.

    `server.py` changes it. `follow` hears each change: gRPC's health checks say the same.
    """

    follow: Callable[[bool], Awaitable[None]]
    lack: str | None = "starting"

    async def change(self, lack: str | None) -> None:
        """What is lacking for the service to be ready; None: nothing."""
        self.lack = lack
        await self.follow(lack is None)


def health_routes(readiness: Readiness) -> list[Route]:
    """Plain routes: FastAPI keeps what it has analysed, and with it `readiness` and all that it leads to, for good."""

    async def livez(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(_request: Request) -> JSONResponse:
        if readiness.lack is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": readiness.lack}, status_code=503)

    return [Route("/livez", livez, methods=_METHODS), Route("/readyz", readyz, methods=_METHODS)]
