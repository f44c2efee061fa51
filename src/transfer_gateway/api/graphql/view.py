"""GraphQL over HTTP: the format of requests, and the status and format of responses.

Source: the GraphQL-over-HTTP draft. A client that accepts only `application/json` gets 200 even for an invalid
document, as the draft recommends for such clients; every other client gets 400. All get the status of
the error's code if a valid request could not be started.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from strawberry.http import GraphQLRequestData

from transfer_gateway.api.errors import TABLE, log_failure
from transfer_gateway.api.graphql.context import Context, StreamContext
from transfer_gateway.api.graphql.errors import to_answer, to_extensions
from transfer_gateway.api.graphql.exchange import (
    address,
    compressed,
    error_response,
    named,
    read_body,
    requested_timeout_s,
    while_client_waits,
)
from transfer_gateway.api.graphql.execution_check import executes_directly
from transfer_gateway.api.graphql.large_operations import LARGE_BYTES
from transfer_gateway.api.graphql.operations import Operations
from transfer_gateway.api.graphql.response_cache import ResponseCache
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.api.graphql.sse import EVENTS, EventStream, as_events, only_events
from transfer_gateway.api.graphql.trusted import TextRequired, TrustedDocuments
from transfer_gateway.api.graphql.updates import Updates
from transfer_gateway.domain.errors import BadUserInput, Forbidden, GatewayError, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send
    from strawberry.types import ExecutionResult

    from transfer_gateway.api.auth import Admission
    from transfer_gateway.api.graphql.limits import Limits
    from transfer_gateway.api.request_headers import RequestHeaders
    from transfer_gateway.api.unread import UnreadBytes
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.telemetry import Requests

_JSON, _RESPONSE_JSON = "application/json", "application/graphql-response+json"
_JSON_BYTES = _JSON.encode()
_FAILED = 400  # and above
_VARY = "accept, accept-encoding"
_ANSWER_HEADERS = {
    media_type: (
        (b"cache-control", b"no-store"),
        (b"vary", _VARY.encode()),
        (b"content-type", media_type.encode()),
    )
    for media_type in (_JSON, _RESPONSE_JSON)
}
_HEADERS = {
    401: {"www-authenticate": "Bearer"},
    405: {"allow": "GET, POST"},
    408: {"connection": "close"},
    415: {"accept": _JSON, "accept-encoding": "identity"},
}  # by status, as RFC 9110 requires
_PARAMETERS: tuple[tuple[str, type, str], ...] = (
    ("query", str, "a string"),
    ("operationName", str, "a string"),
    ("documentId", str, "a string"),
    ("variables", dict, "an object"),
    ("extensions", dict, "an object"),
)
_JSON_PARAMETERS = ("variables", "extensions")  # of a GET
_NO_SLOT = nullcontext()
_UTF8 = {"utf-8", "utf8", "us-ascii"}  # charsets; the last is a subset of the first
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class GraphQLOptions:
    """Settings of the GraphQL server. `cors_origins`: the sites whose pages may call it from a browser.

    `heartbeat_s`: between comments of an event stream on which nothing happens.
    """

    limits: Limits
    request_timeout_s: float
    max_body_bytes: int
    answers_max_bytes: int = 0
    heartbeat_s: float = 15.0
    cors_origins: tuple[str, ...] = ()
    introspection: bool = True
    suggestions: bool = True
    trusted: TrustedDocuments = field(default_factory=TrustedDocuments)


class GraphQLView:
    """The ASGI application of /graphql over HTTP. `websocket.py` has the one for WebSockets.

    The constructor raises ConfigurationError for invalid trusted documents.
    """

    def __init__(
        self, admission: Admission, options: GraphQLOptions, requests: Requests, unread: UnreadBytes
    ) -> None:
        direct = executes_directly()
        self.schema = build_schema(direct=direct)
        self.admission = admission
        self.requests = requests
        self.unread = unread
        self.request_timeout_s = options.request_timeout_s
        self._options = options
        self.operations = Operations(
            self.schema,
            options.limits,
            introspection=options.introspection,
            suggestions=options.suggestions,
            direct=direct,
        )
        self.operations.check_trusted(options.trusted.texts)
        self._answers = ResponseCache(options.answers_max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        response: Response | EventStream
        try:
            response = await self._respond(request, receive)
        except TextRequired as error:
            # 200, as Apollo Server: some clients don't read errors with another status.
            response = error_response(200, error.message, error.code)
            if _accepts_only_events(scope):
                response = as_events(bytes(response.body))
        except HTTPException as error:
            response = error_response(error.status_code, error.reason)
            response.headers.update(_HEADERS.get(error.status_code, {}))
        except GatewayError as error:
            log_failure(error)
            status, extensions = TABLE[error.code].http_status, to_extensions(error)
            response = error_response(status, error.message, **extensions)
            response.headers.update(_HEADERS.get(status, {}))
            if "retryAfter" in extensions:
                response.headers["retry-after"] = str(math.ceil(extensions["retryAfter"]))
        if isinstance(response, EventStream):
            await response(scope, receive, send)
            return
        if response.status_code >= _FAILED and _RESPONSE_JSON in named(
            scope["state"]["headers"].get("accept")
        ):
            response.headers["content-type"] = _RESPONSE_JSON
            response.headers["vary"] = _VARY
        await (await compressed(scope["state"]["headers"], response))(scope, receive, send)

    async def _respond(self, request: Request, receive: Receive) -> Response | EventStream:
        state = request.scope["state"]
        headers: RequestHeaders = state["headers"]
        self._reject_foreign_pages(headers)
        timeout_s = requested_timeout_s(headers.get("x-request-timeout"))
        reader = await self.admission.enter(
            lambda: headers.get("authorization"),
            "graphql",
            lambda: address(request),
            time_remaining=lambda: timeout_s,
        )
        state["caller"] = reader.caller  # not the reader, which would create a reference cycle
        accepts = named(headers.get("accept"))
        modern = _RESPONSE_JSON in accepts
        streams = EVENTS in accepts
        media_type = _RESPONSE_JSON if modern else _JSON
        if streams and only_events(accepts):
            media_type = EVENTS
        payload = await self._payload(request, headers, receive)
        kept = self._answers.get(payload, reader)
        if kept is not None:
            return _response(kept, media_type)
        context = self.context_of(reader, state["request_id"], timeout_s)
        if streams:
            context = self.context_to_watch(
                context, lambda: headers.get("authorization"), headers.get("last-event-id") or None
            )
        is_large = len(payload) > LARGE_BYTES
        slot = (
            self.operations.large_operations.take(reader.caller, context.deadline) if is_large else _NO_SLOT
        )
        async with while_client_waits(receive):
            kept = await self._answers.wait_for_concurrent(payload, reader, context.deadline)
            if kept is not None:
                return _response(kept, media_type)
            with self._answers.sharing(payload, reader):
                async with slot:
                    data = self.read(
                        _parameters(request) if isinstance(payload, str) else _json(payload, "The body")
                    )
                    result = await self.operations.run(data, context, has_slot=is_large, streams=streams)
                    if isinstance(result, Updates):
                        return EventStream(
                            result, self.requests, context.request_id, self._options.heartbeat_s
                        )
                    if result.data is None:
                        _check_started(result, only_events=media_type is EVENTS)
                    if is_large:
                        await asyncio.sleep(0)  # let other tasks run before serialization
                    answer = to_answer(result, context.request_id)
                    text = orjson.dumps(answer)
                if "errors" not in answer:
                    self._answers.keep(payload, reader, text)
        refused = "data" not in answer and (modern or _JSON not in accepts) and media_type is not EVENTS
        return _response(text, media_type, 400 if refused else 200)

    def _reject_foreign_pages(self, headers: RequestHeaders) -> None:
        """Raises: Forbidden for requests that another site's page makes a browser send, such as an image's GET.

        They have the user's network access. Browsers report the origin, and pages can't prevent that.
        """
        if headers.get("sec-fetch-site") in {"cross-site", "same-site"} and (
            headers.get("origin") not in self._options.cors_origins
        ):
            raise Forbidden("Cross-origin requests are allowed only from the origins in HTTP_CORS_ORIGINS.")

    def context_of(self, reader: Reader, request_id: str, timeout_s: float = math.inf) -> Context:
        timeout_s = min(self._options.request_timeout_s, timeout_s)
        return Context(reader, asyncio.get_running_loop().time() + timeout_s, request_id)

    def context_to_watch(
        self, context: Context, authorization: Callable[[], str | None], last_event_id: str | None = None
    ) -> StreamContext:
        """For an operation that may be a subscription."""
        recheck = partial(self.admission.recheck, context.reader, authorization, lambda: None)
        return StreamContext(context.reader, context.deadline, context.request_id, recheck, last_event_id)

    async def _payload(self, request: Request, headers: RequestHeaders, receive: Receive) -> bytes | str:
        """A POST's body; a GET's parameters as text, so that the response cache never confuses the two.

        Raises: HTTPException, ClientDisconnect.
        """
        if request.method == "GET":
            parameters: bytes = request.scope["query_string"]
            return parameters.decode("latin-1")
        if request.method != "POST":
            raise HTTPException(405, "GraphQL only supports GET and POST requests.")
        if headers.values.get(b"content-type") != _JSON_BYTES:
            _check_content_type(headers.get("content-type") or "")
        if b"content-encoding" in headers.values:
            _check_encoding(headers.get("content-encoding") or "")
        options = self._options
        return await read_body(
            receive,
            request.scope["state"],
            self.unread,
            max_bytes=options.max_body_bytes,
            timeout_s=options.request_timeout_s,
        )

    def read(self, data: object) -> GraphQLRequestData:
        """Parse a request's JSON. Raises: HTTPException, BadUserInput, Forbidden, TextRequired."""
        if not isinstance(data, dict):
            raise HTTPException(400, "The body must be a JSON object with `query` and optional `variables`.")
        for name, kind, form in _PARAMETERS:
            if data.get(name) is not None and not isinstance(data[name], kind):
                raise HTTPException(400, f"`{name}` must be {form}, or absent.")
        extensions = data.get("extensions")
        query = self._options.trusted.text(data.get("query") or None, data.get("documentId"), extensions)
        if not query:
            raise HTTPException(400, "`query` is missing: it holds the GraphQL document.")
        return GraphQLRequestData(
            query=query,
            variables=data.get("variables"),
            operation_name=data.get("operationName") or None,
            extensions=extensions,
        )


def _check_content_type(content_type: str) -> None:
    """Raises: HTTPException for anything but JSON in UTF-8."""
    media_type, _, parameters = content_type.lower().partition(";")
    if media_type.strip() != _JSON:
        raise HTTPException(415, "Content-Type must be application/json.")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and (charset := value.strip().strip('"')) not in _UTF8:
            raise HTTPException(415, f"The charset of Content-Type must be utf-8; got {quote(charset)}.")


def _check_encoding(content_encoding: str) -> None:
    """Raises: HTTPException for a compressed body, whose decompressed size is unknown."""
    if any(coding.strip().lower() not in {"", "identity"} for coding in content_encoding.split(",")):
        raise HTTPException(
            415, f"Content-Encoding {quote(content_encoding)} is not supported: send the body uncompressed."
        )


def _parameters(request: Request) -> dict[str, Any]:
    """The parameters of a GET, without empty ones. Raises: HTTPException."""
    try:
        text: str = request.scope["query_string"].decode()
        given = parse_qsl(text, errors="strict")
    except UnicodeDecodeError:
        raise HTTPException(400, "The URL's query must be UTF-8.") from None
    parameters: dict[str, Any] = dict(given)
    if len(parameters) != len(given):
        names = [name for name, _ in given]
        twice = [name for name, _, _ in _PARAMETERS if names.count(name) > 1]
        if twice:
            raise HTTPException(400, f"`{twice[0]}` is given more than once.")
    return parameters | {
        name: _json(parameters[name], f"`{name}`") for name in _JSON_PARAMETERS if name in parameters
    }


def _json(text: str | bytes, what: str) -> Any:  # noqa: ANN401  JSON
    if isinstance(text, bytes) and text.startswith(_BOM):  # RFC 8259, section 8.1: it may be ignored
        text = text.removeprefix(_BOM)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if isinstance(text, bytes):
            _check_utf8(text, what)
        raise HTTPException(400, f"{what} must be JSON: {error}.") from error


def _check_utf8(text: bytes, what: str) -> None:
    """Raises: HTTPException for text that is not UTF-8."""
    if b"\0" in text[:4]:  # UTF-16 and UTF-32 JSON has such bytes, UTF-8 JSON does not
        raise HTTPException(400, f"{what} must be JSON in UTF-8; it looks like UTF-16 or UTF-32.")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"{what} must be JSON in UTF-8; the byte at {error.start} is not.") from None


def _accepts_only_events(scope: Scope) -> bool:
    accepts = named(scope["state"]["headers"].get("accept"))
    return EVENTS in accepts and only_events(accepts)


def _check_started(result: ExecutionResult, *, only_events: bool) -> None:
    """Raises: GatewayError if that kept the operation from starting, unless the request is at fault.

    `only_events`: unless a retry can't help, since clients of event streams retry whatever has another status than 200,
    and don't show its body.
    """
    if not result.errors or result.errors[0].path is not None:
        return
    cause = result.errors[0].original_error
    if isinstance(cause, GatewayError) and not isinstance(cause, BadUserInput):
        if only_events and not TABLE[cause.code].retryable:
            return
        raise cause


def _response(text: bytes, media_type: str, status: int = 200) -> Response:
    if media_type is EVENTS:
        return as_events(text)
    response = Response(text, status)
    response.raw_headers += _ANSWER_HEADERS[media_type]  # to make them anew took 3 % of a hit
    return response
