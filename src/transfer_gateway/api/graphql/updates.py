"""What a subscription tells: each change as the response that its document selects.

All subscribers of a change that ask the same, and may see the same, share one response.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson
from graphql import TypeInfo, TypeInfoVisitor, Visitor, visit

from transfer_gateway.api.graphql.errors import to_answer
from transfer_gateway.api.graphql.strawberry_internals import declared, resolver_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from graphql import ArgumentNode, DocumentNode, FieldNode, GraphQLSchema, VariableDefinitionNode

    from transfer_gateway.api.graphql.context import Context
    from transfer_gateway.domain.change import ExecutionChange


class Update(NamedTuple):
    """A change: its cursor, and the response in JSON."""

    cursor: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Rendering:
    """Renders changes for one subscriber. `execute` is given the change and the context.

    `shared_as`: equal for subscribers that ask the same; None: the response is the subscriber's own, and is made within
    `turn`, of which few are given at a time.
    """

    execute: Callable[..., Any]
    context: Context
    timeout_s: float
    turn: Callable[[float], AbstractAsyncContextManager[None]]
    shared_as: tuple[object, ...] | None

    async def text_of(self, change: ExecutionChange) -> bytes:
        """Raises: TimeoutError; GatewayError, as `turn`."""
        reader = self.context.reader
        if self.shared_as is None:
            deadline = asyncio.get_running_loop().time() + self.timeout_s
            async with self.turn(deadline):
                return await self._made(change, replace(self.context, deadline=deadline))
        key = (*self.shared_as, reader.scope.version)
        text: bytes | None = change.rendered.get(key)
        if text is None:
            text = change.rendered[key] = await self._made(change, self.context)
        return text

    async def _made(self, change: ExecutionChange, context: Context) -> bytes:
        result = self.execute(root_value=change, context_value=context)
        if isawaitable(result):
            result = await result
        return orjson.dumps(to_answer(result, context.request_id))


class Updates:
    """The updates of a subscription that has begun; None where there is none for seconds. A context: it ends them.

    Raises: GatewayError; TimeoutError, if a response took too long.
    """

    def __init__(
        self,
        changes: AsyncGenerator[ExecutionChange | None],
        first: ExecutionChange | None,
        rendering: Rendering,
    ) -> None:
        self._changes, self._rendering = changes, rendering
        self._first: ExecutionChange | None = first
        self._has_begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._changes.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update | None:
        if self._has_begun:
            change = await anext(self._changes)
        else:
            change, self._first, self._has_begun = self._first, None, True
        if change is None:
            return None
        text = await self._rendering.text_of(change)
        return Update(self._rendering.context.reader.cursor_of(change), text)


def renders_alike(document: DocumentNode, schema: GraphQLSchema) -> bool:
    """Whether what the valid document selects of a change depends on nothing but the change and the scope."""
    types = TypeInfo(schema)
    found = _Dependence(types, schema)
    visit(document, TypeInfoVisitor(types, found))
    return not found.any


class _Dependence(Visitor):
    """Whether any field visited is read for one caller and at one time, or any variable is used below the root."""

    def __init__(self, types: TypeInfo, schema: GraphQLSchema) -> None:
        super().__init__()
        self._types, self._root = types, schema.subscription_type
        self.any = False

    def enter_field(self, _node: FieldNode, *_: object) -> None:
        field = self._types.get_field_def()
        ours = None if field is None else declared(field)
        if (
            ours is not None
            and self._types.get_parent_type() is not self._root
            and (resolver_of(ours) is None or ours.arguments)
        ):
            self.any = True

    def enter_argument(self, _node: ArgumentNode, *_: object) -> Any:  # noqa: ANN401  graphql-core's
        return self.SKIP if self._types.get_parent_type() is self._root else None

    def enter_variable_definition(self, _node: VariableDefinitionNode, *_: object) -> Any:  # noqa: ANN401  as above
        return self.SKIP

    def enter_variable(self, *_: object) -> None:
        self.any = True
