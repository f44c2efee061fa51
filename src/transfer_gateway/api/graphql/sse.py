"""Server-sent events: results and subscriptions as `text/event-stream`.

Source: the protocol of graphql-sse, in distinct connections mode. Each change's cursor is its event's `id`, so that a
client that connects again goes on from there by itself: it sends `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from transfer_gateway.api.graphql.exchange import error_of, while_client_waits
from transfer_gateway.telemetry import current_request

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from transfer_gateway.api.graphql.updates import Updates
    from transfer_gateway.telemetry import Requests

EVENTS = "text/event-stream"
_OTHERS = {"application/json", "application/graphql-response+json", "application/*", "*/*"}
_HEADERS = {"cache-control": "no-store", "vary": "accept", "x-accel-buffering": "no"}  # the last is nginx's
_RAW_HEADERS = [
    (b"content-type", f"{EVENTS}; charset=utf-8".encode()),
    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
]
_HEARTBEAT = b":\n\n"  # a comment
_LOOKS_EVERY_S = 2.5  # at the time, at most
_COMPLETE = b"event: complete\ndata:\n\n"


def only_events(accepts: set[str]) -> bool:
    """Whether the client, which accepts events, accepts nothing else: not even for a query."""
    return accepts.isdisjoint(_OTHERS)


def as_events(result: bytes) -> Response:
    """A response with one result in JSON, and its end."""
    return Response(b"event: next\ndata: %b\n\n%b" % (result, _COMPLETE), 200, _HEADERS, EVENTS)


class EventStream:
    """A response with a subscription's updates.

    When the service shuts down it ends without `complete`, so that clients come back. A client that does not read is
    ended by the connection's limits.
    """

    def __init__(self, updates: Updates, requests: Requests, request_id: str, heartbeat_s: float) -> None:
        self._updates, self._requests, self._request_id = updates, requests, request_id
        self._idle_s = heartbeat_s - _LOOKS_EVERY_S

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._updates:
            if (request := current_request()) is not None:
                self._requests.subscribed(request)
            with suppress(ClientDisconnect, TimeoutError):
                async with asyncio.timeout(None) as until_shutdown, while_client_waits(receive):
                    with scope["state"]["connection"].streams.one(lambda: until_shutdown.reschedule(0)):
                        await send({"type": "http.response.start", "status": 200, "headers": [*_RAW_HEADERS]})
                        await self._send_updates(send)
        await _send(send, b"", more=False)

    async def _send_updates(self, send: Send) -> None:
        now = asyncio.get_running_loop().time
        await _send(send, _HEARTBEAT)  # with the headers, which clients and proxies wait for
        sent_at = now()
        while True:
            try:
                update = await anext(self._updates)
            except StopAsyncIteration:
                break
            except Exception as error:  # noqa: BLE001  callers see nothing of a bug but the request id
                failure = orjson.dumps(error_of(error, self._request_id))
                await _send(send, b"event: next\ndata: %b\n\n" % failure)
                break
            if update is not None:
                event = b"event: next\nid: %b\ndata: %b\n\n" % (update.cursor.encode(), update.text)
                await _send(send, event)
                sent_at = now()
            elif now() - sent_at >= self._idle_s:
                await _send(send, _HEARTBEAT)
                sent_at = now()
        await _send(send, _COMPLETE)


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
