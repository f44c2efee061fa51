"""The page for people: its address, its policy, and how it is switched off. Its files: test_built_pages.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from built_pages import BROWSER
from transfer_gateway import server
from wire import Gateway, calling

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

COUNT = 'transfer_gateway_request_duration_seconds_count{code="OK",door="graphql",operation="page"}'


@pytest.mark.parametrize("path", ["/executions", "/executions/assets/index-1a2b.js"])
async def test_nothing_from_elsewhere_and_nothing_inline(page: Gateway, path: str) -> None:
    """Scripts and styles are files of this origin: text that found its way into the page could do nothing."""
    policy = (await page.send("GET", path)).headers["content-security-policy"]
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


@pytest.mark.parametrize("accept", [BROWSER["accept"], "*/*", "application/json"])
async def test_is_a_page_for_everybody(gateway: Gateway, accept: str) -> None:
    """Its path has nothing else. Whatever the query string holds is the page's business."""
    opened = await gateway.send("GET", "/executions?q=claims&status=FAILED", headers={"accept": accept})
    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "x-request-id" in opened.headers
    head = await gateway.send("HEAD", "/executions")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/executions", "/executions/assets/index.js"])
async def test_only_reads(gateway: Gateway, method: str, path: str) -> None:
    """Other methods get an error in the format of all others, which names those that there are."""
    refused = await gateway.send(method, path)
    assert refused.status == 405
    assert {name.strip() for name in refused.headers["allow"].split(",")} == {"GET", "HEAD"}
    assert refused.json()["errors"][0]["message"] == "Method Not Allowed."


async def test_a_slash_too_many(gateway: Gateway) -> None:
    """Relative, so that it works below whatever prefix a proxy adds."""
    sent = await gateway.send("GET", "/executions/?q=a%20b", allow_redirects=False)
    assert (sent.status, sent.headers["location"]) == (302, "../executions?q=a%20b")


@pytest.mark.parametrize("path", ["/executions/documents.json", "/executions/assets/documents.json"])
async def test_nothing_else(gateway: Gateway, path: str) -> None:
    """The list of its documents is the gateway's alone."""
    missing = await gateway.send("GET", path)
    assert missing.status == 404
    assert missing.json()["errors"][0]["message"] == "Not Found."


async def test_only_loopback_names_without_authentication(gateway: Gateway) -> None:
    """A foreign name that resolves to this address gets nothing."""
    assert (await gateway.send("GET", "/executions", headers={"host": "evil.example"})).status == 421


async def test_is_counted(gateway: Gateway) -> None:
    """As GraphiQL's page: not as GraphQL that asks for nothing."""

    async def count() -> float:
        lines = (await gateway.send("GET", "/metrics")).body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(COUNT))

    before = await count()
    await gateway.send("GET", "/executions")
    await gateway.send("GET", headers=BROWSER)
    assert await count() == before + 2


async def test_switched_off(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """There is nothing; GraphiQL stays, and the address alone names it and no page."""
    async with server.running(settings(page=False)) as service, calling(service.url) as gateway:
        for path in ("/executions", "/executions/assets/index.js"):
            assert (await gateway.send("GET", path)).status == 404
        assert (await gateway.send("GET", headers=BROWSER)).headers["content-type"].startswith("text/html")
        overview = await gateway.send("GET", "/", headers=BROWSER)
        assert (overview.status, overview.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert b"GraphiQL" in overview.body
        assert b"/executions" not in overview.body


async def test_the_address_alone(gateway: Gateway) -> None:
    """It says what is where."""
    answer = await gateway.send("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    for path in ("/executions", "/graphql", "/livez", "/readyz", "/metrics"):
        assert path in answer.body.decode()
        assert (await gateway.send("GET", path)).status != 404


async def test_browsers_are_sent_to_the_page(gateway: Gateway) -> None:
    """Below whatever prefix a proxy adds, and not by what a cache has kept for other clients."""
    sent = await gateway.send("GET", "/", headers=BROWSER, allow_redirects=False)
    assert (sent.status, sent.headers["location"], sent.headers["vary"]) == (302, "executions", "accept")
    assert (await gateway.send("GET", "/", headers=BROWSER)).headers["content-type"].startswith("text/html")


async def test_no_pages_at_all(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """The address alone says nothing then, as every other path."""
    off = settings(graphiql=False, page=False)
    async with server.running(off) as service, calling(service.url) as gateway:
        answers = [await gateway.send("GET", path) for path in ("/", "/nowhere")]
        assert [answer.status for answer in answers] == [404, 404]
        assert answers[0].body == answers[1].body
