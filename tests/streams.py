"""Subscriptions as clients see them, over WebSocket and as server-sent events."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wire import JSON, Gateway, Socket, calling, socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

EVENTS = {"accept": "text/event-stream"}
_FIELDS = "{ cursor execution { id status } events { kind occurredAt stepName } }"
CHANGED = (
    "subscription ($key: ExecutionKey!, $after: String) "
    f"{{ executionChanged(key: $key, after: $after) {_FIELDS} }}"
)
ALL_CHANGED = (
    "subscription ($filter: SearchFilter, $after: String) "
    f"{{ executionsChanged(filter: $filter, after: $after) {_FIELDS} }}"
)


class Refused(Exception):
    """The subscription has ended with these errors, or never begun. `status`: over HTTP."""

    def __init__(self, errors: list[dict[str, Any]], status: int | None = None) -> None:
        super().__init__(errors, status)
        self.error, self.status = errors[0], status
        self.code: str = errors[0]["extensions"]["code"]


class Lost(Exception):
    """The stream has ended without saying so: the client is to come back."""


class Stream(Protocol):
    async def next(self) -> Any:
        """The next change's root field; None at the end. Raises: Refused, Lost."""


async def rest_of(stream: Stream) -> list[Any]:
    """All changes until the end."""
    changes = []
    while (change := await stream.next()) is not None:
        changes.append(change)
    return changes


class Event(NamedTuple):
    """A server-sent event; a comment has neither name nor data."""

    name: str
    data: str
    id: str = ""


class Events:
    """An event stream, as `EventSource` reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self) -> Event:
        """The next event or comment. Raises: Lost."""
        fields: dict[str, str] = {}
        async for line in self.response.content:
            if line == b"\n":
                return Event(fields.get("event", ""), fields.get("data", ""), fields.get("id", ""))
            name, _, value = line.decode().rstrip("\n").partition(":")
            assert name not in fields
            fields[name] = value.removeprefix(" ")
        raise Lost

    async def next(self) -> Any:
        while True:
            event = await self.event()
            if event.name == "complete":
                assert (event.data, await self.response.content.read()) == ("", b"")
                return None
            if event.name == "next":
                change = _change_of(json.loads(event.data))
                assert event.id == change.get("cursor", event.id)
                return change


@asynccontextmanager
async def events(
    gateway: Gateway, query: str, *, last_event_id: str | None = None, **variables: Any
) -> AsyncIterator[Events]:
    """A subscription as server-sent events, by POST. Raises: Refused, if it has not begun."""
    headers = JSON | EVENTS | ({} if last_event_id is None else {"last-event-id": last_event_id})
    body = json.dumps({"query": query, "variables": variables}).encode()
    async with gateway.open("POST", body, headers) as response:
        if response.content_type != "text/event-stream":
            raise Refused((await response.json())["errors"], response.status)
        assert response.status == 200
        yield Events(response)


class Messages:
    """One operation of a WebSocket that has no other."""

    def __init__(self, client: Socket, number: str) -> None:
        self.client, self._number = client, number

    async def next(self) -> Any:
        message = await self.client.next()
        assert message["id"] == self._number
        match message["type"]:
            case "next":
                return _change_of(message["payload"])
            case "complete":
                return None
            case _:
                raise Refused(message["payload"])


@asynccontextmanager
async def messages(
    url: str, query: str, *, token: str | None = None, number: str = "1", **variables: Any
) -> AsyncIterator[Messages]:
    """A subscription over a WebSocket of its own."""
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    async with socket(url, additional_headers=headers) as client:
        await client.subscribe(number, query, **variables)
        yield Messages(client, number)


@asynccontextmanager
async def both(url: str, query: str, *, token: str | None = None, **variables: Any) -> AsyncIterator[Any]:
    """The same subscription over WebSocket, and as server-sent events."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(calling(url, token))
        yield (
            await stack.enter_async_context(messages(url, query, token=token, **variables)),
            await stack.enter_async_context(events(gateway, query, **variables)),
        )


def _change_of(result: dict[str, Any]) -> Any:
    if "errors" in result:
        raise Refused(result["errors"], 200)
    (change,) = result["data"].values()
    return change
