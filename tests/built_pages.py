"""Small pages as built by Vite, and how a browser opens a page."""

from __future__ import annotations

import asyncio
import gzip
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.executions_page import executions_routes
from transfer_gateway.api.graphiql_page import GraphiqlOptions, GraphiqlPage, graphiql_routes
from transfer_gateway.api.http_server import HttpServer
from wire import Gateway, calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# As Chromium and Firefox send it for what is typed into the address bar.
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
SCRIPT = b"console.log('the page')"


def write_page(directory: Path) -> None:
    """Files outside its assets are not served."""
    assets = directory / "assets"
    assets.mkdir(parents=True)
    (directory / "index.html").write_text("<title>the page</title>")
    (directory / "secret.js").write_text("secret")
    (assets / "index-1a2b.js").write_bytes(SCRIPT)
    (assets / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "font-3c4d.ttf").write_bytes(b"font")
    (assets / "notes.txt").write_text("notes")


@asynccontextmanager
async def serving_pages(directory: Path) -> AsyncIterator[Gateway]:
    """Both pages, of the same files, with a stand-in for GraphQL."""
    graphiql = GraphiqlOptions(directory=directory)
    app = Starlette(
        routes=[
            Route("/graphql", GraphiqlPage(PlainTextResponse("GraphQL"), graphiql)),
            *graphiql_routes(graphiql, executions_page=True),
            *executions_routes(directory),
        ]
    )
    app.router.redirect_slashes = False  # as the service's
    limits = ConnectionLimits(32768, 10, 16, 100, 100, 10, 60)
    http = HttpServer(app, grace_s=0, keepalive_s=5, max_message_bytes=1000, limits=limits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[listener]))
            async with calling(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
            http.should_exit = True
