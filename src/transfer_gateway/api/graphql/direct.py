"""Root fields that call their methods directly.

Strawberry converts every argument again that graphql-core has coerced, looking each name up anew: a quarter of a
lookup's time. graphql-core gives arguments their Python names and classes by itself, if it is told which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType
from strawberry.schema.schema_converter import GraphQLCoreConverter

if TYPE_CHECKING:
    from collections.abc import Callable

    import strawberry
    from graphql import GraphQLResolveInfo

    from transfer_gateway.api.graphql.context import Context

_DECLARED = GraphQLCoreConverter.DEFINITION_BACKREF  # where Strawberry leaves its own definition


def call_directly(schema: strawberry.Schema) -> None:
    """Have the schema's root fields and input types made without Strawberry."""
    core, names = schema._schema, schema.config.name_converter  # noqa: SLF001  Strawberry has no name for it
    for kind in core.type_map.values():
        if isinstance(kind, GraphQLInputObjectType):
            declared = kind.extensions[_DECLARED]
            for field in declared.fields:
                kind.fields[names.from_field(field)].out_name = field.python_name
            kind.out_type = _constructor(declared.origin)  # type: ignore[assignment, method-assign]  # meant to be
    assert core.query_type is not None  # noqa: S101  ours has one
    for root in core.query_type.fields.values():
        declared = root.extensions[_DECLARED]
        for argument in declared.arguments:
            root.args[names.from_argument(argument)].out_name = argument.python_name
        root.resolve = _resolver(declared, schema.config.info_class)


def _constructor(input_type: type) -> Callable[[dict[str, Any]], Any]:
    return lambda values: input_type(**values)


def _resolver(field: Any, info_class: type[strawberry.Info]) -> Callable[..., Any]:  # noqa: ANN401  Strawberry's field
    method = field.base_resolver.wrapped_func

    def resolve(source: object, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:  # noqa: ANN401  the field's
        return method(source, info_class(_raw_info=info, _field=field), **arguments)

    return resolve
