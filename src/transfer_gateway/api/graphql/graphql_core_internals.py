"""Every private part of graphql-core that the GraphQL server uses: parts of its executor.

`execute` takes an `executor_class`, and passes unknown options to it; what such a class may override is not documented.
Of `Executor`: `build_response`, `collect_and_execute_subfields`, `complete_iterable_value`, overridden;
`collect_subfields`, `ensure_valid_runtime_type`, `type_resolver`, `context_value`, `variable_values` with its
`coerced`, `async_helpers`, which are used. Of the details of a field that these pass: `node`. `Executor.build` and
`create_source_event_stream` are documented for subscriptions; its fallback has none.

Of input types, `out_name` of a field and `out_type`, which are documented for building a schema, not for changing one.

Fallback: Strawberry's own `Schema.execute`, as in `strawberry_internals.py`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from graphql import (
    ExecutionResult,
    GraphQLNonNull,
    GraphQLObjectType,
    create_source_event_stream,
    is_composite_type,
)

from transfer_gateway.api.graphql.compiled import Info, Unusual
from transfer_gateway.api.graphql.strawberry_internals import StrawberryGraphQLCoreExecutionContext
from transfer_gateway.library_checks import require

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from graphql import (
        DocumentNode,
        GraphQLCompositeType,
        GraphQLError,
        GraphQLOutputType,
        GraphQLResolveInfo,
        GraphQLSchema,
    )
    from graphql.pyutils import Path

    from transfer_gateway.api.graphql.compiled import Compiled, Selection


class CompilingExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which uses an object's compiled selection if there is one.

    `coerced`: values of variables that are coerced already.
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
        """Called last. Breaks a reference cycle with the helpers, which would keep all data in memory."""
        response = super().build_response(data)
        self.async_helpers = None  # type: ignore[assignment]  # not used any more
        return response

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: list[Any],
        path: Path,
        result: Any,  # noqa: ANN401  any object of the schema
        position_context: Any,  # noqa: ANN401  for incremental delivery, which is not used
    ) -> Any:  # noqa: ANN401  the object's fields, or an awaitable of them
        if self._compiled is not None:
            selection = self._compiled.get(self, return_type, field_details_list)
            if selection is not None:
                with suppress(Exception):  # graphql-core handles errors and unusual values
                    return selection(result, Info(self.context_value))
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
            with suppress(Exception):  # as above
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
        """The response of a list of objects, whose classes determine their types."""
        by_class: dict[type, Selection] = {}
        context, written = Info(self.context_value), []
        for item in items:
            selection = by_class.get(item.__class__)
            if selection is None:
                selection = self._selection_for(compiled, kind, field_details_list, info, item)
                by_class[item.__class__] = selection
            written.append(selection(item, context))
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
            raise Unusual
        selection = compiled.get(self, kind, field_details_list, often=True)
        if selection is None:
            raise Unusual
        return selection


def source_stream(
    schema: GraphQLSchema,
    document: DocumentNode,
    **options: Any,  # noqa: ANN401  of `Executor.build`, and `CompilingExecutor`'s
) -> AsyncGenerator[Any] | list[GraphQLError]:
    """What the subscription's resolver returns, without starting it; or why there is none."""
    executor = CompilingExecutor.build(schema, document, **options)
    if isinstance(executor, list):
        return executor
    stream: Any = create_source_event_stream(executor)
    executor.async_helpers = None  # type: ignore[assignment]  # as in `build_response`
    return (stream.errors or []) if isinstance(stream, ExecutionResult) else stream


def check_executor() -> None:
    """Raises: PartDiffers."""
    require(
        StrawberryGraphQLCoreExecutionContext,
        "build_response(self, data)",
        "collect_and_execute_subfields(self, return_type, field_details_list, path, result, position_context)",
        "complete_iterable_value(self, item_type, field_details_list, info, path, items, position_context)",
        "collect_subfields(self, return_type, field_details_list)",
        "ensure_valid_runtime_type(self, runtime_type_name, return_type, field_details_list, info, result)",
    )
