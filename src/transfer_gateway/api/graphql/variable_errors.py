"""Errors of variables, with values as JSON.

graphql-core's messages have Python values: `None`, `True`, `{'a': 1}`. Its public validation reports which value is
wrong and where, so this module formats the value again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import GraphQLError, is_input_type, type_from_ast
from graphql.pyutils import Undefined, inspect, print_path_list
from graphql.utilities import validate_input_value

from transfer_gateway.domain.errors import BadUserInput, quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLSchema, OperationDefinitionNode, VariableDefinitionNode

_MAX_ERRORS = 50  # as in graphql-core's executor


class _Enough(Exception):
    """The maximum number of errors is reached."""


def variable_errors(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    hide_suggestions: bool,
) -> list[GraphQLError]:
    """Errors of the values that don't match their types; none if graphql-core rejects them for another reason."""
    errors: list[GraphQLError] = []
    try:
        for definition in operation.variable_definitions or ():
            _add_errors(schema, definition, variables, errors, hide_suggestions=hide_suggestions)
    except _Enough:
        pass
    except RecursionError:
        return []
    return errors


def _add_errors(
    schema: GraphQLSchema,
    definition: VariableDefinitionNode,
    variables: Mapping[str, Any],
    errors: list[GraphQLError],
    *,
    hide_suggestions: bool,
) -> None:
    """Raises: _Enough."""
    name, kind = definition.variable.name.value, type_from_ast(schema, definition.type)
    value = variables.get(name, Undefined)
    if not is_input_type(kind) or (value is Undefined and definition.default_value is not None):
        return

    def add(error: GraphQLError, path: list[str | int]) -> None:
        if len(errors) >= _MAX_ERRORS:
            raise _Enough
        message = (
            f"Variable '${name}' has invalid value{print_path_list(path)}: {_message(error, value, path)}"
        )
        errors.append(GraphQLError(message, definition, original_error=error))

    validate_input_value(value, kind, add, hide_suggestions)


def _message(error: GraphQLError, value: Any, path: list[str | int]) -> str:  # noqa: ANN401  JSON
    """graphql-core's message with the value at the path as JSON, or our own message."""
    if isinstance(error.original_error, BadUserInput):
        return error.original_error.message
    for step in path:
        if isinstance(value, dict | list):  # else a single value was coerced to a list
            value = value[step]  # type: ignore[index]  # the path exists
    before, found, after = error.message.rpartition(f": {inspect(value)}")
    return f"{before}: {quote(value)}{after}" if found else error.message
