"""Hosts, origins, paths and methods."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from transfer_gateway import server
from wire import JSON, Gateway, calling, connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings
OURS, FOREIGN = "https://ops.example.com", "https://evil.example"


BODY = b'{"query":"{__typename}"}'


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/graphql", 400),
        ("PUT", "/graphql", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/graphql/", 404),
        ("POST", "/livez", 405),
    ],
)
async def test_wrong_place(shared_gateway: Gateway, method: str, path: str, status: int) -> None:
    """A wrong method or path gets its status and the usual error format, never a library's own page."""
    response = await shared_gateway.send(method, path, allow_redirects=False)
    assert response.status == status
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    if status == 405:
        allowed = "GET, POST" if path == "/graphql" else "GET, HEAD"
        assert ", ".join(sorted(response.headers["allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("127.0.0.1:80", 200),
        ("127.9.9.9", 200),
        ("[::1]:8080", 200),
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 400),
        ("0.0.0.0", 421),
        ("", 421),
    ],
)
async def test_host(shared_gateway: Gateway, host: str, status: int) -> None:
    """Only loopback Hosts are served: a page that uses DNS rebinding sends its own name."""
    response = await shared_gateway.send("GET", params={"query": "{__typename}"}, headers={"host": host})
    assert response.status == status
    assert ("errors" in response.json()) is (status != 200)


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("GET", {"sec-fetch-site": "cross-site"}, 403, id="an-image"),
        pytest.param("GET", {"sec-fetch-site": "same-site", "origin": FOREIGN}, 403, id="a-neighbour"),
        pytest.param("POST", {"sec-fetch-site": "cross-site", "origin": FOREIGN}, 403, id="a-script"),
        pytest.param("GET", {"sec-fetch-site": "same-origin"}, 200, id="our-page"),
        pytest.param("GET", {"sec-fetch-site": "none"}, 200, id="the-address-bar"),
        pytest.param("POST", {"sec-fetch-site": "cross-site", "origin": OURS}, 200, id="a-page-that-may"),
        pytest.param("POST", {}, 200, id="no-browser"),
    ],
)
async def test_pages_of_other_origins(
    aws: Emulator, settings: Callable[..., Settings], method: str, headers: dict[str, str], status: int
) -> None:
    """Requests that another site's page makes a browser send are rejected, except from allowed origins."""
    async with (
        server.running(settings(http_cors_origins=f"{OURS}, https://two.example.com")) as service,
        calling(service.url) as gateway,
    ):
        if method == "GET":
            answer = await gateway.send("GET", "/graphql?query={__typename}", headers=headers)
        else:
            answer = await gateway.send("POST", body=BODY, headers=JSON | headers)
        assert answer.status == status
        assert answer.headers.get("access-control-allow-origin") == (
            OURS if headers.get("origin") == OURS else None
        )
        preflight = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        for origin, allowed in ((OURS, 200), (FOREIGN, 400)):
            asked = await gateway.send("OPTIONS", headers={"origin": origin} | preflight)
            assert asked.status == allowed


async def test_no_origin_by_default(shared_gateway: Gateway) -> None:
    """Without the setting, pages of other origins are rejected."""
    answer = await shared_gateway.send(
        "OPTIONS", headers={"origin": OURS, "access-control-request-method": "POST"}
    )
    assert answer.status == 405
    assert "access-control-allow-origin" not in answer.headers


async def test_no_proxy(service: server.Service) -> None:
    """CONNECT, which HTTP/1.1 treats as an upgrade, gets 400, and the connection is closed."""
    async with connected(service.url) as (reader, writer):
        writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["errors"][0]["extensions"] == {
        "code": "BAD_USER_INPUT",
        "retryable": False,
    }


async def test_health(shared_gateway: Gateway) -> None:
    """A running service is live and ready."""
    assert (await shared_gateway.send("GET", "/livez")).json() == {"status": "alive"}
    assert (await shared_gateway.send("GET", "/readyz")).json() == {"status": "ready"}
    for probe in ("/livez", "/readyz"):
        answer = await shared_gateway.send("HEAD", probe)
        assert (answer.status, answer.body) == (200, b"")
