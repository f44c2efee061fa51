"""Root fields that call their methods directly.

Strawberry converts every argument again after graphql-core has coerced it: a quarter of a lookup's time. graphql-core
can convert arguments to their Python names and classes itself, if it is configured to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType

from transfer_gateway.api.graphql.strawberry_internals import core_schema, declared, direct_resolver

if TYPE_CHECKING:
    from collections.abc import Callable

    import strawberry


def call_directly(schema: strawberry.Schema) -> None:
    """Make graphql-core resolve the root fields and create the input objects without Strawberry."""
    core, names = core_schema(schema), schema.config.name_converter
    for kind in core.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            type_ = declared(kind)
            for field in type_.fields:
                kind.fields[names.from_field(field)].out_name = field.python_name
            kind.out_type = _constructor(type_.origin)  # type: ignore[assignment, method-assign]  # intended by graphql-core
    assert core.query_type is not None  # noqa: S101  ours has one
    streams = {} if core.subscription_type is None else core.subscription_type.fields
    for root in (*core.query_type.fields.values(), *streams.values()):
        field = declared(root)
        for argument in field.arguments:
            root.args[names.from_argument(argument)].out_name = argument.python_name
        resolve = direct_resolver(field, schema.config.info_class)
        if root.subscribe is None:
            root.resolve = resolve
        else:  # it resolves each change to itself
            root.subscribe = resolve


def _constructor(input_type: type) -> Callable[[dict[str, Any]], Any]:
    return lambda values: input_type(**values)
