"""What there is, for those who open the address alone; people in a browser are sent to the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

from transfer_gateway.api.accepted import prefers_html
from transfer_gateway.api.built_page import FRESH, page_headers, redirect
from transfer_gateway.api.executions_page import PATH

if TYPE_CHECKING:
    from starlette.requests import Request

_HEADERS = page_headers({}) | FRESH | {"vary": "accept"}
_TEXT = """transfer-gateway: executions of AWS Transfer Family's managed workflows, over many AWS accounts.

{paths}

gRPC has its own port, with reflection. The rest is in the documentation: README.md and docs/ of the source.
"""
_PAGE = f"{PATH}       the page for people: what became of a file, in a browser"
_GRAPHQL = "/graphql          GraphQL"
_GRAPHIQL = "/graphql          GraphQL; in a browser GraphiQL, with the schema and its documentation"
_REST = "/livez, /readyz   health", "/metrics          metrics for Prometheus"


def overview_route(*, executions: bool, graphiql: bool) -> Route:
    """The arguments: which pages there are."""
    paths = (*([_PAGE] if executions else []), _GRAPHIQL if graphiql else _GRAPHQL, *_REST)
    text = _TEXT.format(paths="\n".join(paths))

    async def get_overview(request: Request) -> Response:
        if executions and prefers_html(request, "text/plain"):
            return redirect(request, PATH.removeprefix("/"), _HEADERS)
        return Response(text, media_type="text/plain", headers=_HEADERS)

    return Route("/", get_overview)
