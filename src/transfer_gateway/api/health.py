"""Liveness and readiness, as Kubernetes asks for them. Neither ever asks AWS."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import JSONResponse

_METHODS = ["GET", "HEAD"]


@dataclass(slots=True)
class Readiness:
    """Whether to send requests here: not before there is any account to serve. `server.py` sets it.

    A service that drains refuses new connections, which is what tells whoever probes it.
    """

    ready: bool = False
    reason: str = "starting"


def health_routes(readiness: Readiness) -> APIRouter:
    router = APIRouter()

    @router.api_route("/livez", methods=_METHODS)
    async def livez() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.api_route("/readyz", methods=_METHODS)
    async def readyz() -> JSONResponse:
        if readiness.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": readiness.reason}, status_code=503)

    return router
