"""The GraphiQL page: who gets it at the GraphQL path, its headers and its files. Its function: tests/browser."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from transfer_gateway import server
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.graphiql_page import GraphiqlOptions, GraphiqlPage, page_routes
from transfer_gateway.api.http_server import HttpServer
from wire import Gateway, calling, connected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

# As Chromium and Firefox send it for what is typed into the address bar.
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
SCRIPT = b"console.log('the page')"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small page as built by Vite. Files outside its assets are not served."""
    assets = tmp_path / "page/assets"
    assets.mkdir(parents=True)
    (tmp_path / "page/index.html").write_text("<title>the page</title>")
    (tmp_path / "page/secret.js").write_text("secret")
    (assets / "index-1a2b.js").write_bytes(SCRIPT)
    (assets / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "font-3c4d.ttf").write_bytes(b"font")
    (assets / "notes.txt").write_text("notes")
    return tmp_path / "page"


@pytest.fixture
async def page(directory: Path) -> AsyncIterator[Gateway]:
    """The page in front of a stand-in for GraphQL."""
    graphql = PlainTextResponse("GraphQL")
    options = GraphiqlOptions(directory=directory)
    app = Starlette(routes=[Route("/graphql", GraphiqlPage(graphql, options)), *page_routes(options)])
    limits = ConnectionLimits(32768, 10, 16, 100, 100, 10, 60)
    http = HttpServer(app, grace_s=0, keepalive_s=5, max_message_bytes=1000, limits=limits)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[listener]))
            async with calling(f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
            http.should_exit = True


@pytest.mark.parametrize(
    ("method", "path", "accept", "gets_page"),
    [
        pytest.param("GET", "/graphql", BROWSER["accept"], True, id="browser"),
        pytest.param("GET", "/graphql", "Text/HTML", True, id="html-alone"),
        pytest.param("GET", "/graphql", "application/json;q=0.5, text/html", True, id="html-rather"),
        pytest.param("GET", "/graphql?operationName=A", "text/html", True, id="asks-nothing"),
        pytest.param("GET", "/graphql?query={__typename}", BROWSER["accept"], False, id="query"),
        pytest.param("GET", "/graphql?query=", BROWSER["accept"], False, id="empty-query"),
        pytest.param("GET", "/graphql?documentId=1", BROWSER["accept"], False, id="document-id"),
        pytest.param("GET", "/graphql?extensions={}", BROWSER["accept"], False, id="extensions"),
        pytest.param("POST", "/graphql", BROWSER["accept"], False, id="post"),
        pytest.param("OPTIONS", "/graphql", BROWSER["accept"], False, id="options"),
        pytest.param("GET", "/graphql", "*/*", False, id="anything"),
        pytest.param("GET", "/graphql", "", False, id="empty"),
        pytest.param("GET", "/graphql", "application/json", False, id="json"),
        pytest.param("GET", "/graphql", "text/html, application/json", False, id="as-gladly"),
        pytest.param("GET", "/graphql", "text/html;q=0", False, id="refused"),
        pytest.param("GET", "/graphql", "text/html;q=high", False, id="malformed"),
        pytest.param(
            "GET",
            "/graphql",
            "application/graphql-response+json, text/html;q=0.9",
            False,
            id="graphql-rather",
        ),
    ],
)
async def test_who_gets_it(page: Gateway, method: str, path: str, accept: str, *, gets_page: bool) -> None:
    """A browser that opens the path gets the page; a request with a query, or one that prefers JSON, does not."""
    answer = await page.send(method, path, headers={"accept": accept})
    assert answer.status == 200
    assert (b"the page" in answer.body) == gets_page
    assert (answer.headers["content-type"] == "text/html; charset=utf-8") == gets_page


async def test_nothing_from_elsewhere(page: Gateway) -> None:
    """The page and all its files have a policy that forbids loading from, and sending to, other origins."""
    for path in ("/graphql", "/graphiql/assets/index-1a2b.js", "/graphiql/config.json"):
        headers = (await page.send("GET", path, headers=BROWSER)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert {name for name, value in policy.items() if value == "'none'"} == {
            "default-src",
            "frame-ancestors",
            "base-uri",
            "form-action",
        }
        assert {word for value in policy.values() for word in value.split()} == {
            "'none'",
            "'self'",
            "data:",
            "'unsafe-inline'",
        }
        assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


async def test_page_is_fresh_and_assets_are_kept(page: Gateway) -> None:
    """Browsers revalidate the page each time, and request an asset, whose name contains its hash, once."""
    opened = await page.send("GET", headers=BROWSER)
    assert (opened.headers["cache-control"], opened.headers["vary"]) == ("no-cache", "accept")
    asset = await page.send("GET", "/graphiql/assets/index-1a2b.js")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        pytest.param("gzip, deflate, br", True, id="browser"),
        pytest.param("br;q=1, GZIP;q=0.5", True, id="among-others"),
        pytest.param("gzip;q=0", False, id="refused"),
        pytest.param("identity", False, id="none"),
    ],
)
async def test_compressed_when_it_was_built(page: Gateway, accept: str, *, compressed: bool) -> None:
    """A client that accepts gzip gets the file compressed at build time; others get the original."""
    answer = await page.send("GET", "/graphiql/assets/index-1a2b.js", headers={"accept-encoding": accept})
    assert (answer.headers.get("content-encoding") == "gzip") == compressed
    assert answer.headers["content-length"] == str(len(gzip.compress(SCRIPT) if compressed else SCRIPT))
    assert (answer.status, answer.body) == (200, SCRIPT)  # aiohttp has decompressed it
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["vary"] == "accept-encoding"


async def test_other_assets(page: Gateway) -> None:
    """Formats that are compressed already have no `.gz` file."""
    answer = await page.send("GET", "/graphiql/assets/font-3c4d.ttf")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"font", "font/ttf")
    head = await page.send("HEAD", "/graphiql/assets/font-3c4d.ttf")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")


@pytest.mark.parametrize(
    "path",
    [
        "/graphiql/assets/../secret.js",
        "/graphiql/assets/..%2fsecret.js",
        "/graphiql/assets/%2e%2e/secret.js",
        "/graphiql/assets/%2e%2e%2fsecret.js",
        "/graphiql/assets/..%5csecret.js",
        "/graphiql/assets/index-1a2b.js%00.js",
        "/graphiql/assets/%00.js",
        "/graphiql/assets/.js",
        "/graphiql/assets/%C3%A9.js",
        "/graphiql/assets/index-1a2b.js.gz",
        "/graphiql/assets/notes.txt",
        "/graphiql/assets/none.js",
        "/graphiql/assets/" + "long" * 1000 + ".js",
        "/graphiql/assets/",
        "/graphiql/assets",
        "/graphiql/secret.js",
        "/graphiql/index.html",
        "/graphiql/",
        "/graphiql/assets//etc/passwd",
    ],
)
async def test_nothing_else(page: Gateway, path: str) -> None:
    """Only assets are served, and no path leads outside their directory."""
    async with connected(page.url) as (reader, writer):
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b"secret" not in answer


async def test_not_built(page: Gateway, directory: Path) -> None:
    """Without a built page, a page explains how to build it, under the same policy; once built, it appears at once."""
    built = await page.send("GET", headers=BROWSER)
    (directory / "index.html").rename(directory / "later.html")
    missing = await page.send("GET", headers=BROWSER)
    assert missing.status == 200
    assert b"npm --prefix web ci && npm --prefix web run build" in missing.body
    for name in ("content-security-policy", "content-type", "cache-control", "x-content-type-options"):
        assert missing.headers[name] == built.headers[name]
    (directory / "later.html").rename(directory / "index.html")
    assert (await page.send("GET", headers=BROWSER)).body == built.body


async def test_service_has_it(gateway: Gateway) -> None:
    """The service's own /graphql: a page, built or not, for browsers; GraphQL for all other clients."""
    opened = await gateway.send("GET", headers=BROWSER)
    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "x-request-id" in opened.headers
    assert (await gateway.ask("{ __typename }"))["data"] == {"__typename": "Query"}
    asked = await gateway.send("GET", "/graphql?query={__typename}", headers=BROWSER)
    assert asked.json() == {"data": {"__typename": "Query"}}


async def test_live_examples_are_the_demos(gateway: Gateway) -> None:
    """Opening the page must not call AWS in every account."""
    assert (await gateway.send("GET", "/graphiql/config.json")).json() == {"liveExamples": False}


async def test_switched_off(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Browsers get what any client gets, and there are no assets."""
    async with server.running(settings(graphiql=False)) as service, calling(service.url) as gateway:
        opened, asked = await gateway.send("GET", headers=BROWSER), await gateway.send("GET")
        assert (opened.status, opened.body) == (asked.status, asked.body)
        assert opened.headers["content-type"] == "application/json"
        assert (await gateway.send("GET", "/graphiql/config.json")).status == 404


async def test_the_address_alone(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """It says what is where; without the page it says nothing, as every other path."""
    async with server.running(settings()) as service, calling(service.url) as gateway:
        answer = await gateway.send("GET", "/")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        for path in ("/graphql", "/livez", "/readyz", "/metrics"):
            assert path in answer.body.decode()
            assert (await gateway.send("GET", path)).status != 404
    async with server.running(settings(graphiql=False)) as service, calling(service.url) as gateway:
        answers = [await gateway.send("GET", path) for path in ("/", "/nowhere")]
        assert [answer.status for answer in answers] == [404, 404]
        assert answers[0].body == answers[1].body
