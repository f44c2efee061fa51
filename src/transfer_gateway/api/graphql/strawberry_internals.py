"""Every private part of Strawberry that the GraphQL server uses.

Of `Schema`: `_schema`, graphql-core's schema, and `config.name_converter` with `from_field` and `from_argument`. Of
`GraphQLCoreConverter`: `DEFINITION_BACKREF`, the extension that leads from graphql-core's types and fields to
Strawberry's. Of its fields: `arguments`, `python_name`, `is_async`, `base_resolver` with `wrapped_func`, `arguments`
and `info_parameter`. Of types and enums: `__strawberry_definition__` with `fields`, `origin`, `values`. Of `Info`: its
parameters `_raw_info` and `_field`. Of execution: `StrawberryGraphQLCoreExecutionContext`, the base of
`graphql_core_internals.py`, and `optimized_is_awaitable`.

Of `BaseGraphQLTransportWSHandler`, the base of `websocket.py`: `handle`, `handle_connection_init`, `handle_subscribe`,
`handle_message`, `handle_invalid_message`, `run_operation`, `send_message`, `operations`, `connection_acknowledged`,
`context`, `view`, `websocket`; of its `Operation`: `id`, `query`, `task`, `send_operation_message`. Of
`ASGIWebSocketAdapter`: `ws`, `send_json`. Of `GraphQL`: `websocket_adapter_class`,
`graphql_transport_ws_handler_class`, `get_context`, `on_ws_connect`, `decode_json`.

Fallbacks: Strawberry's own `Schema.execute`, after our own limits (`schema.py`, `operations.py`), which takes twice the
CPU. WebSockets are rejected, while HTTP still works: Strawberry's own handler would run operations without limits, and
expose internal errors. Enum values have no description if `__strawberry_definition__` is missing.
"""

# ruff: noqa: SLF001  the purpose of this module

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import strawberry
from strawberry.asgi import GraphQL

from transfer_gateway.library_checks import PartDiffers, found, require

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from graphql import GraphQLField, GraphQLInputObjectType, GraphQLResolveInfo, GraphQLSchema
    from strawberry.asgi import ASGIWebSocketAdapter
    from strawberry.execution import optimized_is_awaitable
    from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
    from strawberry.schema.schema_converter import GraphQLCoreConverter
    from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import (
        BaseGraphQLTransportWSHandler,
        Operation,
    )
else:
    _HANDLERS = "strawberry.subscriptions.protocols.graphql_transport_ws.handlers"
    ASGIWebSocketAdapter = found("strawberry.asgi", "ASGIWebSocketAdapter")
    BaseGraphQLTransportWSHandler = found(_HANDLERS, "BaseGraphQLTransportWSHandler")
    GraphQLCoreConverter = found("strawberry.schema.schema_converter", "GraphQLCoreConverter")
    Operation = found(_HANDLERS, "Operation")
    StrawberryGraphQLCoreExecutionContext = found(
        "strawberry.schema.schema", "StrawberryGraphQLCoreExecutionContext"
    )
    optimized_is_awaitable = found("strawberry.execution", "optimized_is_awaitable")

__all__ = [
    "ASGIWebSocketAdapter",
    "BaseGraphQLTransportWSHandler",
    "GraphQL",
    "Operation",
    "StrawberryGraphQLCoreExecutionContext",
    "check_schema",
    "check_websocket",
    "core_schema",
    "declared",
    "direct_resolver",
    "enum_values",
    "optimized_is_awaitable",
    "resolver_of",
]


def core_schema(schema: strawberry.Schema) -> GraphQLSchema:
    """graphql-core's schema."""
    return schema._schema


def declared(of: GraphQLField | GraphQLInputObjectType) -> Any:  # noqa: ANN401  Strawberry's field or type
    """Strawberry's declaration; None for introspection, which is graphql-core's own."""
    return of.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)


def resolver_of(field: Any) -> tuple[Callable[..., Any] | None, bool] | None:  # noqa: ANN401  Strawberry's field
    """A field's method and whether it takes `info`; (None, False) for a plain attribute.

    None if the method is asynchronous or takes arguments.
    """
    resolver = field.base_resolver
    if resolver is None:
        return None, False
    if field.is_async or resolver.arguments or inspect.isasyncgenfunction(resolver.wrapped_func):
        return None
    return resolver.wrapped_func, bool(resolver.info_parameter)


def direct_resolver(field: Any, info_class: type[strawberry.Info]) -> Callable[..., Any]:  # noqa: ANN401  as above
    """A resolver that calls the field's method with the arguments that graphql-core has coerced."""
    method = field.base_resolver.wrapped_func

    def resolve(source: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401  the field's
        return method(source, info_class(_raw_info=info, _field=field), **arguments)

    return resolve


def enum_values(enum: type[Enum]) -> list[Any]:
    """Strawberry's declarations of an enum's values; empty if unavailable."""
    definition: Any = getattr(enum, "__strawberry_definition__", None)
    return list(getattr(definition, "values", ()))


def check_schema(schema: strawberry.Schema) -> None:
    """Whether root fields of the schema can be called directly. Raises: PartDiffers."""
    require(optimized_is_awaitable)
    require(GraphQLCoreConverter, "DEFINITION_BACKREF")
    require(schema, "_schema.query_type.fields", "_schema.type_map", "config.info_class")
    require(
        schema, "config.name_converter.from_field(field)", "config.name_converter.from_argument(argument)"
    )
    query = schema._schema.query_type
    fields = [] if query is None else list(query.fields.values())
    for field in fields:
        ours = declared(field)
        if ours is None:
            raise PartDiffers("a field does not lead to its declaration")
        require(ours, "arguments", "python_name", "is_async")
        require(ours, "base_resolver.wrapped_func", "base_resolver.arguments", "base_resolver.info_parameter")
        for argument in ours.arguments:
            require(argument, "python_name")
    require(strawberry.Info, "__init__(self, _raw_info, _field)")


def check_websocket() -> None:
    """Whether `websocket.py` can build on the handler. Raises: PartDiffers."""
    require(
        BaseGraphQLTransportWSHandler,
        "__init__(self, view, websocket, context, root_value, schema, connection_init_wait_timeout)",
        "handle(self)",
        "handle_connection_init(self, message)",
        "handle_subscribe(self, message)",
        "handle_message(self, message)",
        "handle_invalid_message(self, error_message)",
        "run_operation(self, operation)",
        "send_message(self, message)",
    )
    handler: Any = BaseGraphQLTransportWSHandler
    sample = handler(None, None, None, None, None, None)
    require(sample, "operations", "connection_acknowledged", "context", "view", "websocket")
    operation: Any = Operation(sample, "1", "query", {}, None)
    require(operation, "id", "query", "task", "send_operation_message(message)")
    require(ASGIWebSocketAdapter, "__init__(self, view, request, response)", "send_json(self, message)")
    require(
        GraphQL,
        "websocket_adapter_class",
        "graphql_transport_ws_handler_class",
        "get_context(self, request, response)",
        "on_ws_connect(self, context)",
        "decode_json(self, data)",
    )
