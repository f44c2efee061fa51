"""The documents of the page for people: known by their hash in every mode of trusted documents, over each transport."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from recorded import REMEMBERS
from streams import CHANGED, EVENTS
from transfer_gateway import server
from transfer_gateway.settings import ConfigurationError
from wire import JSON, Gateway, calling, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

ACCOUNTS = "query Accounts { accounts { id } }"
DEEP = "query Deep { accounts { id ...more } } fragment more on Account { alias regions }"
OTHER = "query Theirs { __typename }"
MODES = pytest.mark.parametrize("mode", ["off", "allow", "only"])


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def built(directory: Path) -> Path:
    """The page's directory, with the list of its documents as graphql-codegen writes it."""
    texts = (ACCOUNTS, DEEP, CHANGED)
    (directory / "documents.json").write_text(json.dumps({hash_of(text): text for text in texts}))
    return directory


@pytest.fixture
def trusting(settings: Callable[..., Settings], tmp_path: Path) -> Callable[..., Settings]:
    """Settings of that mode, with a document of the company's own."""
    (tmp_path / "theirs.graphql").write_text(OTHER)

    def build(mode: str, **overrides: object) -> Settings:
        path = None if mode == "off" else tmp_path / "theirs.graphql"
        return settings(
            graphql_trusted_documents=mode,
            graphql_trusted_documents_path=path and path.parent,
            **overrides,
        )

    return build


@pytest.fixture
async def gateway(
    aws: Emulator, trusting: Callable[..., Settings], built: Path, mode: str
) -> AsyncIterator[Gateway]:
    async with (
        server.running(trusting(mode, **REMEMBERS), page_directory=built) as service,
        calling(service.url) as gateway,
    ):
        yield gateway


async def errors(gateway: Gateway, **request: Any) -> list[str]:
    """The messages."""
    return [error["message"] for error in (await gateway.post(request)).json().get("errors", ())]


@MODES
async def test_known_by_hash_alone(gateway: Gateway, mode: str) -> None:
    """By POST and by GET, with the operation's name or without it, also again, from the cache of responses."""
    named = {"documentId": hash_of(ACCOUNTS)}
    for request in (named, named | {"operationName": "Accounts"}, named):
        answer = (await gateway.post(request)).json()
        assert answer["data"]["accounts"]
        assert "errors" not in answer
    asked = await gateway.send("GET", f"/graphql?{urlencode(named)}")
    assert asked.json() == answer


@MODES
async def test_all_else_is_as_before(gateway: Gateway, mode: str) -> None:
    """An unknown hash, a text, and a text with a hash get what each mode says of them."""
    unknown = await errors(gateway, documentId="0" * 64)
    as_text = await errors(gateway, query=OTHER)
    theirs = await errors(gateway, documentId=hash_of(OTHER))
    if mode == "off":
        assert unknown == ["`documentId` is not supported, as trusted documents are off: send `query`."]
        assert theirs == unknown
        # As ever, the text counts.
        assert await errors(gateway, query=OTHER, documentId=hash_of(ACCOUNTS)) == []
    else:
        assert unknown == [f'documentId "{"0" * 64}" is not among the trusted documents.']
        assert theirs == []
        assert await errors(gateway, query=OTHER, documentId=hash_of(ACCOUNTS)) == [
            "`query` is not the document with that `documentId`; omit it."
        ]
    assert bool(as_text) == (mode == "only")
    assert all("Only trusted documents are allowed" in message for message in as_text)


@pytest.mark.parametrize("mode", ["only"])
async def test_subscriptions(gateway: Gateway, world: World, mode: str) -> None:
    """As server-sent events, as the page has them, and over a WebSocket."""
    request = {"documentId": hash_of(CHANGED), "variables": {"key": to_input(place(world))}}
    async with gateway.open("POST", json.dumps(request).encode(), JSON | EVENTS) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        told = [(await response.content.readline()).decode() for _ in range(8)]
    assert '"status":"IN_PROGRESS"' in "".join(told)
    async with socket(gateway.url) as client:
        await client.send({"type": "subscribe", "id": "1", "payload": request})
        told_too = await client.next()
        assert told_too["payload"]["data"]["executionChanged"]["execution"]["status"] == "IN_PROGRESS"
        await client.send({"type": "subscribe", "id": "2", "payload": {"documentId": hash_of(ACCOUNTS)}})
        answer = await client.next()
        assert (answer["id"], bool(answer["payload"]["data"]["accounts"])) == ("2", True)


@MODES
async def test_unknown_without_the_page(
    aws: Emulator, trusting: Callable[..., Settings], built: Path, mode: str
) -> None:
    """Who switches the page off has none of its documents."""
    off = trusting(mode, page=False)
    async with server.running(off, page_directory=built) as service, calling(service.url) as gateway:
        assert await errors(gateway, documentId=hash_of(ACCOUNTS)) != []


async def test_limits_apply(aws: Emulator, settings: Callable[..., Settings], built: Path) -> None:
    """Limits that the page's documents exceed keep no gateway from starting; the answer names the limit."""
    strict = settings(graphql_max_selections=3)
    async with server.running(strict, page_directory=built) as service, calling(service.url) as gateway:
        assert await errors(gateway, documentId=hash_of(ACCOUNTS)) == []
        (message,) = await errors(gateway, documentId=hash_of(DEEP))
        assert "3" in message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "documents.json: Expecting value", id="cut-off"),
        pytest.param("{}", "documents.json: has no document", id="nothing"),
    ],
)
async def test_a_broken_build(
    settings: Callable[..., Settings], aws: Emulator, built: Path, content: str, says: str
) -> None:
    """Is found at the start, and the file is named."""
    (built / "documents.json").write_text(content)
    with pytest.raises(ConfigurationError, match=says):
        async with server.running(settings(), page_directory=built):
            pass


async def test_not_built(settings: Callable[..., Settings], aws: Emulator, tmp_path: Path) -> None:
    """Without npm there is no such file, and all else works."""
    none = tmp_path / "none"
    async with server.running(settings(), page_directory=none) as service, calling(service.url) as gateway:
        assert await errors(gateway, query=ACCOUNTS) == []
        assert b"isn't built" in (await gateway.send("GET", "/executions")).body
