"""The page of all executions, for people who write no GraphQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from transfer_gateway.api.built_page import BUILT, BuiltPage, page_headers, redirect

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

PATH = "/executions"
EXECUTIONS_PAGE = BUILT / "executions"
DOCUMENTS = "documents.json"  # of the page, by hash: for the gateway alone, so not among the assets
_HEADERS = page_headers(
    {
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
    }
)


def executions_routes(directory: Path) -> list[Route]:
    """The page and its files."""
    page = BuiltPage("The page of executions", directory, _HEADERS)

    async def get_page(_request: Request) -> Response:
        return await page.index()

    async def without_slash(request: Request) -> Response:
        return redirect(request, f"..{PATH}", _HEADERS)

    return [Route(PATH, get_page), Route(f"{PATH}/", without_slash), page.assets(PATH)]
