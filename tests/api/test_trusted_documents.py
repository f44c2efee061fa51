"""Trusted documents: by hash, in addition to text or only."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from transfer_gateway import server
from transfer_gateway.settings import ConfigurationError, load_documents
from wire import Gateway, calling

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings

TEXT = "query Accounts { accounts { id } }"
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()
OTHER = "{ __typename }"


async def asked(gateway: Gateway, **request: Any) -> tuple[int, str | None]:
    """The status, and the error's code if there is one."""
    answer = await gateway.post(request, accept="application/graphql-response+json")
    errors = answer.json().get("errors")
    return answer.status, errors[0]["extensions"]["code"] if errors else None


@pytest.mark.parametrize(
    ("mode", "request_", "status", "code"),
    [
        pytest.param("allow", {"documentId": SHA256}, 200, None, id="by-hash"),
        pytest.param("allow", {"documentId": f"sha256:{SHA256}"}, 200, None, id="with-its-algorithm"),
        pytest.param(
            "allow", {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": SHA256}}}, 200, None, id="apollo"
        ),
        pytest.param("allow", {"documentId": SHA256.upper()}, 200, None, id="in-upper-case"),
        pytest.param(
            "only", {"extensions": {"persistedQuery": {"sha256Hash": f"sha256:{SHA256.upper()}"}}}, 200, None,
            id="apollo-in-upper-case",
        ),
        pytest.param("allow", {"query": OTHER}, 200, None, id="text"),
        pytest.param("allow", {"query": TEXT, "documentId": SHA256}, 200, None, id="both"),
        pytest.param("allow", {"query": OTHER, "documentId": SHA256}, 400, "BAD_USER_INPUT", id="another-text"),
        pytest.param("allow", {"documentId": "0" * 64}, 400, "BAD_USER_INPUT", id="unknown-hash"),
        pytest.param("only", {"documentId": SHA256}, 200, None, id="only-by-hash"),
        pytest.param("only", {"query": OTHER}, 403, "FORBIDDEN", id="only-and-text"),
        pytest.param("only", {"query": TEXT}, 403, "FORBIDDEN", id="only-and-its-text"),
        pytest.param("only", {}, 400, "BAD_USER_INPUT", id="only-and-nothing"),
        pytest.param("off", {"documentId": SHA256}, 400, "BAD_USER_INPUT", id="off"),
        pytest.param("off", {"query": OTHER, "documentId": SHA256}, 200, None, id="off-and-text"),
    ],
)  # fmt: skip
@pytest.mark.variants(keep=6)
async def test_modes(
    aws: Emulator,
    settings: Callable[..., Settings],
    tmp_path: Path,
    mode: str,
    request_: dict[str, Any],
    status: int,
    code: str | None,
) -> None:
    """What each mode accepts."""
    (tmp_path / "accounts.graphql").write_text(TEXT)
    trusted = settings(graphql_trusted_documents=mode, graphql_trusted_documents_path=tmp_path)
    async with server.running(trusted) as service, calling(service.url) as gateway:
        assert await asked(gateway, **request_) == (status, code)


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param({"abc": TEXT}, id="codegen-and-relay"),
        pytest.param(
            {
                "format": "apollo-persisted-query-manifest",
                "version": 1,
                "operations": [{"id": "abc", "name": "Accounts", "type": "query", "body": TEXT}],
            },
            id="apollo",
        ),
    ],
)
def test_manifests(tmp_path: Path, manifest: Any) -> None:
    """Manifests of frontend build tools are read unchanged, with any hash algorithm."""
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(manifest))
    assert load_documents(file) == {"abc": TEXT}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "Expecting value", id="empty"),
        pytest.param("[]", "must be a mapping", id="list"),
        pytest.param('{"a": 1}', "a: must be text", id="number"),
        pytest.param("{}", "has no document", id="nothing"),
        pytest.param('{"format": "apollo-persisted-query-manifest"}', "operations: is required", id="apollo"),
        pytest.param('{"a": "{ nonsense }"}', "document a: Cannot query field 'nonsense'", id="never-valid"),
        pytest.param('{"a": "{"}', "document a: Syntax Error", id="no-document"),
    ],
)
async def test_bad_manifests(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path, content: str, says: str
) -> None:
    """An invalid manifest is reported at start-up, with the location."""
    file = tmp_path / "manifest.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=says):
        async with server.running(
            settings(graphql_trusted_documents="only", graphql_trusted_documents_path=file)
        ):
            pass


def test_path_is_required(settings: Callable[..., Settings]) -> None:
    """Trusted documents without their path are a configuration error."""
    with pytest.raises(
        ConfigurationError, match="TRANSFER_GATEWAY_GRAPHQL_TRUSTED_DOCUMENTS_PATH is required"
    ):
        settings(graphql_trusted_documents="only")


async def test_an_id_where_documents_are_off(shared_gateway: Gateway) -> None:
    """A request with an id alone is told why it has no answer."""
    (error,) = (await shared_gateway.post({"documentId": SHA256})).json()["errors"]
    assert error["message"] == "`documentId` is not supported, as trusted documents are off: send `query`."


def test_hashes_of_a_manifest(tmp_path: Path) -> None:
    """A SHA-256 in upper case is the same hash; other ids keep their case."""
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps({SHA256.upper(): TEXT, "sha256:" + "AB" * 32: OTHER, "Abc": OTHER}))
    assert load_documents(file) == {SHA256: TEXT, "ab" * 32: OTHER, "Abc": OTHER}
