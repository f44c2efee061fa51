"""A call of AWS on a shorter way than botocore's: signed, sent and read without what is the same for every call.

botocore finds the endpoint anew each time, takes every header through three kinds of mappings, tells a dozen events
that nobody listens to, and walks its model over each answer: three quarters of what a call costs. Here an operation's
request is built once, by botocore, and further ones differ from it by body and signature. All that matters stays
botocore's: endpoints, serialization, the rules of signatures, the HTTP session, the model, errors and how they read.
"""

from __future__ import annotations

import hmac
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from aiobotocore.client import AioBaseClient
from aiobotocore.parsers import AioResponseParserFactory
from botocore.auth import EMPTY_SHA256_HASH, SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.utils import parse_timestamp
from pydantic_core import ValidationError
from yarl import URL

from transfer_gateway.aws.decode import IncompleteAnswer
from transfer_gateway.aws.receiving import AnswerRefused
from transfer_gateway.aws.shapes import reader

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from aiobotocore.session import AioSession
    from botocore.model import OperationModel
    from pydantic_core import SchemaValidator

_TIME, _TOKEN = "\0time", "\0token"  # marks, which no header holds
_FAILED = 300  # and above, as botocore has it


def shorten(session: AioSession) -> None:
    """Let the clients that the session makes from now on send so.

    Without retries, which are part of what is left out, and for services that are asked in JSON or in forms.
    """
    session.register("creating-client-class", lambda base_classes, **_: base_classes.insert(0, _DirectSender))


class Signing:
    """Signature Version 4 of requests that differ by their bodies, their time and who signs, and by nothing else.

    botocore writes the text that is signed, once, with marks where those differ.
    """

    def __init__(self, method: str, url: str, headers: dict[str, str], service: str, region: str) -> None:
        self._scope = f"{region}/{service}/aws4_request"
        self._texts = {}
        for has_token in (False, True):
            auth = SigV4Auth(ReadOnlyCredentials("", "", _TOKEN if has_token else None), service, region)
            request = AWSRequest(method, url, data=b"", headers=headers)
            request.context["timestamp"] = _TIME
            auth._modify_request_before_signing(request)  # noqa: SLF001  no other way to it
            text = auth.canonical_request(request).removesuffix(EMPTY_SHA256_HASH)
            until_time, _, rest = text.partition(_TIME)
            until_token, _, until_body = rest.partition(_TOKEN) if has_token else (rest, "", "")
            signed = auth.signed_headers(auth.headers_to_sign(request))
            self._texts[has_token] = until_time, until_token, until_body, signed

    def headers(self, body: bytes, credentials: ReadOnlyCredentials, at: datetime) -> dict[str, str]:
        """Those that sign the request, which is sent at that time, of UTC."""
        time, token = at.strftime(SIGV4_TIMESTAMP), credentials.token or ""
        scope = f"{time[:8]}/{self._scope}"
        until_time, until_token, until_body, signed = self._texts[bool(token)]
        text = f"{until_time}{time}{until_token}{token}{until_body}{sha256(body).hexdigest()}"
        key = f"AWS4{credentials.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{sha256(text.encode()).hexdigest()}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        added = {
            "X-Amz-Date": time,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}",
        }
        return added | {"X-Amz-Security-Token": token} if token else added


@dataclass(frozen=True, slots=True)
class _Operation:
    """What all calls of an operation have in common. `read` reads a good answer's body; None where it isn't JSON."""

    model: OperationModel
    method: str
    url: URL
    headers: dict[str, str]
    signing: Signing
    session: aiohttp.ClientSession
    proxy: dict[str, Any]
    body: Callable[[dict[str, Any]], bytes]
    read: SchemaValidator | None
    parser: Any


class _DirectSender(AioBaseClient):  # type: ignore[misc]  # botocore is untyped
    """Goes before aiobotocore's client, whose private parts it lives off: tests hold the two to each other."""

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        """As botocore's.

        Raises, too: IncompleteAnswer, for an answer in JSON that isn't what the model says; AnswerRefused, for one
        beyond our bounds.
        """
        operations: dict[str, _Operation] = self.__dict__.setdefault("_operations", {})
        operation = operations.get(operation_name)
        if operation is None:
            operation = operations[operation_name] = await self._prepare(operation_name, api_params)
        body = operation.body(api_params)
        credentials = await self._get_credentials().get_frozen_credentials()
        signed = operation.signing.headers(body, credentials, datetime.now(UTC))
        async with operation.session.request(
            operation.method,
            operation.url,
            headers=operation.headers | signed,
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
                raise _unreadable(operation_name, error, request_id) from error
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
        signing, http = context.get("signing", {}), self._endpoint.http_session
        proxy_url = http._proxy_config.proxy_url_for(request["url"])  # noqa: SLF001
        return _Operation(
            model,
            request["method"],
            URL(request["url"], encoded=True),
            request["headers"] | {"Accept-Encoding": "identity"},  # as aiobotocore adds it, unsigned
            Signing(
                request["method"],
                request["url"],
                request["headers"],
                signing.get("signing_name", service.signing_name),
                signing.get("region", self.meta.region_name),
            ),
            await http._get_session(proxy_url),  # noqa: SLF001
            {
                "proxy": proxy_url,
                "proxy_headers": http._proxy_config.proxy_headers_for(request["url"]),  # noqa: SLF001
            },
            partial(self._body, model) if service.resolved_protocol != "json" or _is_nested(model) else _json,
            reader(model.output_shape) if service.resolved_protocol == "json" else None,
            _parsers().create_parser(service.resolved_protocol),
        )

    def _body(self, model: OperationModel, api_params: dict[str, Any]) -> bytes:
        body: bytes | dict[str, Any] = self._serializer.serialize_to_request(api_params, model)["body"]
        if isinstance(body, bytes):
            return body
        form = "&".join(f"{_quoted(name)}={_quoted(str(value))}" for name, value in body.items())
        return form.encode()

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


_quoted = lru_cache(maxsize=256)(quote_plus)  # most of a form is the same each time


def _json(api_params: dict[str, Any]) -> bytes:
    return json.dumps(api_params).encode()


def _is_nested(model: OperationModel) -> bool:
    """Whether what is asked may be other than plain texts and numbers under their own names."""
    members = model.input_shape.members.values()
    return any(member.type_name not in {"string", "integer"} or member.serialization for member in members)


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


def _unreadable(
    operation_name: str, error: ValidationError, request_id: str | None
) -> AnswerRefused | IncompleteAnswer:
    """What is told of the first member that isn't as the model says."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = operation_name + "".join("[]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    if first["type"] not in {"too_long", "string_too_long"}:
        return IncompleteAnswer(f"a proper {place}", request_id)
    what = "items" if first["type"] == "too_long" else "characters"
    return AnswerRefused(f"has more than {first['ctx']['max_length']} {what} in {place}", request_id)
