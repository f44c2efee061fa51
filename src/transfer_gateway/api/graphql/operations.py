"""Runs operations, from a document's text to its result, for both HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Literal, overload

from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationType,
    build_schema,
    execute,
)
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from transfer_gateway.api.graphql.cost import MAX_ROWS, cost_of, too_expensive
from transfer_gateway.api.graphql.documents import Documents, Refused, operation_of
from transfer_gateway.api.graphql.graphql_core_internals import CompilingExecutor, source_stream
from transfer_gateway.api.graphql.inputs import Inputs
from transfer_gateway.api.graphql.large_operations import LARGE_ROWS, LargeOperations
from transfer_gateway.api.graphql.limits import check_variables
from transfer_gateway.api.graphql.naming import name_request
from transfer_gateway.api.graphql.strawberry_internals import core_schema, optimized_is_awaitable
from transfer_gateway.api.graphql.updates import Rendering, Updates, renders_alike
from transfer_gateway.api.graphql.variable_errors import variable_errors
from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.domain.errors import (
    BadUserInput,
    DeadlineExceeded,
    GatewayError,
    UpstreamUnavailable,
)
from transfer_gateway.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import strawberry
    from graphql import DocumentNode, OperationDefinitionNode
    from strawberry.http import GraphQLRequestData

    from transfer_gateway.api.graphql.context import Context
    from transfer_gateway.api.graphql.documents import Document
    from transfer_gateway.api.graphql.limits import Limits

# A safety net, since every lookup ends at the request's deadline. Allows time to build the result on a busy machine.
_AFTER_DEADLINE_S = 5.0
_SUBSCRIPTION = OperationType.SUBSCRIPTION  # an enum's attribute takes a call


class Operations:
    """Replaces Strawberry's `Schema.execute`, which has no limits and can't hide suggestions.

    Without `direct`, Strawberry executes documents after our limits are checked, and there are no subscriptions.
    """

    def __init__(
        self,
        schema: strawberry.Schema,
        limits: Limits,
        *,
        introspection: bool,
        suggestions: bool,
        direct: bool = True,
    ) -> None:
        self._schema = core_schema(schema) if direct else build_schema(schema.as_str())
        self._execute: Callable[..., Any] = (
            partial(
                execute,
                self._schema,
                is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]  # it guards
                executor_class=CompilingExecutor,
                hide_suggestions=not suggestions,
            )
            if direct
            else partial(_execute_by_strawberry, schema)
        )
        self._limits, self._direct = limits, direct
        self._hide_suggestions = not suggestions
        self._inputs = Inputs(self._schema if direct else GraphQLSchema())
        self._documents = Documents(
            self._schema, limits, introspection=introspection, suggestions=suggestions, compiles=direct
        )
        self.large_operations = LargeOperations()
        self._loop_budget = LoopBudget()

    def check_trusted(self, documents: Mapping[str, str]) -> None:
        """Raises: ConfigurationError for documents that are invalid or exceed the limits."""
        problems = []
        for document_id, text in documents.items():
            try:
                self._documents.get(text)
            except Refused as refused:
                problems += [f"trusted document {document_id}: {error.message}" for error in refused.errors]
        if problems:
            raise ConfigurationError(problems)

    @overload
    async def run(
        self,
        request: GraphQLRequestData,
        context: Context,
        *,
        has_slot: bool = False,
        streams: Literal[False] = False,
    ) -> ExecutionResult: ...
    @overload
    async def run(
        self, request: GraphQLRequestData, context: Context, *, has_slot: bool = False, streams: bool
    ) -> ExecutionResult | Updates: ...
    async def run(
        self,
        request: GraphQLRequestData,
        context: Context,
        *,
        has_slot: bool = False,
        streams: bool = False,
    ) -> ExecutionResult | Updates:
        """The operation's result; a PreExecutionError if it was not started. Never raises for invalid input.

        Large operations wait for a slot; `has_slot`: the caller has one. `streams`: a subscription may begin; its
        result is its updates, or why it has not begun.
        """
        try:
            async with asyncio.timeout_at(context.deadline + _AFTER_DEADLINE_S):
                if has_slot or not has_long_list(request.variables):
                    return await self._run(request, context, has_slot=has_slot, streams=streams)
                async with self.large_operations.take(context.reader.caller, context.deadline):
                    return await self._run(request, context, has_slot=True, streams=streams)
        except TimeoutError:
            return _failed(DeadlineExceeded("The request's deadline has passed."))
        except GatewayError as error:  # no slot
            return _failed(error)

    async def _run(
        self, request: GraphQLRequestData, context: Context, *, has_slot: bool, streams: bool
    ) -> ExecutionResult | Updates:
        await self._loop_budget.take()
        try:
            document = self._documents.get(request.query or "")
            operation = operation_of(document.node, request.operation_name)
            name_request(operation)
            variables = request.variables or {}
            try:
                is_subscription = operation.operation is _SUBSCRIPTION
                if is_subscription and not streams:
                    raise _needs_stream()
                check_variables(request.variables, self._limits)
                cost = cost_of(
                    document.node, operation, variables, context.reader, has_joins=document.has_joins
                )
                if cost.aws_calls > self._limits.max_aws_calls or cost.rows > MAX_ROWS:
                    raise too_expensive(cost, self._limits)
            except BadUserInput as error:
                raise Refused(error) from error
        except Refused as refused:
            return PreExecutionError(data=None, errors=refused.errors)
        if document.with_records:
            context.reader.with_records = True
        lists = self._inputs.take_lists(operation, variables)
        if has_slot:
            await asyncio.sleep(0)  # let other tasks run in between
        if is_subscription:
            is_large = cost.rows > LARGE_ROWS
            return await self._subscribe(request, document, operation, context, lists, is_large=is_large)
        if not has_slot and cost.rows > LARGE_ROWS:
            async with self.large_operations.take(context.reader.caller, context.deadline):
                return await self._result(
                    request, variables, document, operation, context=context, coerced=lists
                )
        return await self._result(request, variables, document, operation, context=context, coerced=lists)

    async def _result(
        self,
        request: GraphQLRequestData,
        variables: dict[str, Any],
        document: Document,
        operation: OperationDefinitionNode,
        *,
        context: Context,
        coerced: dict[str, Any],
    ) -> ExecutionResult:
        result = self._execute(
            document.node,
            context_value=context,
            variable_values=variables,
            operation_name=request.operation_name,
            compiled=document.compiled,
            coerced=coerced,
        )
        if isawaitable(result):
            result = await result
        errors = result.errors
        if errors and result.data is None and errors[0].path is None:
            errors = self._explained(errors, operation, variables)
        return ExecutionResult(data=result.data, errors=errors)

    def _explained(
        self, errors: list[GraphQLError], operation: OperationDefinitionNode, variables: dict[str, Any]
    ) -> list[GraphQLError]:
        found = variable_errors(self._schema, operation, variables, hide_suggestions=self._hide_suggestions)
        return found or errors

    async def _subscribe(
        self,
        request: GraphQLRequestData,
        document: Document,
        operation: OperationDefinitionNode,
        context: Context,
        coerced: dict[str, Any],
        *,
        is_large: bool,
    ) -> ExecutionResult | Updates:
        """Its updates, once it has begun: what refuses it is raised before its first change."""
        if not self._direct:
            return _failed(UpstreamUnavailable("Subscriptions are not available: see the log, at its start."))
        variables = request.variables or {}
        changes = source_stream(
            self._schema,
            document.node,
            context_value=context,
            raw_variable_values=variables,
            operation_name=request.operation_name,
            hide_suggestions=self._hide_suggestions,
            compiled=document.compiled,
            coerced=coerced,
        )
        if isinstance(changes, list):
            errors = changes if changes[0].path else self._explained(changes, operation, variables)
            return ExecutionResult(data=None, errors=errors)
        try:
            first = await anext(changes)
        except GatewayError as error:
            return _failed(error)
        if document.renders_alike is None:
            document.renders_alike = renders_alike(document.node, self._schema)
        rendering = Rendering(
            partial(
                self._execute,
                document.node,
                variable_values=variables,
                operation_name=request.operation_name,
                compiled=document.compiled,
                coerced=coerced,
            ),
            context,
            context.deadline - asyncio.get_running_loop().time(),
            partial(self._turn, context, is_large=is_large),
            (document, request.operation_name) if document.renders_alike else None,
        )
        return Updates(changes, first, rendering)

    @asynccontextmanager
    async def _turn(self, context: Context, deadline: float, *, is_large: bool) -> AsyncIterator[None]:
        """To render one change of a subscription. Raises: Throttled, DeadlineExceeded."""
        await self._loop_budget.take()
        try:
            async with (
                asyncio.timeout_at(deadline + _AFTER_DEADLINE_S),
                self.large_operations.take(context.reader.caller, deadline) if is_large else nullcontext(),
            ):
                yield
        except TimeoutError:
            raise DeadlineExceeded("A change's deadline has passed.") from None


def _needs_stream() -> BadUserInput:
    return BadUserInput(
        "A subscription needs a stream: use a WebSocket (graphql-transport-ws), or send `Accept: text/event-stream`."
    )


def _execute_by_strawberry(
    schema: strawberry.Schema,
    document: DocumentNode,
    *,
    context_value: Context,
    variable_values: dict[str, Any],
    operation_name: str | None,
    **_of_the_executor: object,
) -> Awaitable[Any]:
    assert document.loc is not None  # noqa: S101  it was parsed with locations
    return schema.execute(document.loc.source.body, variable_values, context_value, None, operation_name)


def _failed(error: GatewayError) -> ExecutionResult:
    return ExecutionResult(data=None, errors=[GraphQLError(error.message, original_error=error)])


def has_long_list(variables: object) -> bool:
    """Whether an operation with these unchecked variables is a large one."""
    if isinstance(variables, dict):
        for value in variables.values():  # a generator takes twice as long, for every request
            if isinstance(value, list) and len(value) > LARGE_ROWS:
                return True
    return False
