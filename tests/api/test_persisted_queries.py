"""Hashes as sent by Apollo Client and urql: they send the text when the server requires it."""

from __future__ import annotations

import hashlib
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from transfer_gateway import server
from wire import calling, socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings
    from wire import Gateway

    Ask = Callable[[dict[str, Any]], Awaitable[Any]]

TRUSTED, OTHER = "query Accounts { accounts { id } }", "{ __typename }"
NOT_SUPPORTED = ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")
NOT_FOUND = ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
WRONG = ("`extensions.persistedQuery.sha256Hash` is not the SHA-256 of `query`.", "BAD_USER_INPUT")
ANSWERED = (None, None)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(hashed: Any, query: str | None = None) -> dict[str, Any]:
    request = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hashed}}}
    return request if query is None else request | {"query": query}


async def by_post(gateway: Gateway, request: dict[str, Any]) -> Any:
    answer = await gateway.post(request)
    assert answer.status == (
        400 if "BAD_USER" in answer.body.decode() else 403 if b"FORBID" in answer.body else 200
    )
    return answer.json()


async def by_get(gateway: Gateway, request: dict[str, Any]) -> Any:
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in request.items()}
    parameters = "&".join(f"{name}={quote(text)}" for name, text in texts.items())
    return (await gateway.send("GET", f"/graphql?{parameters}", encoded=True)).json()


async def by_socket(gateway: Gateway, request: dict[str, Any]) -> Any:
    async with socket(gateway.url) as client:
        await client.send({"type": "subscribe", "id": "1", "payload": request})
        message = await client.next()
    return message["payload"] if message["type"] == "next" else {"errors": message["payload"]}


@asynccontextmanager
async def serving(settings: Callable[..., Settings], folder: Path, mode: str) -> AsyncIterator[Gateway]:
    (folder / "accounts.graphql").write_text(TRUSTED)
    trusted = settings(graphql_trusted_documents=mode, graphql_trusted_documents_path=folder)
    async with server.running(trusted) as service, calling(service.url) as gateway:
        yield gateway


@pytest.mark.parametrize("ask", [by_post, by_get, by_socket])
@pytest.mark.parametrize(
    ("mode", "cases"),
    [
        pytest.param(
            "off",
            [
                (persisted(sha256(TRUSTED)), NOT_SUPPORTED),
                (persisted(sha256(OTHER)), NOT_SUPPORTED),
                (persisted(sha256(OTHER), OTHER), ANSWERED),
                (persisted(sha256(OTHER).upper(), OTHER), ANSWERED),
                (persisted("a hash of the client's own", OTHER), ANSWERED),
                (persisted(sha256(TRUSTED), OTHER), WRONG),
            ],
            id="off",
        ),
        pytest.param(
            "allow",
            [
                (persisted(sha256(TRUSTED)), ANSWERED),
                (persisted(f"sha256:{sha256(TRUSTED)}"), ANSWERED),
                (persisted(sha256(TRUSTED), TRUSTED), ANSWERED),
                (persisted(sha256(OTHER)), NOT_FOUND),
                (persisted("a hash of the client's own"), NOT_FOUND),
                (persisted(sha256(OTHER), OTHER), ANSWERED),
                (persisted(sha256("{ id }"), OTHER), WRONG),
            ],
            id="allow",
        ),
        pytest.param(
            "only",
            [
                (persisted(sha256(TRUSTED)), ANSWERED),
                (
                    persisted(sha256(OTHER)),
                    (f'documentId "{sha256(OTHER)}" is not among the trusted documents.', "BAD_USER_INPUT"),
                ),
            ],
            id="only",
        ),
        pytest.param(
            "allow",
            [
                (
                    persisted(hashed),
                    ("`extensions.persistedQuery.sha256Hash` must be a string.", "BAD_USER_INPUT"),
                )
                for hashed in (None, 1, ["a"])
            ],
            id="malformed",
        ),
    ],
)
async def test_hashes(
    aws: Emulator,
    settings: Callable[..., Settings],
    tmp_path: Path,
    ask: Callable[[Gateway, dict[str, Any]], Awaitable[Any]],
    mode: str,
    cases: list[tuple[dict[str, Any], tuple[str | None, str | None]]],
) -> None:
    """A hash of a trusted document is enough; for others the text is required. A text must match its hash."""
    async with serving(settings, tmp_path, mode) as gateway:
        for request, expected in cases:
            answer = await ask(gateway, request)
            if expected is ANSWERED:
                assert "errors" not in answer, answer
                continue
            (error,) = answer["errors"]
            assert (error["message"], error["extensions"]["code"]) == expected
            assert error["extensions"]["retryable"] is False


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/graphql-response+json, application/json;q=0.9"]
)
async def test_status(shared_gateway: Gateway, accept: str) -> None:
    """Clients that only read errors with status 200 (Apollo's for mobile) can read this one, too."""
    answer = await shared_gateway.post(persisted(sha256(OTHER)), accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["cache-control"] == "no-store"
