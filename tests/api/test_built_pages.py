"""What both pages have in common: their files, their headers, and what is there when they weren't built."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from built_pages import BROWSER, SCRIPT
from wire import Gateway, connected

if TYPE_CHECKING:
    from pathlib import Path

PAGES = pytest.mark.parametrize(
    ("path", "files"),
    [("/graphql", "/graphiql"), ("/executions", "/executions")],
    ids=["graphiql", "executions"],
)
FILES = pytest.mark.parametrize("files", ["/graphiql", "/executions"])


@PAGES
async def test_page_is_fresh_and_assets_are_kept(page: Gateway, path: str, files: str) -> None:
    """Browsers revalidate the page each time, and request an asset, whose name contains its hash, once."""
    opened = await page.send("GET", path, headers=BROWSER)
    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert opened.headers["cache-control"] == "no-cache"
    asset = await page.send("GET", f"{files}/assets/index-1a2b.js")
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    for answer in (opened, asset):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert opened.headers["content-security-policy"] == asset.headers["content-security-policy"]


@FILES
@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        pytest.param("gzip, deflate, br", True, id="browser"),
        pytest.param("br;q=1, GZIP;q=0.5", True, id="among-others"),
        pytest.param("gzip;q=0", False, id="refused"),
        pytest.param("identity", False, id="none"),
    ],
)
async def test_compressed_when_it_was_built(
    page: Gateway, files: str, accept: str, *, compressed: bool
) -> None:
    """A client that accepts gzip gets the file compressed at build time; others get the original."""
    answer = await page.send("GET", f"{files}/assets/index-1a2b.js", headers={"accept-encoding": accept})
    assert (answer.headers.get("content-encoding") == "gzip") == compressed
    assert answer.headers["content-length"] == str(len(gzip.compress(SCRIPT) if compressed else SCRIPT))
    assert (answer.status, answer.body) == (200, SCRIPT)  # aiohttp has decompressed it
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["vary"] == "accept-encoding"


@FILES
async def test_other_assets(page: Gateway, files: str) -> None:
    """Formats that are compressed already have no `.gz` file."""
    answer = await page.send("GET", f"{files}/assets/font-3c4d.ttf")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"font", "font/ttf")
    head = await page.send("HEAD", f"{files}/assets/font-3c4d.ttf")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")


@FILES
@pytest.mark.parametrize(
    "path",
    [
        "/assets/../secret.js",
        "/assets/..%2fsecret.js",
        "/assets/%2e%2e/secret.js",
        "/assets/%2e%2e%2fsecret.js",
        "/assets/..%5csecret.js",
        "/assets/index-1a2b.js%00.js",
        "/assets/%00.js",
        "/assets/.js",
        "/assets/%C3%A9.js",
        "/assets/index-1a2b.js.gz",
        "/assets/notes.txt",
        "/assets/none.js",
        "/assets/" + "long" * 1000 + ".js",
        "/assets/",
        "/assets",
        "/secret.js",
        "/index.html",
        "//",
        "/assets//etc/passwd",
    ],
)
async def test_nothing_else(page: Gateway, files: str, path: str) -> None:
    """Only assets are served, and no path leads outside their directory."""
    async with connected(page.url) as (reader, writer):
        writer.write(
            f"GET {files}{path} HTTP/1.1\r\nHost: {urlsplit(page.url).netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b"secret" not in answer


@PAGES
async def test_not_built(page: Gateway, directory: Path, path: str, files: str) -> None:
    """Without a built page, a page explains how to build it, under the same policy; once built, it appears at once."""
    built = await page.send("GET", path, headers=BROWSER)
    (directory / "index.html").rename(directory / "later.html")
    missing = await page.send("GET", path, headers=BROWSER)
    assert missing.status == 200
    assert b"isn't built" in missing.body
    assert b"npm --prefix web ci && npm --prefix web run build" in missing.body
    for name in ("content-security-policy", "content-type", "cache-control", "x-content-type-options"):
        assert missing.headers[name] == built.headers[name]
    (directory / "later.html").rename(directory / "index.html")
    assert (await page.send("GET", path, headers=BROWSER)).body == built.body
