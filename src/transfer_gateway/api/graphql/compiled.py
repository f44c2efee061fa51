"""Selections as Python functions: what a document selects of an object, written out once, run for every answer.

graphql-core completes each field in several calls. Where fields are plain attributes all the way down, one dict
display does the same. A selection is compiled when it is needed a second time, as most documents come once or very
often, and only if it is sure to come out equal: whatever else there is, and whatever value is not as its type promises,
graphql-core completes in full.
"""

from __future__ import annotations

import inspect
from contextlib import suppress
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    is_composite_type,
)
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from graphql import FieldNode, GraphQLCompositeType, GraphQLOutputType, GraphQLResolveInfo
    from graphql.pyutils import Path

    from transfer_gateway.api.graphql.context import Context

    Selection = Callable[[Any, "_Info"], dict[str, Any]]

_MAX_FIELDS = 2000  # in one function; fragments multiply them
_IDENTIFIERS = {"AccountId", "Region", "WorkflowId", "ExecutionId"}
# What each scalar's value must be, and is in the answer. {0}: a variable that holds the value.
_SCALARS = {
    "String": "{0} if isinstance({0}, str) else refuse({0})",
    "ID": "{0} if isinstance({0}, str) else refuse({0})",
    "Boolean": "{0} if {0}.__class__ is bool else refuse({0})",
    "Int": "{0} if {0}.__class__ is int and -0x80000000 <= {0} < 0x80000000 else refuse({0})",
    "Float": "{0} if {0}.__class__ is float and isfinite({0}) else refuse({0})",
    "Long": "{0} if {0}.__class__ is int else refuse({0})",
    "DateTime": "{0}.isoformat() if {0}.__class__ is datetime else refuse({0})",
} | dict.fromkeys(_IDENTIFIERS, "str({0}) if isinstance({0}, str) else refuse({0})")


class _Unusual(Exception):
    """graphql-core's business."""


class _Info(NamedTuple):
    """As much of a resolver's `info` as a compiled field has."""

    context: Context


class CompilingExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which looks for a compiled selection before it collects the fields of an object.

    `coerced`: variables' values that are ready.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  its base's
        compiled: Compiled | None,
        coerced: dict[str, Any],
        **options: Any,  # noqa: ANN401  as above
    ) -> None:
        super().__init__(*args, **options)
        self.variable_values.coerced.update(coerced)
        self._compiled = compiled

    def build_response(self, data: dict[str, Any] | None) -> Any:  # noqa: ANN401  its base's
        """The end. The helpers are bound to this executor, and such a cycle keeps all that it was told in memory."""
        response = super().build_response(data)
        self.async_helpers = None  # type: ignore[assignment]  # nobody is left who would ask
        return response

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: list[Any],
        path: Path,
        result: Any,  # noqa: ANN401  any object of the schema
        position_context: Any,  # noqa: ANN401  of incremental delivery, which there is none of
    ) -> Any:  # noqa: ANN401  the object's fields, or an awaitable of them
        if self._compiled is not None:
            selection = self._compiled.get(self, return_type, field_details_list)
            if selection is not None:
                with suppress(Exception):  # its value is unusual: an error, or nothing to compile for
                    return selection(result, _Info(self.context_value))
        return super().collect_and_execute_subfields(
            return_type, field_details_list, path, result, position_context
        )

    def complete_iterable_value(  # noqa: PLR0917  as graphql-core calls it
        self,
        item_type: GraphQLOutputType,
        field_details_list: list[Any],
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,  # noqa: ANN401  as above
    ) -> Any:  # noqa: ANN401  the list, or an awaitable of it
        kind = item_type.of_type if isinstance(item_type, GraphQLNonNull) else item_type
        if (
            self._compiled is not None
            and isinstance(items, list | tuple)
            and len(items) > 1
            and is_composite_type(kind)
        ):
            with suppress(Exception):  # one of them is unusual
                return self._written(self._compiled, kind, field_details_list, info, items)
        return super().complete_iterable_value(
            item_type, field_details_list, info, path, items, position_context
        )

    def _written(
        self,
        compiled: Compiled,
        kind: GraphQLCompositeType,
        field_details_list: list[Any],
        info: GraphQLResolveInfo[Any],
        items: Sequence[Any],
    ) -> list[dict[str, Any]]:
        """A list of objects. Which type they are of, and whether they are, their classes say."""
        by_class: dict[type, Selection] = {}
        told, written = _Info(self.context_value), []
        for item in items:
            selection = by_class.get(item.__class__)
            if selection is None:
                selection = self._selection_for(compiled, kind, field_details_list, info, item)
                by_class[item.__class__] = selection
            written.append(selection(item, told))
        return written

    def _selection_for(
        self,
        compiled: Compiled,
        kind: GraphQLCompositeType,
        field_details_list: list[Any],
        info: GraphQLResolveInfo[Any],
        item: Any,  # noqa: ANN401  as above
    ) -> Selection:
        if not isinstance(kind, GraphQLObjectType):
            name = (kind.resolve_type or self.type_resolver)(item, info, kind)
            kind = self.ensure_valid_runtime_type(name, kind, field_details_list, info, item)
        if kind.is_type_of is not None and kind.is_type_of(item, info) is not True:
            raise _Unusual
        selection = compiled.get(self, kind, field_details_list, often=True)
        if selection is None:
            raise _Unusual
        return selection


class Compiled:
    """One document's selections, by the type of the object and the fields that it was selected by."""

    def __init__(self) -> None:
        self._seen: set[tuple[object, ...]] = set()
        self._selections: dict[tuple[object, ...], Selection | None] = {}

    def get(
        self,
        executor: CompilingExecutor,
        parent: GraphQLObjectType,
        field_details_list: list[Any],
        *,
        often: bool = False,
    ) -> Selection | None:
        """None the first time, unless it will be needed `often`, and for a selection that is not to be compiled."""
        # The document, which outlives this, has the nodes.
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
    executor: CompilingExecutor, parent: GraphQLObjectType, field_details_list: list[Any]
) -> Selection | None:
    writing = _Writing(executor)
    try:
        source = f"lambda o, info: {writing.fields(parent, field_details_list, 'o')}"
        selection: Selection = eval(source, writing.names)  # noqa: S307  no text of a caller's but GraphQL names
    except (_Unusual, SyntaxError, MemoryError, RecursionError):  # Python's parser bounds nesting
        return None
    return selection


class _Writing:
    """The source of one function, and the names that it uses."""

    def __init__(self, executor: CompilingExecutor) -> None:
        self._executor = executor
        self._fields = self._variables = 0
        self.names: dict[str, object] = {"refuse": _refuse, "isfinite": isfinite, "datetime": datetime}

    def fields(self, parent: GraphQLObjectType, field_details_list: list[Any], var: str) -> str:
        """A dict display of what is selected of the object in that variable. Raises: _Unusual."""
        grouped, new_defer_usages, _ = self._executor.collect_subfields(parent, field_details_list)
        if new_defer_usages:
            raise _Unusual
        written = []
        for response_name, selected in grouped.items():
            self._fields += 1
            node: FieldNode = selected[0].node
            if self._fields > _MAX_FIELDS or node.arguments:
                raise _Unusual
            if node.name.value == "__typename":
                written.append(f"{response_name!r}: {parent.name!r}")
                continue
            field = parent.fields.get(node.name.value)
            declared = field and field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            if field is None or field.args or declared is None:  # the schema about itself is not Strawberry's
                raise _Unusual
            value = self._variable()
            read = self._read(declared, var)
            written.append(f"{response_name!r}: {self._value(field.type, selected, value, read)}")
        return f"{{{', '.join(written)}}}"

    def _read(self, field: Any, var: str) -> str:  # noqa: ANN401  Strawberry's field
        resolver = field.base_resolver
        if resolver is None:
            return f"{var}.{field.python_name}"
        if field.is_async or resolver.arguments or inspect.isasyncgenfunction(resolver.wrapped_func):
            raise _Unusual
        info = ", info" if resolver.info_parameter else ""
        return f"{self._name(resolver.wrapped_func)}({var}{info})"

    def _value(self, kind: GraphQLOutputType, selected: list[Any], var: str, read: str) -> str:
        """What `read` gives, completed as a value of that type, by way of the variable."""
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
                raise _Unusual

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _name(self, thing: object) -> str:
        name = f"n{len(self.names)}"
        self.names[name] = thing
        return name


def _refuse(value: object) -> Any:  # noqa: ANN401  never returns
    raise _Unusual(value)
