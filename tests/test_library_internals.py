"""Private parts of libraries are used in one module for each library, and its docstring lists them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[1]
OURS = {"transfer_gateway", "transfer_emulator", "transfer_api"}
# For each library whose private parts are used: the one module that may.
INTERNALS = {
    "aiobotocore": "transfer_gateway.aws.botocore_internals",
    "aiohttp": "transfer_gateway.aws.botocore_internals",
    "botocore": "transfer_gateway.aws.botocore_internals",
    "graphql": "transfer_gateway.api.graphql.graphql_core_internals",
    "grpc": "transfer_gateway.api.rpc.grpc_internals",
    "strawberry": "transfer_gateway.api.graphql.strawberry_internals",
    "uvicorn": "transfer_gateway.api.uvicorn_internals",
}
DISTRIBUTIONS = {"graphql": "graphql-core", "grpc": "grpcio", "strawberry": "strawberry-graphql"}
# Classes that their libraries document as bases, with the methods that are overridden.
BASES = {
    "aiobotocore.credentials.AioCredentials",
    "botocore.credentials.Credentials",
    "graphql.language.visitor.Visitor",
    "graphql.validation.rules.ASTValidationRule",
    "graphql.validation.rules.ValidationRule",
    "grpc.GenericRpcHandler",
    "grpc_health.v1.health_pb2_grpc.HealthServicer",
    "pydantic.main.BaseModel",
    "strawberry.schema.base.BaseSchema",
    "strawberry.schema.schema.Schema",  # process_errors
    "aiohttp.client_exceptions.ClientError",
    "aiohttp.web_server.Server",  # of the emulator: connection_made and connection_lost, as asyncio has it
}
PUBLIC = {  # of bases that are otherwise private
    "aiohttp.client_reqrep.ClientResponse": {
        "close",
        "content",
        "content_length",
        "headers",
        "read",
        "status",
    },
    "aiohttp.helpers.HeadersMixin": {"content_length"},
}
PYTHON = set(sys.stdlib_module_names) | {"builtins"}
# Documented methods of Python's named tuples; the underscore keeps them apart from fields.
NAMED_TUPLE = {"_asdict", "_make", "_replace"}
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    for package in ("transfer_gateway", "transfer_emulator")
    for path in (ROOT / "src" / package).rglob("*.py")
    if path.name != "__main__.py"
)


@cache
def parsed(module: str) -> ast.Module:
    """From its file: one that a library runs, such as Alembic's `env.py`, can't be imported."""
    path = (ROOT / "src").joinpath(*module.split("."))
    return ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """Of the whole file."""
    return tuple(ast.walk(parsed(module)))


@cache
def listed(module: str) -> frozenset[str]:
    """The names in backticks in the module's docstring."""
    docstring = importlib.import_module(module).__doc__ or ""
    return frozenset(
        word for quoted in re.findall(r"`([^`]+)`", docstring) for word in re.findall(r"\w+", quoted)
    )


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


@cache
def parts_of(base: type) -> frozenset[str]:
    """The attributes of a class and its instances, without its bases'."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
    except (OSError, TypeError):  # written in C
        return frozenset(vars(base))
    assigned = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value)
    }
    declared = {
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    return frozenset(vars(base)) | assigned | declared


def _is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def used_of_itself(definition: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """What a class reads, writes and defines on itself, with the line."""
    for node in ast.walk(definition):
        if isinstance(node, ast.Attribute) and _is_self(node.value):
            yield node.attr, node.lineno
    for statement in definition.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            yield statement.name, statement.lineno
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, statement.lineno
        elif isinstance(statement, ast.Assign):
            yield from ((name.id, name.lineno) for name in statement.targets if isinstance(name, ast.Name))


def inherited(module: str) -> Iterator[tuple[type, str, str, int]]:
    """What a module's classes use of libraries' classes through `self`: base, class, part, line."""
    for definition in (node for node in nodes(module) if isinstance(node, ast.ClassDef)):
        ours = getattr(importlib.import_module(module), definition.name, None)
        if ours is None:  # within a function
            continue
        bases = [base for base in ours.__mro__ if base.__module__.partition(".")[0] not in OURS | PYTHON]
        for name, line in used_of_itself(definition):
            owner = next((base for base in bases if name in parts_of(base)), None)
            if owner is not None and not name.startswith("__"):
                yield owner, definition.name, name, line


@pytest.mark.thorough
def test_what_is_inherited_is_public_or_listed() -> None:
    """With or without underscore: a library may change how its class uses its own methods and attributes."""
    wrong = []
    for module, (owner, ours, name, line) in ((each, found) for each in MODULES for found in inherited(each)):
        base = f"{owner.__module__}.{owner.__qualname__}"
        library = base.partition(".")[0]
        if (base in BASES or name in PUBLIC.get(base, ())) and not is_private(name):
            continue
        internals = INTERNALS.get(library)
        if internals is None or name not in listed(internals):
            wrong.append(f"{module}:{line}: {ours}.{name} is {base}'s, and {internals} does not list it")
        elif is_private(name) and module not in INTERNALS.values():
            wrong.append(f"{module}:{line}: {ours}.{name} is {base}'s own; it belongs into {internals}")
    assert wrong == []


def test_private_names_are_our_own() -> None:
    """`other._name`, `f(_name=…)` and imports of private modules: only our own, or in the module that lists them."""
    wrong = [use for each in MODULES if each not in INTERNALS.values() for use in private_uses(each)]
    assert wrong == []


def private_uses(module: str) -> Iterator[str]:
    defined = {
        node.attr
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value)
    } | {
        node.name
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    for node in nodes(module):
        match node:
            case ast.Attribute(attr=name, value=value) if is_private(name) and not _is_self(value):
                if name not in defined | NAMED_TUPLE and ast.unparse(node) != "os._exit":
                    yield f"{module}:{node.lineno}: {ast.unparse(node)}"
            case ast.keyword(arg=str(name)) if is_private(name):
                yield f"{module}:{node.lineno}: {name}="
            case ast.ImportFrom(module=str(path), names=names, level=0) if path.partition(".")[0] not in OURS:
                if any(map(is_private, [*path.split("."), *(alias.name for alias in names)])):
                    yield f"{module}:{node.lineno}: from {path}"


# Modules of libraries that their documentation does not name.
UNDOCUMENTED = {
    "aiobotocore.client": "aiobotocore",
    "aiobotocore.parsers": "aiobotocore",
    "graphql.execution.executor": "graphql",
    "strawberry.execution": "strawberry",
    "strawberry.schema.schema": "strawberry",
    "strawberry.schema.schema_converter": "strawberry",
    "strawberry.subscriptions.protocols": "strawberry",
    "uvicorn.protocols": "uvicorn",
    "uvicorn.server": "uvicorn",
}


def test_undocumented_modules_are_imported_by_one() -> None:
    for module, node in ((each, node) for each in MODULES for node in nodes(each)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for path, library in UNDOCUMENTED.items():
                if f"{node.module}.".startswith(f"{path}."):
                    assert module == INTERNALS[library], f"{module}:{node.lineno} imports {node.module}"


@pytest.mark.parametrize("library", INTERNALS)
def test_a_library_whose_private_parts_are_used_has_an_upper_bound(library: str) -> None:
    name = DISTRIBUTIONS.get(library, library)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirement = next(each for each in project["dependencies"] if re.match(rf"{name}\b(?!-)", each))
    assert ",<" in requirement, requirement


def test_a_use_through_self_is_found() -> None:
    """The test finds parts of instances, of classes written in C, and of overridden methods."""
    found = {
        name
        for module in {*INTERNALS.values()} | {"transfer_gateway.api.http_protocol"}
        for _, _, name, _ in inherited(module)
    }
    assert {"_verify", "_build_verify_context", "_request_call", "_loop", "cycle", "pipeline"} <= found


def test_every_imported_library_is_declared() -> None:
    """Every imported library is declared, not only installed for another one; type stubs and our packages aside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[\[<>=;]", each)[0].strip() for each in project["dependencies"]}
    installed = packages_distributions()
    missing = {
        f"{module}: {name}"
        for module in MODULES
        for name in imported(nodes(module)) - OURS - PYTHON
        if not {re.sub(r"[-_.]+", "-", each.lower()) for each in installed[name]} & declared
    }
    assert missing == set()


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Top-level packages, including those imported for type checking."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
            found.add(node.module.partition(".")[0])
    return found
