"""The Host header: exactly one, and well-formed, as RFC 9112 requires."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from wire import connected

if TYPE_CHECKING:
    from shared_service import SharedService

UPGRADE = (
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: graphql-transport-ws\r\n"
)
REQUIRED, ONE, FORM = "is required", "more than one Host header", "must be a host name"


async def answered(service: SharedService, request: bytes) -> tuple[int, str]:
    """The status, and the error's message if there is one."""
    async with connected(service.url) as (reader, writer), asyncio.timeout(30):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 400:
            return status, ""
        body = await reader.read()
    return status, json.loads(body)["errors"][0]["message"]


@pytest.mark.parametrize(
    ("version", "hosts", "status", "says"),
    [
        pytest.param("1.1", [], 400, REQUIRED, id="none"),
        pytest.param("1.0", [], 200, "", id="none-in-1.0"),
        pytest.param("1.1", ["localhost", "localhost"], 400, ONE, id="twice-the-same"),
        pytest.param("1.1", ["localhost", "evil.example"], 400, ONE, id="two"),
        pytest.param("1.0", ["localhost", "localhost"], 400, ONE, id="two-in-1.0"),
        pytest.param("1.1", ["local host"], 400, FORM, id="space"),
        pytest.param("1.1", ["localhost, localhost"], 400, FORM, id="list"),
        pytest.param("1.1", ["localhost/livez"], 400, FORM, id="path"),
        pytest.param("1.1", ["http://localhost"], 400, FORM, id="url"),
        pytest.param("1.1", ["me@localhost"], 400, FORM, id="user"),
        pytest.param("1.1", ["localhost:http"], 400, FORM, id="port"),
        pytest.param("1.1", ["[::1"], 400, FORM, id="half-an-address"),
        pytest.param("1.1", ["caf\u00e9"], 400, FORM, id="not-ascii"),
        pytest.param("1.0", ["local host"], 400, FORM, id="space-in-1.0"),
        pytest.param("1.1", ["localhost:8080"], 200, "", id="name-and-port"),
        pytest.param("1.1", ["[::1]:8080"], 200, "", id="ipv6"),
        pytest.param("1.1", ["localhost\t"], 200, "", id="tab-after-it"),
        pytest.param("1.1", ["\t localhost \t "], 200, "", id="blanks-around-it"),
        pytest.param("1.1", ["local\thost"], 400, FORM, id="tab-within"),
        pytest.param("1.1", ["evil.example\t"], 421, "", id="no-loopback-name-and-tab"),
        pytest.param("1.1", [""], 421, "", id="empty"),  # well-formed, but no loopback name
    ],
)
async def test_host_header(
    shared_service: SharedService, version: str, hosts: list[str], status: int, says: str
) -> None:
    """A request without Host, with several or with a malformed one gets 400 with the rule."""
    lines = [f"GET /livez HTTP/{version}", *(f"host: {host}" for host in hosts), "", ""]
    found = await answered(shared_service, "\r\n".join(lines).encode("latin-1"))
    assert found[0] == status
    assert says in found[1]


@pytest.mark.parametrize(
    ("hosts", "status"), [(b"", 400), (b"host: localhost\r\n", 101), (b"host: localhost\r\n" * 2, 400)]
)
async def test_host_of_a_websocket(shared_service: SharedService, hosts: bytes, status: int) -> None:
    """So does a WebSocket's opening request."""
    found, _ = await answered(shared_service, b"GET /graphql HTTP/1.1\r\n" + hosts + UPGRADE + b"\r\n")
    assert found == status


async def test_host_of_each_request(shared_service: SharedService) -> None:
    """Later requests on a connection are checked, too."""
    async with connected(shared_service.url) as (reader, writer), asyncio.timeout(30):
        writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len('{"status":"alive"}'))
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        assert b"HTTP/1.1 400 " in await reader.read()


async def test_http2(shared_service: SharedService) -> None:
    """A client that starts with HTTP/2, such as a gRPC client on the wrong port, gets an explanation in HTTP/1.1."""
    status, message = await answered(shared_service, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    assert status == 400
    assert message == "This port serves HTTP/1.1, not HTTP/2. gRPC has a separate port."
