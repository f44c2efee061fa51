"""A faster path for AWS calls than botocore's: it does only the work that differs from call to call.

For each call botocore resolves the endpoint, copies headers through three kinds of mappings, emits a dozen events
without listeners, and parses the response in Python: three quarters of a call's CPU. Here botocore builds an
operation's request once, and later requests differ from it only in body and signature. Endpoints, serialization,
signing rules, the HTTP session, the model and error parsing remain botocore's.
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

from botocore.auth import SIGV4_TIMESTAMP
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from pydantic_core import ValidationError
from yarl import URL

from transfer_gateway.aws.answer_schemas import validator_of
from transfer_gateway.aws.botocore_internals import ClientInternals, parser_of, sign, text_to_sign
from transfer_gateway.aws.decode import IncompleteAnswer
from transfer_gateway.aws.receiving import AnswerRejected
from transfer_gateway.library_checks import Check, expect

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from botocore.model import OperationModel
    from pydantic_core import SchemaValidator

_FAILED = 300  # and above, as in botocore
_PLAIN_TYPES = {"string", "integer", "long", "boolean"}


@dataclass(frozen=True, slots=True)
class _Sample:
    """A sample call for the self-test, with a response and an error."""

    operation: str
    api_params: dict[str, Any]
    error: bytes
    answer: bytes = b""


_SAMPLE_CREDENTIALS, _SAMPLE_CODE = ReadOnlyCredentials("AKIDEXAMPLE", "secret", "a+b/c="), "SampleException"
_SAMPLES = {
    "transfer": _Sample(
        "DescribeExecution",
        {"WorkflowId": "w-0123456789abcdef0", "ExecutionId": "sample"},
        b'{"__type": "SampleException", "message": "sample"}',
        b'{"WorkflowId": "w-0123456789abcdef0", "Execution": {"Results": {"Steps": [{"StepType": "COPY"}]}}}',
    ),
    "logs": _Sample(
        "FilterLogEvents",
        {"logGroupName": "/aws/transfer/s-0123456789abcdef0", "startTime": 1, "startFromHead": True},
        b'{"__type": "SampleException", "message": "sample"}',
        b'{"events": [{"eventId": "1", "timestamp": 1, "message": "{\\"type\\": \\"sample\\"}"}], "nextToken": "t"}',
    ),
    "sts": _Sample(
        "AssumeRole",
        {"RoleArn": "arn:aws:iam::111111111111:role/a", "RoleSessionName": "a@b", "DurationSeconds": 900},
        b"<ErrorResponse><Error><Code>SampleException</Code></Error></ErrorResponse>",
    ),
}


async def send_directly(client: Any, *, self_test: bool = True) -> bool:  # noqa: ANN401  botocore's clients are untyped
    """Make a client of a service in `_SAMPLES` use the direct sender, unless the self-test fails.

    Returns: whether it does.

    Only for clients without retries, which the direct sender does not support. Pass `self_test=False` if another
    client of the service has passed the test.
    """
    with Check("botocore", fallback="botocore's own calls, which take three times the CPU") as check:
        sender = DirectSender(ClientInternals(client))
        if self_test:
            await sender.check(_SAMPLES[client.meta.service_model.service_name])
    if check.passed:
        sender.internals.replace_calls(sender.call)
    return check.passed


class Signing:
    """Signature Version 4 for requests that differ only in body, time and credentials.

    botocore builds the canonical request once, with placeholders for these.
    """

    def __init__(self, method: str, url: str, headers: dict[str, str], service: str, region: str) -> None:
        self._scope = f"{region}/{service}/aws4_request"
        self._texts = {
            has_token: text_to_sign(method, url, headers, service, region, has_token=has_token)
            for has_token in (False, True)
        }

    def headers(self, body: bytes, credentials: ReadOnlyCredentials, at: datetime) -> dict[str, str]:
        """The signature headers of a request sent at that UTC time."""
        time, token = at.strftime(SIGV4_TIMESTAMP), credentials.token or ""
        scope = f"{time[:8]}/{self._scope}"
        until_time, until_token, until_body, signed = self._texts[bool(token)]
        text = f"{until_time}{time}{until_token}{token}{until_body}{sha256(body).hexdigest()}"
        key = _signing_key(credentials.secret_key, scope)
        to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{sha256(text.encode()).hexdigest()}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        added = {
            "X-Amz-Date": time,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}",
        }
        return added | {"X-Amz-Security-Token": token} if token else added


@lru_cache(maxsize=4096)
def _signing_key(secret_key: str, scope: str) -> bytes:
    """The key for a day, a region and a service. To derive it takes four fifths of a signature."""
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@dataclass(frozen=True, slots=True)
class _Operation:
    """The constant parts of an operation's calls. `read` parses a successful response; None if it isn't JSON."""

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


class DirectSender:
    """Makes the calls of an aiobotocore client, whose private parts it uses. Tests compare it with the original."""

    def __init__(self, internals: ClientInternals) -> None:
        self.internals = internals
        self._service = internals.meta.service_model
        self._region = internals.meta.region_name
        self._operations: dict[str, _Operation] = {}
        self._get_credentials = internals.credentials

    async def call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        """As `_make_api_call`.

        Also raises IncompleteAnswer for a JSON response that violates the model, and AnswerRejected for one that
        exceeds our limits.
        """
        operation = self._operations.get(operation_name)
        if operation is None:
            operation = self._operations[operation_name] = await self._prepare(operation_name, api_params)
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

    async def check(self, sample: _Sample) -> None:
        """Compare a sample call with botocore's. Raises: PartDiffers, and any error of a changed part."""
        model, service = self._service.operation_model(sample.operation), self._service
        request, signing_of = await self.internals.request(model, sample.api_params)
        name, region = self._scope(signing_of)
        theirs, body = sign(request, _SAMPLE_CREDENTIALS, name, region)
        at = datetime.strptime(theirs["X-Amz-Date"], SIGV4_TIMESTAMP).replace(tzinfo=UTC)
        signing = Signing(request["method"], request["url"], request["headers"], name, region)
        ours = request["headers"] | signing.headers(body, _SAMPLE_CREDENTIALS, at)
        expect("a request is signed differently", holds=ours == theirs)
        expect("a body is written differently", holds=self._writer(model)(sample.api_params) == body)
        parser = parser_of(service.resolved_protocol, _timestamp)
        response: dict[str, Any] = {"headers": {}, "context": {"operation_name": model.name}}
        if service.resolved_protocol == "json":
            read = await parser.parse(
                response | {"status_code": 200, "body": sample.answer}, model.output_shape
            )
            read.pop("ResponseMetadata")
            same = validator_of(model.output_shape).validate_json(sample.answer) == read
            expect("an answer is read differently", holds=same)
        error = await parser.parse(response | {"status_code": 400, "body": sample.error}, model.output_shape)
        expect("an error is read differently", holds=error["Error"]["Code"] == _SAMPLE_CODE)
        raised = self.internals.exception(_SAMPLE_CODE)(error, model.name)
        expect("an error is no ClientError", holds=isinstance(raised, ClientError))

    async def _prepare(self, name: str, api_params: dict[str, Any]) -> _Operation:
        """Let botocore build a call, and keep its constant parts."""
        service, internals = self._service, self.internals
        model = service.operation_model(name)
        request, signing_of = await internals.request(model, api_params)
        session, proxy = await internals.http_session(request["url"])
        is_json = service.resolved_protocol == "json"
        return _Operation(
            model,
            request["method"],
            URL(request["url"], encoded=True),
            request["headers"] | {"Accept-Encoding": "identity"},  # unsigned, as in aiobotocore
            Signing(
                request["method"],
                request["url"],
                request["headers"],
                *self._scope(signing_of),
            ),
            session,
            proxy,
            self._writer(model),
            validator_of(model.output_shape) if is_json else None,
            parser_of(service.resolved_protocol, _timestamp),
        )

    def _scope(self, signing: dict[str, Any]) -> tuple[str, str]:
        """The service and the region to sign for, from botocore's signing properties."""
        return signing.get("signing_name", self._service.signing_name), signing.get("region", self._region)

    def _writer(self, model: OperationModel) -> Callable[[dict[str, Any]], bytes]:
        """The function that serializes a call's parameters."""
        by_botocore = partial(_body, self.internals.serialize, model)
        if self._service.resolved_protocol != "json":
            return by_botocore
        members, plain = model.input_shape.members, _plain_members(model)
        return _json if plain == members.keys() else partial(_json_if_plain, plain, by_botocore)

    async def _parsed(
        self, operation: _Operation, response: aiohttp.ClientResponse, content: bytes
    ) -> dict[str, Any]:
        """The response as botocore parses it. Raises: botocore's ClientError for an error."""
        parser, model = operation.parser, operation.model
        received = {
            "headers": {name.lower(): value for name, value in response.headers.items()},
            "status_code": response.status,
            "body": content,
            "context": {"operation_name": model.name},
        }
        answer: dict[str, Any] = await parser.parse(received, model.output_shape)
        if response.status < _FAILED:
            return answer
        code = answer.get("Error", {}).get("Code")
        shape = self._service.shape_for_error_code(code)
        if shape is not None:
            answer.update(await parser.parse(received, shape))
        raise self.internals.exception(code)(answer, model.name)


_quoted = lru_cache(maxsize=256)(quote_plus)  # most of a form's values repeat


def _json(api_params: dict[str, Any]) -> bytes:
    return json.dumps(api_params).encode()


def _body(
    serialize: Callable[[dict[str, Any], OperationModel], dict[str, Any]],
    model: OperationModel,
    api_params: dict[str, Any],
) -> bytes:
    body: bytes | dict[str, Any] = serialize(api_params, model)["body"]
    if isinstance(body, bytes):
        return body
    form = "&".join(f"{_quoted(name)}={_quoted(str(value))}" for name, value in body.items())
    return form.encode()


def _json_if_plain(
    plain: frozenset[str], otherwise: Callable[[dict[str, Any]], bytes], api_params: dict[str, Any]
) -> bytes:
    return _json(api_params) if plain >= api_params.keys() else otherwise(api_params)


def _plain_members(model: OperationModel) -> frozenset[str]:
    """The input's members that are written as they are, under their own names."""
    members = model.input_shape.members.items()
    return frozenset(name for name, it in members if it.type_name in _PLAIN_TYPES and not it.serialization)


def _timestamp(value: Any) -> datetime:  # noqa: ANN401  any wire value
    """As botocore's parser, which takes 3,000 instructions (dateutil) for a time such as 2026-01-02T03:04:05Z."""
    if isinstance(value, str) and value.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return parse_timestamp(value)  # type: ignore[no-any-return]


def _unreadable(
    operation_name: str, error: ValidationError, request_id: str | None
) -> AnswerRejected | IncompleteAnswer:
    """The error for the first member that violates the model."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = operation_name + "".join("[]" if isinstance(step, int) else f".{step}" for step in first["loc"])
    if first["type"] not in {"too_long", "string_too_long"}:
        return IncompleteAnswer(f"a valid {path}", request_id)
    unit = "items" if first["type"] == "too_long" else "characters"
    return AnswerRejected(f"has more than {first['ctx']['max_length']} {unit} in {path}", request_id)
