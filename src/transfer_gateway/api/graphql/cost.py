"""Estimates the AWS calls of an operation from its root fields and arguments, before it runs.

A lookup costs one call per key. A field that reads every target costs two per target: a list of workflows, and a list
of the executions of one workflow; what the history answers costs none. The estimate ignores AssumeRole, and snapshots,
which may save calls. Details of listed items cost one call per item of the page; so do an execution's server and
workflow. Its events cost no call, but each is a row. A subscription's cost is that of one change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import FieldNode, FragmentDefinitionNode, FragmentSpreadNode, value_from_ast_untyped

from transfer_gateway.core.find_use_cases import DEFAULT_PAGE
from transfer_gateway.core.history_use_cases import DEFAULT_EVENTS
from transfer_gateway.domain.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from graphql import DocumentNode, OperationDefinitionNode, SelectionSetNode

    from transfer_gateway.api.graphql.limits import Limits
    from transfer_gateway.core.use_cases import Reader
    from transfer_gateway.domain.scope import Scope

    Arguments = Mapping[str, Any]

_LISTS_PER_TARGET = 2
MAX_ROWS = 100_000  # of executions with their events: about 100 MB
_JOINED = frozenset({"server", "workflow"})
_KNOWN = "coverage"  # has a server, too, which needs no call


class Cost(NamedTuple):
    """Estimated maximum of an operation's AWS calls and result rows."""

    aws_calls: int
    rows: int


def cost_of(
    document: DocumentNode,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    reader: Reader,
    *,
    has_joins: bool = True,
) -> Cost:
    """The document must be valid; the variables may be invalid.

    `has_joins`: whether it may select an execution's server, workflow or events.
    """
    fragments = (
        {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        if len(document.definitions) > 1
        else {}
    )
    defaults = {
        definition.variable.name.value: value_from_ast_untyped(definition.default_value)
        for definition in operation.variable_definitions or ()
        if definition.default_value is not None
    }
    known = {**defaults, **variables}
    total_calls = total_rows = 0
    for field in _root_fields(operation.selection_set, fragments):
        cost = _COSTS.get(field.name.value)
        if cost is not None:
            arguments = {
                argument.name.value: value_from_ast_untyped(argument.value, known)
                for argument in field.arguments or ()
            }
            aws_calls, rows = cost(arguments, reader)
            if has_joins and field.selection_set is not None and field.name.value != _KNOWN:
                joined, events = _joins(field.selection_set, fragments, known)
                aws_calls, rows = aws_calls + rows * len(joined), rows * (1 + events)
            total_calls, total_rows = total_calls + aws_calls, total_rows + rows
    return Cost(total_calls, total_rows)


def _root_fields(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Iterator[FieldNode]:
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, FragmentSpreadNode):
            yield from _root_fields(fragments[selection.name.value].selection_set, fragments)
        else:  # an inline fragment
            yield from _root_fields(selection.selection_set, fragments)  # type: ignore[attr-defined]  # it has one


def too_expensive(cost: Cost, limits: Limits) -> BadUserInput:
    """The error for a cost above `max_aws_calls` or MAX_ROWS."""
    if cost.aws_calls > limits.max_aws_calls:
        return BadUserInput(
            f"The operation may need {cost.aws_calls} AWS calls, more than {limits.max_aws_calls} "
            "(limit: max_aws_calls)."
        )
    return BadUserInput(
        f"The operation may have {cost.rows} rows, more than {MAX_ROWS}: "
        "select fewer executions, or fewer of their events."
    )


def _joins(
    selection_set: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], variables: Arguments
) -> tuple[frozenset[str], int]:
    """Which other objects are selected with each execution, and how many of its events."""
    joined, events = frozenset[str](), 0
    for field in _root_fields(selection_set, fragments):
        name = field.name.value
        if field.selection_set is None or name == _KNOWN:
            continue
        if name in _JOINED:
            joined |= {name}
        elif name == "events":
            given = {
                argument.name.value: value_from_ast_untyped(argument.value, dict(variables))
                for argument in field.arguments or ()
            }
            first = given.get("first", DEFAULT_EVENTS)
            events += first if isinstance(first, int) and first > 0 else DEFAULT_EVENTS
        else:
            inner, more = _joins(field.selection_set, fragments, variables)
            joined, events = joined | inner, events + more
    return joined, events


def _lookup(_arguments: Arguments, _reader: Reader) -> Cost:
    return Cost(1, 1)


def _lookups(arguments: Arguments, _reader: Reader) -> Cost:
    keys = arguments.get("keys")
    number = len(keys) if isinstance(keys, list) else 1
    return Cost(number, number)


def _watch(_arguments: Arguments, _reader: Reader) -> Cost:
    return Cost(0, 1)


def _find(arguments: Arguments, reader: Reader) -> Cost:
    calls = reader.calls_to_find(
        _strings(arguments.get("accountIds")),
        _strings(arguments.get("regions")),
        has_workflow=bool(arguments.get("workflowId")),
        asks_all=bool(arguments.get("inProgressOnly")) or arguments.get("maxAge") is not None,
    )
    return Cost(calls, 1)


def _list(arguments: Arguments, reader: Reader) -> Cost:
    wanted, first = arguments.get("filter"), arguments.get("first")
    rows = first if isinstance(first, int) and first > 0 else DEFAULT_PAGE
    targets = _targets(wanted if isinstance(wanted, dict) else {}, reader.scope)
    return Cost(_LISTS_PER_TARGET * targets + rows, rows)


def _in_progress(arguments: Arguments, reader: Reader) -> Cost:
    listed = _list(arguments, reader)
    where = arguments.get("filter")
    named = where if isinstance(where, dict) else {}
    calls = reader.calls_to_list(
        _strings(named.get("accountIds")),
        _strings(named.get("regions")),
        asks_all=arguments.get("maxAge") is not None,
    )
    return Cost(calls + listed.rows, listed.rows)


def _known(arguments: Arguments, _reader: Reader) -> Cost:
    """A list from the history."""
    sizes = [arguments.get("first"), arguments.get("last")]
    return Cost(0, max([size for size in sizes if isinstance(size, int) and size > 0], default=DEFAULT_PAGE))


def _viewer(_arguments: Arguments, reader: Reader) -> Cost:
    return Cost(0, 1 + reader.scope.count_accounts())


def _accounts(_arguments: Arguments, reader: Reader) -> Cost:
    return Cost(0, reader.scope.count_accounts())


_COSTS: Mapping[str, Callable[[Arguments, Reader], Cost]] = {
    "accounts": _accounts,
    "coverage": _known,
    "searchExecutions": _known,
    "viewer": _viewer,
    "execution": _lookup,
    "executionOrError": _lookup,
    "executionChanged": _lookup,
    "executionsChanged": _watch,
    "workflowOrError": _lookup,
    "node": _lookup,
    "executions": _lookups,
    "findExecution": _find,
    "inProgressExecutions": _in_progress,
    "workflows": _list,
    "servers": _list,
}


def _targets(arguments: Arguments, scope: Scope) -> int:
    """The number of targets that match a filter."""
    return scope.count_targets(_strings(arguments.get("accountIds")), _strings(arguments.get("regions")))


def _strings(value: object) -> frozenset[str]:
    """A list of ids that are not validated yet. GraphQL coerces a single value to a list."""
    items = value if isinstance(value, list) else [value]
    return frozenset(item for item in items if isinstance(item, str))
