"""A page for browsers: files that Vite builds from a directory of `web/`, and nothing from other sites.

If they were not built, the service runs all the same, and the page says how to build them.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from transfer_gateway.api.accepted import qualities

if TYPE_CHECKING:
    from starlette.requests import Request

BUILT = Path(__file__).parent / "pages"
FRESH = {"cache-control": "no-cache"}
_KEEP = "public, max-age=31536000, immutable"  # file names contain a content hash
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".ttf": "font/ttf"}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>transfer-gateway: {title} isn't built</title>
<h1>{title} isn't built</h1>
<p>The service runs and serves GraphQL; only this page for browsers is missing. In a checkout of the source, with Node
and npm, build it with:</p>
<pre>npm --prefix web ci && npm --prefix web run build</pre>
<p>Then start the service again.</p>
</html>
"""


def page_headers(policy: dict[str, str]) -> dict[str, str]:
    """Of a page and each of its files. `policy`: what it may load, of which the default is nothing at all."""
    whole = {"default-src": "'none'"} | policy
    whole |= dict.fromkeys(("frame-ancestors", "base-uri", "form-action"), "'none'")
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in whole.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }


def redirect(request: Request, to: str, headers: dict[str, str]) -> Response:
    """To a relative address, so that it works below whatever prefix a proxy adds; with the request's query."""
    query = f"?{request.url.query}" if request.url.query else ""
    return Response(status_code=302, headers=headers | {"location": to + query})


@dataclass(frozen=True, slots=True)
class BuiltPage:
    """`headers`: on every file, since a worker's policy is that of its own script, not the page's."""

    title: str
    directory: Path
    headers: dict[str, str]

    async def index(self, **headers: str) -> Response:
        body = await asyncio.to_thread(_read, self.directory / "index.html")
        return Response(
            _NOT_BUILT.format(title=self.title) if body is None else body,
            media_type="text/html",
            headers=self.headers | FRESH | headers,
        )

    def assets(self, path: str) -> Route:
        """The route of the page's other files, below that path."""
        return Route(f"{path}/assets/{{name}}", self._asset)

    async def _asset(self, request: Request) -> Response:
        name, directory = request.path_params["name"], self.directory / "assets"
        media_type = _TYPES.get(Path(name).suffix)
        if media_type is None or not _NAME.fullmatch(name):
            raise HTTPException(404)
        headers = self.headers | {"cache-control": _KEEP, "vary": "accept-encoding"}
        if qualities(request, "accept-encoding").get("gzip", 0) > 0:
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
