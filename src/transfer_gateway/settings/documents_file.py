"""The trusted documents: a directory of `.graphql` files, or a manifest from a frontend's build."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from transfer_gateway.domain.text import escaped
from transfer_gateway.settings.configuration_error import ConfigurationError, control_character_problem, say

if TYPE_CHECKING:
    from pathlib import Path

_SHA256 = re.compile("[0-9a-fA-F]{64}")


def load_documents(path: Path) -> dict[str, str]:
    """Each document's text by its hash.

    A `.graphql` file's hash is the SHA-256 of its text; a manifest contains the hashes, of any algorithm. Two formats
    of manifest are supported: an object of hash and text (graphql-codegen's `persistedDocuments`, Relay's
    `persistConfig`), and Apollo's persisted query manifest. Raises: ConfigurationError.
    """
    try:
        if path.is_dir():
            texts = [file.read_text(encoding="utf-8") for file in sorted(path.rglob("*.graphql"))]
            documents = {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}
        else:
            documents = _entries(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"{path}: {'.'.join(str(part) for part in problem['loc'])}: {say(problem)}".replace(
                    ": : ", ": "
                )
                for problem in error.errors(include_url=False)
            ]
        ) from error
    except RecursionError as error:
        raise ConfigurationError([f"{path}: is nested too deeply"]) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ConfigurationError([f"{path}: {error}"]) from error
    problems = [
        f"{path}: {escaped(name)}: the document's id {problem}"
        for name in documents
        if (problem := control_character_problem(name)) is not None
    ]
    if problems:
        raise ConfigurationError(problems)
    if not documents:
        raise ConfigurationError([f"{path}: has no document"])
    return {document_key(name): text for name, text in documents.items()}


def document_key(name: str) -> str:
    """A document's id as a key: a SHA-256 in lower case and without its prefix, as requests may spell it otherwise."""
    plain = name.removeprefix("sha256:")
    return plain.lower() if _SHA256.fullmatch(plain) else plain


class _Operation(BaseModel):
    id: str
    body: str


class _Apollo(BaseModel):
    operations: list[_Operation]


def _entries(manifest: Any) -> dict[str, str]:  # noqa: ANN401  JSON
    if isinstance(manifest, dict) and manifest.get("format") == "apollo-persisted-query-manifest":
        return {operation.id: operation.body for operation in _Apollo.model_validate(manifest).operations}
    return TypeAdapter(dict[str, str]).validate_python(manifest)
