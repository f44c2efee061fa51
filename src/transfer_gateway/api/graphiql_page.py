"""GraphiQL for browsers, at the GraphQL path: files that Vite builds from `web/`, and nothing from other sites.

If they were not built, the service runs all the same, and the page says how to build them.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_BUILT = Path(__file__).parent / "pages/graphiql"
_POLICY = (
    "default-src 'none'; script-src 'self'; font-src 'self' data:; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    "style-src 'self' 'unsafe-inline'"  # Monaco, the editor, creates styles at run time
)
# On every file: a worker's policy is that of its own script, not the page's.
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_KEEP = "public, max-age=31536000, immutable"  # file names contain a content hash
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".ttf": "font/ttf"}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_QUERY_PARAMETERS = {"query", "documentId", "extensions"}  # parameters that name a document
_GRAPHQL = ("application/graphql-response+json", "application/json")
_NOT_BUILT = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>transfer-gateway: GraphiQL isn't built</title>
<style>body { margin: 3rem auto; max-width: 42rem; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif }</style>
<h1>GraphiQL isn't built</h1>
<p>The service runs and serves GraphQL at this address; only its browser page is missing. In a checkout of the source,
with Node and npm, build it with:</p>
<pre>npm --prefix web ci && npm --prefix web run build</pre>
<p>Then reload this page.</p>
</html>
"""
_OVERVIEW = """transfer-gateway: executions of AWS Transfer Family's managed workflows, over many AWS accounts.

/graphql          GraphQL; in a browser GraphiQL, with the schema and its documentation
/livez, /readyz   health
/metrics          metrics for Prometheus

gRPC has its own port, with reflection. The rest is in the documentation: README.md and docs/ of the source.
"""


@dataclass(frozen=True, slots=True)
class GraphiqlOptions:
    """`live_examples`: the page looks for executions in progress to use in its examples.

    For the demo only, since each page view then calls AWS in every account.
    """

    live_examples: bool = False
    directory: Path = _BUILT


class GraphiqlPage:
    """Serves GraphQL, or the page to a browser that opens the path."""

    def __init__(self, graphql: ASGIApp, options: GraphiqlOptions) -> None:
        self._graphql = graphql
        self._index = options.directory / "index.html"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _wants_page(Request(scope)):
            await self._graphql(scope, receive, send)
            return
        if (request := current_request()) is not None:
            request.operation = "page"
        body = await asyncio.to_thread(_read, self._index)
        response = Response(
            _NOT_BUILT if body is None else body,
            media_type="text/html",
            headers=_HEADERS | {"cache-control": "no-cache", "vary": "accept"},
        )
        await response(scope, receive, send)


def page_routes(options: GraphiqlOptions) -> list[Route]:
    """The page's files."""
    config = {"liveExamples": options.live_examples}

    async def get_config(_request: Request) -> Response:
        return JSONResponse(config, headers=_HEADERS | {"cache-control": "no-cache"})

    async def get_asset(request: Request) -> Response:
        return await _asset(request, options.directory / "assets")

    return [
        Route("/", _get_overview),
        Route("/graphiql/config.json", get_config),
        Route("/graphiql/assets/{name}", get_asset),
    ]


async def _get_overview(_request: Request) -> Response:
    """What there is, for people who open the address alone."""
    return Response(_OVERVIEW, media_type="text/plain", headers=_HEADERS | {"cache-control": "no-cache"})


async def _asset(request: Request, directory: Path) -> Response:
    name = request.path_params["name"]
    media_type = _TYPES.get(Path(name).suffix)
    if media_type is None or not _NAME.fullmatch(name):
        raise HTTPException(404)
    headers = _HEADERS | {"cache-control": _KEEP, "vary": "accept-encoding"}
    if _qualities(request, "accept-encoding").get("gzip", 0) > 0:
        body = await asyncio.to_thread(_read, directory / f"{name}.gz")
        if body is not None:
            return Response(body, media_type=media_type, headers=headers | {"content-encoding": "gzip"})
    body = await asyncio.to_thread(_read, directory / name)
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type=media_type, headers=headers)


def _read(path: Path) -> bytes | None:
    """Not cached, so that a page built while the service runs appears at once."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _wants_page(request: Request) -> bool:
    """Whether the request has no GraphQL operation and prefers HTML to GraphQL's media types."""
    if request.method not in {"GET", "HEAD"} or request.query_params.keys() & _QUERY_PARAMETERS:
        return False
    wanted = _qualities(request, "accept")
    return wanted.get("text/html", 0) > max(wanted.get(name, 0) for name in _GRAPHQL)


def _qualities(request: Request, header: str) -> dict[str, float]:
    """The values in that header, each with its quality from 0 (unacceptable) to 1."""
    found = {}
    for item in ",".join(request.headers.getlist(header)).lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
        try:
            found[name] = float(quality)
        except ValueError:
            found[name] = 0.0
    return found
