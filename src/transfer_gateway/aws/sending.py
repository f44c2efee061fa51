"""From the request that botocore has made of a call to the answer that it reads: signed and sent on a shorter way.

On its own way every header passes through three kinds of mappings, two of which are slow, and a dozen events that
nobody listens to: half of what a call costs. botocore lets whoever listens to `before-call` answer it. All that
matters stays its own: endpoints, serialization, signatures, the HTTP session, parsing, and errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiobotocore.parsers import create_parser
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from botocore.credentials import ReadOnlyCredentials
    from botocore.model import OperationModel

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)
_FAILED = 300  # and above, as botocore has it


@dataclass(slots=True)
class Request:
    """As much of botocore's as its signatures and aiobotocore's HTTP session look at."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    context: dict[str, Any] = field(default_factory=dict)
    params: None = None
    stream_output: bool = False


class Signature(SigV4Auth):  # type: ignore[misc]  # botocore is untyped
    """Signature Version 4 of one request. botocore collects the headers twice, in an `email.message.Message`."""

    _headers: dict[str, str] | None = None

    def headers_to_sign(self, request: Request) -> dict[str, str]:
        """Names in small letters, each with its value, trimmed."""
        if self._headers is None:
            self._headers = {
                lower: " ".join(value.split())
                for name, value in request.headers.items()
                if (lower := name.lower()) not in _UNSIGNED
            }
            self._headers.setdefault("host", _host(request.url))
        return self._headers

    def canonical_headers(self, headers_to_sign: dict[str, str]) -> str:
        return "\n".join(f"{name}:{headers_to_sign[name]}" for name in sorted(headers_to_sign))


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    """botocore's, which takes URLs apart for it: ours has one for each service and region."""
    host: str = SigV4Auth(None, "", "").headers_to_sign(AWSRequest("POST", url))["host"]
    return host


def send_directly(
    client: Any,  # noqa: ANN401  botocore's clients are untyped
    credentials: Callable[[], Awaitable[ReadOnlyCredentials]],
) -> None:
    """Have a client's calls sent so, each signed with what `credentials` gives then.

    Without retries, which are part of what is left out, and for services that are asked in JSON or in forms.
    """
    service, session = client.meta.service_model, client._endpoint.http_session  # noqa: SLF001  no other way to it
    parser = create_parser(service.resolved_protocol)

    async def send(model: OperationModel, params: dict[str, Any], **_: object) -> tuple[Any, dict[str, Any]]:
        body = params["body"]
        if isinstance(body, dict):  # a form
            body = urlencode(body, doseq=True).encode()
        request = Request(params["method"], params["url"], params["headers"], body)
        signing = params["context"].get("signing", {})
        Signature(
            await credentials(),
            signing.get("signing_name", service.signing_name),
            signing.get("region", client.meta.region_name),
        ).add_auth(request)
        response = await session.send(request)
        told = {
            "headers": response.headers,
            "status_code": response.status_code,
            "body": await response.content,
            "context": {"operation_name": model.name},
        }
        answer: dict[str, Any] = await parser.parse(told, model.output_shape)
        if response.status_code >= _FAILED:
            shape = service.shape_for_error_code(answer.get("Error", {}).get("Code"))
            if shape is not None:
                answer.update(await parser.parse(told, shape))
        return response, answer

    client.meta.events.register(f"before-call.{service.service_id.hyphenize()}", send)
