"""Runs operations: the way from a document's text to its result, the same for HTTP and WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError, GraphQLSchema, build_schema, execute
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from transfer_gateway.api.graphql.cost import cost_of
from transfer_gateway.api.graphql.documents import Documents, Refused, operation_of
from transfer_gateway.api.graphql.graphql_core_internals import CompilingExecutor
from transfer_gateway.api.graphql.inputs import Inputs
from transfer_gateway.api.graphql.large_operations import LARGE_ROWS, LargeOperations
from transfer_gateway.api.graphql.limits import check, check_variables
from transfer_gateway.api.graphql.naming import name_request
from transfer_gateway.api.graphql.strawberry_internals import core_schema, optimized_is_awaitable
from transfer_gateway.api.graphql.variable_errors import variable_errors
from transfer_gateway.api.loop_budget import LoopBudget
from transfer_gateway.domain.errors import BadUserInput, DeadlineExceeded, GatewayError
from transfer_gateway.settings import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import strawberry
    from graphql import DocumentNode
    from strawberry.http import GraphQLRequestData

    from transfer_gateway.api.graphql.context import Context
    from transfer_gateway.api.graphql.limits import Limits

# Every lookup ends at the request's deadline, so this is for what should not happen. It includes making the result of
# what was found by then, which is not to be lost where the machine is busy.
_AFTER_DEADLINE_S = 5.0


class Operations:
    """Instead of Strawberry's `Schema.execute`, which knows no limits and can't hide suggestions.

    Where not `direct`, Strawberry's executes what is within the limits.
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
        self._limits = limits
        self._hide_suggestions = not suggestions
        self._inputs = Inputs(self._schema if direct else GraphQLSchema())
        self._documents = Documents(
            self._schema, limits, introspection=introspection, suggestions=suggestions, compiles=direct
        )
        self.large_operations = LargeOperations()
        self._loop_budget = LoopBudget()

    def check_trusted(self, documents: Mapping[str, str]) -> None:
        """Raises: ConfigurationError for what could never run."""
        problems = []
        for document_id, text in documents.items():
            try:
                self._documents.get(text)
            except Refused as refused:
                problems += [f"trusted document {document_id}: {error.message}" for error in refused.errors]
        if problems:
            raise ConfigurationError(problems)

    async def run(
        self, request: GraphQLRequestData, context: Context, *, has_turn: bool = False
    ) -> ExecutionResult:
        """The operation's result; a PreExecutionError when it was not begun. Never raises for what callers send.

        Large operations are run in turns; `has_turn`: whoever calls has taken one.
        """
        waits = not has_turn and has_long_list(request.variables)
        try:
            async with (
                asyncio.timeout_at(context.deadline + _AFTER_DEADLINE_S),
                self.large_operations.take(context.reader.caller, context.deadline)
                if waits
                else nullcontext(),
            ):
                return await self._run(request, context, has_turn=has_turn or waits)
        except TimeoutError:
            return _failed(DeadlineExceeded("The request's deadline has passed."))
        except GatewayError as error:  # no turn
            return _failed(error)

    async def _run(self, request: GraphQLRequestData, context: Context, *, has_turn: bool) -> ExecutionResult:
        await self._loop_budget.take()
        try:
            document = self._documents.get(request.query or "")
            operation = operation_of(document.node, request.operation_name)
            name_request(operation)
            variables = request.variables or {}
            try:
                check_variables(request.variables, self._limits)
                cost = cost_of(document.node, operation, variables, context.reader.scope)
                check(
                    self._limits,
                    "max_aws_calls",
                    cost.aws_calls,
                    f"The operation may need {cost.aws_calls} AWS calls, more than {{}}",
                )
            except BadUserInput as error:
                raise Refused(error) from error
        except Refused as refused:
            return PreExecutionError(data=None, errors=refused.errors)
        lists = self._inputs.take_lists(operation, variables)
        if has_turn:
            await asyncio.sleep(0)  # what else is ready need not wait for all of it
        waits = not has_turn and cost.rows > LARGE_ROWS
        async with (
            self.large_operations.take(context.reader.caller, context.deadline) if waits else nullcontext()
        ):
            result = self._execute(
                document.node,
                context_value=context,
                variable_values=variables,
                operation_name=request.operation_name,
                compiled=document.compiled,
                coerced=lists,
            )
            if isawaitable(result):
                result = await result
        errors = result.errors
        if errors and result.data is None and errors[0].path is None:
            errors = (
                variable_errors(self._schema, operation, variables, hide_suggestions=self._hide_suggestions)
                or errors
            )
        return ExecutionResult(data=result.data, errors=errors)


def _execute_by_strawberry(
    schema: strawberry.Schema,
    document: DocumentNode,
    *,
    context_value: Context,
    variable_values: dict[str, Any],
    operation_name: str | None,
    **_of_the_executor: object,
) -> Awaitable[Any]:
    assert document.loc is not None  # noqa: S101  it was parsed with its places
    return schema.execute(document.loc.source.body, variable_values, context_value, None, operation_name)


def _failed(error: GatewayError) -> ExecutionResult:
    return ExecutionResult(data=None, errors=[GraphQLError(error.message, original_error=error)])


def has_long_list(variables: object) -> bool:
    """Whether the operation with these variables, as a client sent them, is a large one."""
    return isinstance(variables, dict) and any(
        isinstance(value, list) and len(value) > LARGE_ROWS for value in variables.values()
    )
