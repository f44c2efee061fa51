"""docs/grpc.md: its methods exist, and clients of other protocols get the described errors."""

from __future__ import annotations

import asyncio
import re

from pages import DOCS, section
from transfer_api.v1 import execution_service_pb2
from transfer_gateway import server
from wire import Gateway

PAGE = DOCS / "grpc.md"
SERVICE = execution_service_pb2.DESCRIPTOR.services_by_name["ExecutionService"]
HTTP2_SETTINGS = 4


def test_methods() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section(PAGE, "gRPC"), re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(rows)) == [method.name for method in SERVICE.methods]


async def test_connect_on_the_grpc_port(service: server.Service) -> None:
    """A Connect or gRPC-Web client that uses HTTP/1.1 reads an HTTP/2 frame, then the end of the connection."""
    host, _, port = service.grpc.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /{SERVICE.full_name}/ListAccounts HTTP/1.1\r\nhost: {host}\r\n"
        "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}".encode()
    )
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    assert not answer.startswith(b"HTTP/")
    assert answer[3] == HTTP2_SETTINGS


async def test_connect_on_the_http_port(gateway: Gateway) -> None:
    """404, whatever the content type."""
    for content_type in ("application/json", "application/grpc-web+proto", "application/connect+json"):
        answer = await gateway.send(
            "POST", f"/{SERVICE.full_name}/ListAccounts", body=b"{}", headers={"content-type": content_type}
        )
        assert answer.status == 404
