"""Compiles a document's selections to Python functions that build the response.

graphql-core completes each field in several calls. If all fields are plain attributes, one dict display does the same.
A selection is compiled when it is executed the second time, since most documents are sent once or very often, and only
if the result is sure to be equal. graphql-core executes everything else, and every value that violates its type.
"""

from __future__ import annotations

from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
)

from transfer_gateway.api.graphql.strawberry_internals import declared, resolver_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import FieldNode, GraphQLOutputType

    from transfer_gateway.api.graphql.context import Context
    from transfer_gateway.api.graphql.strawberry_internals import StrawberryGraphQLCoreExecutionContext

    Selection = Callable[[Any, "Info"], dict[str, Any]]

_MAX_FIELDS = 2000  # in one function; fragments multiply them
_IDENTIFIERS = {"AccountId", "Region", "WorkflowId", "ExecutionId"}
# How each scalar is checked and serialized. {0}: the variable with the value.
_SCALARS = {
    "String": "{0} if isinstance({0}, str) else refuse({0})",
    "ID": "{0} if isinstance({0}, str) else refuse({0})",
    "Boolean": "{0} if {0}.__class__ is bool else refuse({0})",
    "Int": "{0} if {0}.__class__ is int and -0x80000000 <= {0} < 0x80000000 else refuse({0})",
    "Float": "{0} if {0}.__class__ is float and isfinite({0}) else refuse({0})",
    "Long": "{0} if {0}.__class__ is int else refuse({0})",
    "DateTime": "{0}.isoformat() if {0}.__class__ is datetime else refuse({0})",
} | dict.fromkeys(_IDENTIFIERS, "str({0}) if isinstance({0}, str) else refuse({0})")


class Unusual(Exception):
    """Can't be compiled: graphql-core executes it."""


class Info(NamedTuple):
    """The part of a resolver's `info` that compiled fields get."""

    context: Context


class Compiled:
    """One document's compiled selections, by object type and field nodes."""

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()
        self._selections: dict[tuple[object, ...], Selection | None] = {}

    def get(
        self,
        executor: StrawberryGraphQLCoreExecutionContext,
        parent: GraphQLObjectType,
        field_details_list: list[Any],
        *,
        often: bool = False,
    ) -> Selection | None:
        """None at the first call, unless `often`, and for a selection that can't be compiled."""
        # Keys by id() are safe: the document keeps the nodes alive longer than this object.
        key = (parent, *[id(details.node) for details in field_details_list])
        try:
            return self._selections[key]
        except KeyError:
            if not often and key not in self._seen:
                self._seen.add(key)
                return None
            selection = self._selections[key] = _compile(executor, parent, field_details_list)
            return selection


def _compile(
    executor: StrawberryGraphQLCoreExecutionContext, parent: GraphQLObjectType, field_details_list: list[Any]
) -> Selection | None:
    writer = _SourceWriter(executor)
    try:
        source = f"lambda o, info: {writer.fields(parent, field_details_list, 'o')}"
        selection: Selection = eval(source, writer.names)  # noqa: S307  contains no caller's text except GraphQL names
    except (Unusual, SyntaxError, MemoryError, RecursionError):  # Python's parser limits nesting
        return None
    return selection


class _SourceWriter:
    """The source of one function, and the names that it uses."""

    def __init__(self, executor: StrawberryGraphQLCoreExecutionContext) -> None:
        self._executor = executor
        self._fields = self._variables = 0
        self.names: dict[str, object] = {"refuse": _refuse, "isfinite": isfinite, "datetime": datetime}

    def fields(self, parent: GraphQLObjectType, field_details_list: list[Any], var: str) -> str:
        """A dict display of the fields selected on the object in that variable. Raises: Unusual."""
        grouped, new_defer_usages, _ = self._executor.collect_subfields(parent, field_details_list)
        if new_defer_usages:
            raise Unusual
        written = []
        for response_name, selected in grouped.items():
            self._fields += 1
            node: FieldNode = selected[0].node
            if self._fields > _MAX_FIELDS or node.arguments:
                raise Unusual
            if node.name.value == "__typename":
                written.append(f"{response_name!r}: {parent.name!r}")
                continue
            field = parent.fields.get(node.name.value)
            strawberrys = field and declared(field)
            if field is None or field.args or strawberrys is None:  # not Strawberry's: introspection
                raise Unusual
            value = self._variable()
            read = self._read(strawberrys, var)
            written.append(f"{response_name!r}: {self._value(field.type, selected, value, read)}")
        return f"{{{', '.join(written)}}}"

    def _read(self, field: Any, var: str) -> str:  # noqa: ANN401  Strawberry's field
        found = resolver_of(field)
        if found is None:
            raise Unusual
        method, takes_info = found
        if method is None:
            return f"{var}.{field.python_name}"
        return f"{self._name(method)}({var}{', info' if takes_info else ''})"

    def _value(self, kind: GraphQLOutputType, selected: list[Any], var: str, read: str) -> str:
        """An expression that completes the value of `read` as that type, using the variable."""
        if isinstance(kind, GraphQLNonNull):
            return (
                f"refuse({var}) if ({var} := {read}) is None else {self._some(kind.of_type, selected, var)}"
            )
        return f"None if ({var} := {read}) is None else {self._some(kind, selected, var)}"

    def _some(self, kind: GraphQLOutputType, selected: list[Any], var: str) -> str:
        match kind:
            case GraphQLList():
                item, each = self._variable(), self._variable()
                value = self._value(kind.of_type, selected, item, each)
                return (
                    f"[{value} for {each} in ({var} if {var}.__class__ in (tuple, list) else refuse({var}))]"
                )
            case GraphQLObjectType():
                fields = self.fields(kind, selected, var)
                if kind.is_type_of is None:
                    return fields
                return f"{fields} if {self._name(kind.is_type_of)}({var}, info) else refuse({var})"
            case GraphQLEnumType():
                names = {value.value: name for name, value in kind.values.items()}
                return f"{self._name(names)}[{var}]"
            case GraphQLScalarType() if kind.name in _SCALARS:
                return _SCALARS[kind.name].format(var)
            case _:
                raise Unusual

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _name(self, thing: object) -> str:
        name = f"n{len(self.names)}"
        self.names[name] = thing
        return name


def _refuse(value: object) -> Any:  # noqa: ANN401  never returns
    raise Unusual(value)
