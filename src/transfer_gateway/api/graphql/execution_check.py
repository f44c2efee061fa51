"""The self-test of operation execution: a small schema with a known result."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator  # noqa: TC003  Strawberry reads the annotations
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any

import strawberry
from graphql import execute, parse

from transfer_gateway.api.graphql.compiled import Compiled
from transfer_gateway.api.graphql.direct import call_directly
from transfer_gateway.api.graphql.graphql_core_internals import (
    CompilingExecutor,
    check_executor,
    source_stream,
)
from transfer_gateway.api.graphql.strawberry_internals import (
    check_schema,
    core_schema,
    optimized_is_awaitable,
)
from transfer_gateway.library_checks import Check, expect, require

if TYPE_CHECKING:
    from graphql import GraphQLSchema

_DOCUMENT = """
  query ($keys: [SampleKey!]!) { samples(keys: $keys) { size name twice more { name } } }
"""
_SUBSCRIPTION = "subscription ($key: SampleKey!) { changes(key: $key) { name } }"
_RESULT = {
    "samples": [
        {"size": "SMALL", "name": f"context {key}", "twice": f"context {key}" * 2, "more": [{"name": "more"}]}
        for key in "ab"
    ]
}


def executes_directly() -> bool:
    """Whether private parts of Strawberry and graphql-core work as `operations.py` needs. Takes a few milliseconds."""
    fallback = "Strawberry's own execution, which takes twice the CPU, and no subscriptions"
    with Check("graphql-core", fallback=fallback) as core:
        check_executor()
    with Check("strawberry-graphql", fallback=fallback) as check:
        _try()
    return core.passed and check.passed


class _Size(Enum):
    SMALL = "s"


@strawberry.input
class SampleKey:
    sample_name: str


@strawberry.type
class Sample:
    name: str
    size: strawberry.enum(_Size)  # type: ignore[valid-type]  # as in Strawberry's docs

    @strawberry.field
    def twice(self) -> str:
        return self.name * 2

    @strawberry.field
    def more(self) -> list[Sample]:
        return [Sample(name="more", size=_Size.SMALL)]


@strawberry.type
class SampleQuery:
    @strawberry.field
    def samples(self, info: strawberry.Info[Any, None], keys: list[SampleKey]) -> list[Sample]:
        return [Sample(name=info.context + key.sample_name, size=_Size.SMALL) for key in keys]


@strawberry.type
class SampleSubscription:
    @strawberry.subscription
    def changes(self, info: strawberry.Info[Any, None], key: SampleKey) -> AsyncGenerator[Sample]:
        return _changes(info.context + key.sample_name)


async def _changes(name: str) -> AsyncGenerator[Sample]:
    yield Sample(name=name, size=_Size.SMALL)


def _try() -> None:
    """Raises: PartDiffers, and any error of a changed part."""
    schema = strawberry.Schema(query=SampleQuery, subscription=SampleSubscription)
    require(_Size, "__strawberry_definition__.values")
    check_schema(schema)
    variables = {"keys": [{"sampleName": "a"}, {"sampleName": "b"}]}
    document, compiled = parse(_DOCUMENT), Compiled()
    call_directly(schema)
    for _ in range(2):  # selections are compiled the second time
        ours: Any = execute(
            core_schema(schema),
            document,
            context_value="context ",
            variable_values=variables,
            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]  # it guards
            executor_class=CompilingExecutor,
            compiled=compiled,
            coerced={},
            hide_suggestions=True,
        )
        expect("an operation has another result", holds=(ours.data, ours.errors) == (_RESULT, None))
    _try_subscription(core_schema(schema))


def _try_subscription(schema: GraphQLSchema) -> None:
    document = parse(_SUBSCRIPTION)
    options: dict[str, Any] = {"compiled": Compiled(), "coerced": {}}
    changes: Any = source_stream(
        schema,
        document,
        context_value="context ",
        raw_variable_values={"key": {"sampleName": "a"}},
        **options,
    )
    expect("a subscription has no stream", holds=inspect.isasyncgen(changes))
    try:
        anext(changes).send(None)
    except StopIteration as first:
        change = first.value
    with suppress(StopIteration):
        changes.aclose().send(None)
    expect("its stream has another value", holds=getattr(change, "name", None) == "context a")
    ours: Any = execute(
        schema,
        document,
        root_value=change,
        variable_values={"key": {"sampleName": "a"}},
        executor_class=CompilingExecutor,
        **options,
    )
    expect("a change has another result", holds=ours.data == {"changes": {"name": "context a"}})
