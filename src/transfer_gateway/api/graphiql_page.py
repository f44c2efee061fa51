"""GraphiQL for browsers, at the GraphQL path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from transfer_gateway.api.accepted import prefers_html
from transfer_gateway.api.built_page import BUILT, FRESH, BuiltPage, page_headers
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

_HEADERS = page_headers(
    {
        "script-src": "'self'",
        "font-src": "'self' data:",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "worker-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",  # Monaco, the editor, creates styles at run time
    }
)
_QUERY_PARAMETERS = {"query", "documentId", "extensions"}  # parameters that name a document
_GRAPHQL = ("application/graphql-response+json", "application/json")


@dataclass(frozen=True, slots=True)
class GraphiqlOptions:
    """`live_examples`: the page looks for executions in progress to use in its examples.

    For the demo only, since each page view then calls AWS in every account.
    """

    live_examples: bool = False
    directory: Path = BUILT / "graphiql"

    def page(self) -> BuiltPage:
        return BuiltPage("GraphiQL", self.directory, _HEADERS)


class GraphiqlPage:
    """Serves GraphQL, or the page to a browser that opens the path."""

    def __init__(self, graphql: ASGIApp, options: GraphiqlOptions) -> None:
        self._graphql = graphql
        self._page = options.page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _wants_page(Request(scope)):
            await self._graphql(scope, receive, send)
            return
        if (request := current_request()) is not None:
            request.operation = "page"
        response = await self._page.index(vary="accept")
        await response(scope, receive, send)


def graphiql_routes(options: GraphiqlOptions, *, executions_page: bool) -> list[Route]:
    """The page's files. `executions_page`: whether there is that page, for a link."""
    config = {"liveExamples": options.live_examples, "executionsPage": executions_page}

    async def get_config(_request: Request) -> Response:
        return JSONResponse(config, headers=_HEADERS | FRESH)

    return [Route("/graphiql/config.json", get_config), options.page().assets("/graphiql")]


def _wants_page(request: Request) -> bool:
    """Whether the request has no GraphQL operation and prefers HTML to GraphQL's media types."""
    if request.method not in {"GET", "HEAD"} or request.query_params.keys() & _QUERY_PARAMETERS:
        return False
    return prefers_html(request, *_GRAPHQL)
