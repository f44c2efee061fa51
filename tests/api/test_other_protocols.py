"""gRPC-Web and Connect clients at the HTTP port get an error that each of them can read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wire import Gateway

METHOD = "/transfer_api.v1.ExecutionService/GetExecution"


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        pytest.param("POST", METHOD, "application/grpc-web+proto", id="grpc-web"),
        pytest.param("POST", METHOD, "application/grpc-web-text", id="grpc-web-text"),
        pytest.param("POST", METHOD, "application/grpc", id="grpc"),
        pytest.param("POST", METHOD, "application/proto", id="connect"),
        pytest.param("POST", METHOD, "application/json", id="connect-json"),
        pytest.param("POST", METHOD, "application/connect+json", id="connect-stream"),
        pytest.param("GET", f"{METHOD}?connect=v1&encoding=json&message=%7B%7D", None, id="connect-get"),
        pytest.param("POST", "/transfer_api.v1.Nothing/At", "application/grpc-web+proto", id="unknown"),
        pytest.param("POST", "/grpc.health.v1.Health/Check", "application/grpc-web+proto", id="health"),
        pytest.param(
            "POST",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            "application/grpc-web+proto",
            id="reflection",
        ),
    ],
)
async def test_rpc_over_http(
    shared_gateway: Gateway, method: str, path: str, content_type: str | None
) -> None:
    """404, which gRPC-Web and Connect report as UNIMPLEMENTED, with the message in a header and in the body."""
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await shared_gateway.send(
        method, path, body=b"\0\0\0\0\0" if method == "POST" else None, headers=headers
    )
    assert answer.status == 404
    says = "gRPC has its own port (TRANSFER_GATEWAY_GRPC_PORT), over HTTP/2. gRPC-Web and Connect are not supported."
    assert (answer.headers["grpc-status"], answer.headers["grpc-message"]) == ("12", says)
    body = answer.json()
    assert (body["code"], body["message"]) == ("unimplemented", says)
    assert body["errors"] == [{"message": says, "extensions": {"code": "BAD_USER_INPUT", "retryable": False}}]
