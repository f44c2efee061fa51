"""Liveness and readiness, as Kubernetes asks for them. Neither ever asks AWS."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import JSONResponse


@dataclass(slots=True)
class Readiness:
    """Whether to send requests here. `server.py` sets it: not before the start, not while draining."""

    ready: bool = False
    reason: str = "starting"


def health_routes(readiness: Readiness) -> APIRouter:
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        if readiness.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "reason": readiness.reason}, status_code=503)

    return router
