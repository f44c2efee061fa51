"""A call of AWS on a shorter way than botocore's: signed, sent and read without what is the same for every call.

botocore finds the endpoint anew each time, takes every header through three kinds of mappings, tells a dozen events
that nobody listens to, and walks its model over each answer: three quarters of what a call costs. Here an operation's
request is built once, by botocore, and further ones differ from it by body and signature. All that matters stays
botocore's: endpoints, serialization, the rules of signatures, the HTTP session, the model, errors and how they read.
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiobotocore.client import AioBaseClient
from aiobotocore.parsers import AioResponseParserFactory
from botocore.auth import SIGNED_HEADERS_BLACKLIST, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.utils import parse_timestamp
from pydantic_core import ValidationError
from yarl import URL

from transfer_gateway.aws.decode import IncompleteAnswer
from transfer_gateway.aws.shapes import reader

if TYPE_CHECKING:
    import aiohttp
    from aiobotocore.session import AioSession
    from botocore.model import OperationModel
    from pydantic_core import SchemaValidator

_UNSIGNED = frozenset(SIGNED_HEADERS_BLACKLIST)
_FAILED = 300  # and above, as botocore has it


def shorten(session: AioSession) -> None:
    """Let the clients that the session makes from now on send so.

    Without retries, which are part of what is left out, and for services that are asked in JSON or in forms.
    """
    session.register("creating-client-class", lambda base_classes, **_: base_classes.insert(0, _ShorterWay))


@dataclass(slots=True)
class Request:
    """As much of botocore's as its signatures look at."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    context: dict[str, Any] = field(default_factory=dict)
    params: None = None


class Signature(SigV4Auth):  # type: ignore[misc]  # botocore is untyped
    """Signature Version 4 of one request, which botocore takes apart several times, in an `email.message.Message`."""

    _headers: dict[str, str] | None = None

    def headers_to_sign(self, request: Request) -> dict[str, str]:
        """Names in small letters, sorted, each with its value, trimmed."""
        if self._headers is None:
            headers = {
                lower: " ".join(value.split())
                for name, value in request.headers.items()
                if (lower := name.lower()) not in _UNSIGNED
            }
            if "host" not in headers:
                headers["host"] = _parts(request.url)[0]
            self._headers = dict(sorted(headers.items()))
        return self._headers

    def canonical_request(self, request: Request) -> str:
        headers = self.headers_to_sign(request)
        _, path, query = _parts(request.url)
        lines = [request.method, path, query, *map(":".join, headers.items()), "", ";".join(headers)]
        return "\n".join([*lines, sha256(request.body).hexdigest()])

    def signed_headers(self, headers_to_sign: dict[str, str]) -> str:
        return ";".join(headers_to_sign)

    def _sign(self, key: bytes, msg: str, hex: bool = False) -> bytes | str:  # noqa: A002, FBT001, FBT002  botocore's
        signed = hmac.digest(key, msg.encode(), "sha256")
        return signed.hex() if hex else signed


@lru_cache(maxsize=256)
def _parts(url: str) -> tuple[str, str, str]:
    """Host, path and query as botocore signs them. Ours has one URL for each service and region."""
    auth, request = SigV4Auth(None, "", ""), AWSRequest("POST", url)
    host = auth.headers_to_sign(request)["host"]
    return host, auth._normalize_url_path(urlsplit(url).path), auth.canonical_query_string(request)  # noqa: SLF001  no other way to it


@dataclass(frozen=True, slots=True)
class _Operation:
    """What all calls of an operation have in common. `read` reads a good answer's body; None where it isn't JSON."""

    model: OperationModel
    method: str
    url: str
    headers: dict[str, str]
    signing_name: str
    region: str
    session: aiohttp.ClientSession
    proxy: dict[str, Any]
    read: SchemaValidator | None
    parser: Any


class _ShorterWay(AioBaseClient):  # type: ignore[misc]  # botocore is untyped
    """Goes before aiobotocore's client, whose private parts it lives off: tests hold the two to each other."""

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        """As botocore's. Raises IncompleteAnswer, too, for an answer in JSON that isn't what the model says."""
        operations: dict[str, _Operation] = self.__dict__.setdefault("_operations", {})
        operation = operations.get(operation_name)
        if operation is None:
            operation = operations[operation_name] = await self._prepare(operation_name, api_params)
        body = self._serializer.serialize_to_request(api_params, operation.model)["body"]
        if isinstance(body, dict):  # a form
            body = urlencode(body, doseq=True).encode()
        request = Request(operation.method, operation.url, operation.headers.copy(), body)
        credentials = await self._get_credentials().get_frozen_credentials()
        Signature(credentials, operation.signing_name, operation.region).add_auth(request)
        async with operation.session.request(
            operation.method,
            URL(operation.url, encoded=True),
            headers=request.headers,
            data=body,
            allow_redirects=False,
            **operation.proxy,
        ) as response:
            content = await response.read()
        if response.status < _FAILED and operation.read is not None:
            request_id = response.headers.get("x-amzn-requestid")
            try:
                answer: dict[str, Any] = operation.read.validate_json(content)
            except ValidationError as error:
                raise IncompleteAnswer(f"a proper {_place(operation_name, error)}", request_id) from error
            meta = {
                "RequestId": request_id,
                "HTTPStatusCode": response.status,
                "HTTPHeaders": response.headers,
            }
            return answer | {"ResponseMetadata": meta}
        return await self._parsed(operation, response, content)

    async def _prepare(self, name: str, api_params: dict[str, Any]) -> _Operation:
        """Everything that botocore makes of a call, to keep what is not of this one alone."""
        service = self._service_model
        model = service.operation_model(name)
        context: dict[str, Any] = {"client_region": self.meta.region_name, "client_config": self.meta.config}
        url, headers, _ = await self._resolve_endpoint_ruleset(model, api_params, context)
        request = await self._convert_to_request_dict(api_params, model, url, context, headers)
        sent = {name: value for name, value in request["headers"].items() if name.lower() != "content-length"}
        signing, http = context.get("signing", {}), self._endpoint.http_session
        proxy_url = http._proxy_config.proxy_url_for(request["url"])  # noqa: SLF001
        return _Operation(
            model,
            request["method"],
            request["url"],
            sent | {"Accept-Encoding": "identity"},
            signing.get("signing_name", service.signing_name),
            signing.get("region", self.meta.region_name),
            await http._get_session(proxy_url),  # noqa: SLF001
            {
                "proxy": proxy_url,
                "proxy_headers": http._proxy_config.proxy_headers_for(request["url"]),  # noqa: SLF001
            },
            reader(model.output_shape) if service.resolved_protocol == "json" else None,
            _parsers().create_parser(service.resolved_protocol),
        )

    async def _parsed(
        self, operation: _Operation, response: aiohttp.ClientResponse, content: bytes
    ) -> dict[str, Any]:
        """An answer as botocore reads it, or the exception that it makes of it."""
        service, parser, model = self._service_model, operation.parser, operation.model
        told = {
            "headers": {name.lower(): value for name, value in response.headers.items()},
            "status_code": response.status,
            "body": content,
            "context": {"operation_name": model.name},
        }
        answer: dict[str, Any] = await parser.parse(told, model.output_shape)
        if response.status < _FAILED:
            return answer
        code = answer.get("Error", {}).get("Code")
        shape = service.shape_for_error_code(code)
        if shape is not None:
            answer.update(await parser.parse(told, shape))
        raise self.exceptions.from_code(code)(answer, model.name)


def _parsers() -> AioResponseParserFactory:
    parsers = AioResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    return parsers


def _timestamp(value: Any) -> datetime:  # noqa: ANN401  whatever AWS sent
    """botocore's, which leaves a time such as 2026-01-02T03:04:05Z to dateutil: 3,000 instructions."""
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return parse_timestamp(value)  # type: ignore[no-any-return]


def _place(operation_name: str, error: ValidationError) -> str:
    """Of the first member that isn't as the model says."""
    steps = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    return operation_name + "".join("[]" if isinstance(step, int) else f".{step}" for step in steps)
