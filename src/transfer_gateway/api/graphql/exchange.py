"""HTTP handling of a GraphQL request: headers, body, cancellation, compression, and error responses."""

from __future__ import annotations

import asyncio
import gzip
import math
import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from cross_web import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from transfer_gateway.api.errors import extensions_of, log_failure, log_fault
from transfer_gateway.api.graphql.errors import to_extensions
from transfer_gateway.domain.errors import ErrorCode, GatewayError
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import HTTPConnection
    from starlette.types import Receive

    from transfer_gateway.api.request_headers import RequestHeaders
    from transfer_gateway.api.unread import UnreadBytes

_MIN_COMPRESSED, _MIN_IN_THREAD, _COMPRESSION = 8192, 131_072, 4  # bytes, bytes, of zlib's 9 levels
_WATCH_AFTER_S = 0.25
_LONG_BODY = 16_384  # bytes
# A media range's parameters that contain q=0.
_ZERO_QUALITY = re.compile(r"(^|;)\s*q\s*=\s*0(\.0*)?\s*(;|$)")


def requested_timeout_s(header: str | None) -> float:
    """The timeout that the caller requests. Raises: HTTPException."""
    try:
        timeout_s = float(header) if header is not None else math.inf
    except ValueError:
        timeout_s = math.nan
    if not timeout_s > 0:
        raise HTTPException(400, "X-Request-Timeout must be a number of seconds greater than 0.")
    return timeout_s


def named(header: str | None) -> set[str]:
    """The values of a header such as Accept, without those with q=0."""
    items = (header or "").lower().split(",")
    named = (item.partition(";") for item in items)
    return {name.strip() for name, _, parameters in named if not _ZERO_QUALITY.search(parameters)}


def address(request: HTTPConnection) -> str | None:
    return request.client.host if request.client else None


async def read_body(
    receive: Receive, state: dict[str, Any], unread: UnreadBytes, *, max_bytes: int, timeout_s: float
) -> bytes:
    """The request's body, limited in bytes and time. Raises: HTTPException, ClientDisconnect.

    An incomplete long body counts as its caller's unread bytes; `state` has the request's caller and connection.
    Starlette's own limit is not used, since it responds in plain text.
    """
    chunks, length, more, kept = [], 0, True, None
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                length, more = length + len(chunks[-1]), message.get("more_body", False)
                if length > max_bytes:
                    raise HTTPException(413, f"The body has more than {max_bytes} bytes.")
                if more and kept is None and length > _LONG_BODY:
                    kept = unread.add(state["caller"].name, max_bytes, state["connection"].end)
    except TimeoutError:
        raise HTTPException(408, f"The body did not arrive within {timeout_s:g} s.") from None
    finally:
        if kept is not None:
            kept.remove()
    return b"".join(chunks)


@asynccontextmanager
async def while_client_waits(receive: Receive) -> AsyncIterator[None]:
    """Cancels the block when the client disconnects, to save AWS calls.

    Starts to watch only after a while, so that quick responses cost nothing extra. Raises: ClientDisconnect.
    """
    loop, answering = asyncio.get_running_loop(), asyncio.current_task()
    watching: asyncio.Task[None] | None = None
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        answering.cancel()  # type: ignore[union-attr]  # it runs in a task

    def start() -> None:
        nonlocal watching
        watching = loop.create_task(watch())

    timer = loop.call_later(_WATCH_AFTER_S, start)
    try:
        yield
    except asyncio.CancelledError:
        if not left:
            raise
        answering.uncancel()  # type: ignore[union-attr]  # as above
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()


async def compressed(headers: RequestHeaders, response: Response) -> Response:
    """The response with a compressed body, if it is large and the client accepts that."""
    body = response.body
    if len(body) >= _MIN_COMPRESSED and "gzip" in named(headers.get("accept-encoding")):
        compress = partial(gzip.compress, body, compresslevel=_COMPRESSION, mtime=0)
        # zlib releases the GIL.
        response.body = await asyncio.to_thread(compress) if len(body) >= _MIN_IN_THREAD else compress()
        response.headers["content-encoding"] = "gzip"
        response.headers["content-length"] = str(len(response.body))
    return response


def error_body(message: str, code: str, **extensions: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """`errors[]` with one failure of the whole request; `retryable` and `retryAfter` follow from the code."""
    if (request := current_request()) is not None:
        request.code = code
    return {"errors": [{"message": message, "extensions": extensions_of(code) | extensions}]}


def error_of(error: Exception, request_id: str) -> dict[str, Any]:
    """`errors[]` with what ended an operation; of a bug, callers see nothing but the request id. Logs it."""
    if isinstance(error, GatewayError):
        log_failure(error)
        return error_body(error.message, **to_extensions(error))
    log_fault(error)
    return error_body("Internal server error.", ErrorCode.INTERNAL_SERVER_ERROR, requestId=request_id)


def error_response(
    status: int,
    message: str,
    code: str = ErrorCode.BAD_USER_INPUT,
    **extensions: Any,  # noqa: ANN401  JSON
) -> Response:
    """A failure of the HTTP request itself, in GraphQL's format, so that clients parse only one format."""
    return Response(
        orjson.dumps(error_body(message, code, **extensions)),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
