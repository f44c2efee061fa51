"""Configuration files in YAML: validated as a whole; every problem has its line and column."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from transfer_gateway.domain.text import escaped
from transfer_gateway.settings.configuration_error import ConfigurationError, control_character_problem, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """A mapping in the file. Unknown keys are rejected, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_BRACKETS = re.compile(rb"[][{}]")
_MAX_DEPTH = 32  # ruamel takes seconds for a few hundred nested brackets
# Besides its own errors, ruamel raises these, for invalid dates, numbers and tags, and cycles.
_NOT_YAML = (YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError)


class WatchedFile(Generic[T]):
    """A file on disk. Compared by content, so that every way of replacing it is detected."""

    def __init__(self, path: Path, parse: Callable[[bytes, str], T], *, hint: str) -> None:
        """`parse` takes the text, and the file's name for messages; it raises ConfigurationError.

        `hint`: for operators who have no such file yet.
        """
        self.path = path
        self._hints = (hint,)
        self._parse = parse
        self._seen: bytes | None = None

    def load(self) -> T:
        """Read the file. Raises: ConfigurationError, every problem with line and column."""
        try:
            self._seen = self.path.read_bytes()
        except OSError as error:
            self._seen = None
            raise ConfigurationError(
                [f"{self.path}: cannot be read: {error.strerror}"], hints=self._hints
            ) from error
        return self._parse(self._seen, str(self.path))

    def load_if_changed(self) -> T | None:
        """The file, if it has changed since the last read, else None.

        Raises: ConfigurationError, once for each bad version.
        """
        try:
            unchanged = self.path.read_bytes() == self._seen
        except OSError:
            unchanged = self._seen is None
        return None if unchanged else self.load()


def parse_yaml(text: bytes, model: type[M], *, name: str, key: str) -> M:
    """The validated text: `read_yaml`, then `check_model`. Raises: ConfigurationError."""
    return check_model(read_yaml(text, name=name, key=key), model, name=name)


def read_yaml(text: bytes, *, name: str, key: str) -> Any:  # noqa: ANN401  YAML
    """The document with its line numbers. `key`: a required key, named in an error.

    Raises: ConfigurationError.
    """
    try:
        _check_depth(text, name)
        document: Any = YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigurationError([f"{where}: {error.problem or 'is not YAML'}"]) from error
    except RecursionError as error:
        raise ConfigurationError([f"{name}: must not be nested deeper than {_MAX_DEPTH} levels"]) from error
    except _NOT_YAML as error:
        message = " ".join(str(error).split())
        raise ConfigurationError([f"{name}: is not YAML: {message or type(error).__name__}"]) from error
    if not isinstance(document, dict):
        raise ConfigurationError([f"{name}: must be a mapping with the key '{key}'"])
    if problems := [
        f"{name}{place(document, loc)}{problem}" for loc, problem in _control_characters(document)
    ]:
        raise ConfigurationError(problems)
    return document


def _check_depth(text: bytes, name: str) -> None:
    """Raises: ConfigurationError, for brackets that are nested too deeply; those in quotes and comments count too."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in b"[{" else -1 if depth else 0
        if depth > _MAX_DEPTH:
            before = text[: bracket.start()]
            line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
            problem = f"must not be nested deeper than {_MAX_DEPTH} levels"
            raise ConfigurationError([f"{name}:{line}:{column}: {problem}"])


def check_model(document: Any, model: type[M], *, name: str) -> M:  # noqa: ANN401  YAML
    """The document as that model. Raises: ConfigurationError, every problem with line and column."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(
            [
                f"{name}{place(document, problem['loc'])}{say(problem)}"
                for problem in error.errors(include_url=False)
            ]
        ) from None


def _control_characters(document: object) -> list[tuple[list[int | str], str]]:
    """The location and problem of each text or key with characters that names may not contain.

    An alias with a line feed would break tables and logs; one that changes the reading direction could imitate another.
    """
    found: list[tuple[list[int | str], str]] = []
    rest: list[tuple[list[int | str], Any]] = [([], document)]
    seen = set[int]()  # YAML aliases may make it cyclic, or very large
    while rest:
        loc, node = rest.pop()
        if isinstance(node, str):
            if (problem := control_character_problem(node)) is not None:
                found.append((loc, problem))
        elif isinstance(node, dict | list) and id(node) not in seen:
            seen.add(id(node))
            entries = node.items() if isinstance(node, dict) else enumerate(node)
            for key, value in reversed(list(entries)):
                rest.append(([*loc, key], value))
                if isinstance(key, str) and (problem := control_character_problem(key)) is not None:
                    found.append(([*loc, key], f"its key {problem}"))
    return found


def place(document: object, loc: Sequence[int | str]) -> str:
    """`:line:column: path: ` of a pydantic location, or of its closest parent in the document."""
    node: Any = document
    line = column = 0
    for part in loc:
        try:
            at = node.lc
            line, column = (at.key if isinstance(part, str) else at.item)(part)
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    path = escaped(path)
    return f":{line + 1}:{column + 1}: {path}: " if path else f":{line + 1}:{column + 1}: "
