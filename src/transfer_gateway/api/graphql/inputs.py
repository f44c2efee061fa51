"""Coerces long lists of input objects, such as a thousand keys, with one generated function per type.

graphql-core traverses every value several times: for a thousand keys, a tenth of the cost of the whole lookup. Only a
list whose result is sure to be equal is coerced here. graphql-core handles all others, and reports their errors.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    is_leaf_type,
    is_required_input_field,
    type_from_ast,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import GraphQLSchema, OperationDefinitionNode

    Read = Callable[[Any], Any]


class Inputs:
    """The input types of a schema whose fields are all required and none of which contains another."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        kinds = (kind for kind in schema.type_map.values() if isinstance(kind, GraphQLInputObjectType))
        self._read = {kind: read for kind in kinds if (read := _reader(kind)) is not None}

    def take_lists(
        self, operation: OperationDefinitionNode, variables: dict[str, Any]
    ) -> dict[str, list[Any]]:
        """Remove the variables that are lists of such objects. Returns: them, as graphql-core would coerce them.

        An empty list remains in place of each.
        """
        found = {}
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            value = variables.get(name)
            if isinstance(value, list) and len(value) > 1:
                kind = _required(type_from_ast(self._schema, definition.type))
                read = self._read.get(_required(kind.of_type)) if isinstance(kind, GraphQLList) else None
                if read is not None:
                    with suppress(Exception):  # graphql-core reports the error
                        found[name] = [read(item) for item in value]
                        variables[name] = []
        return found


def _required(kind: Any) -> Any:  # noqa: ANN401  of any type
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


def _reader(kind: GraphQLInputObjectType) -> Read | None:
    """A function that creates the object from a dict, and raises for any other value."""
    fields = []
    for name, field in kind.fields.items():
        inner = _required(field.type)
        if not is_required_input_field(field) or not is_leaf_type(inner):
            return None
        fields.append((name, field.out_name or name, inner.coerce_input_value))

    def read(value: Any) -> Any:  # noqa: ANN401  any JSON
        if value.__class__ is not dict or len(value) != len(fields):
            raise ValueError
        return kind.out_type({out_name: coerce(value[name]) for name, out_name, coerce in fields})

    return read
