"""The /metrics endpoint for Prometheus. Like the probes it needs no token; restrict access by network policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from transfer_gateway.telemetry import Metrics, WorkerMetrics


def metrics_route(metrics: Metrics | WorkerMetrics) -> Route:
    async def get_metrics(request: Request) -> Response:
        body, media_type = await metrics.exposition(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media_type, "cache-control": "no-store"})

    return Route("/metrics", get_metrics)
