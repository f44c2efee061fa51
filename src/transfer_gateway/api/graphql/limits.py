"""Limits on the size of a document and its variables, checked before any expensive work.

Every check is linear in the document's length: a fragment is measured once, and its size is added wherever it is
spread. Strawberry's own limiters traverse fragments again at each spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
)

from transfer_gateway.domain.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graphql import DefinitionNode, DocumentNode, SelectionSetNode, ValueNode

_MAX_OPERATIONS = 50  # each is validated with all fragments that it spreads
_MAX_SPREADS = 100  # nested; validation and execution recurse into them
_CONTAINERS = frozenset({dict, list})  # as JSON is parsed
_LONG_LIST = "A list has more than {} items"


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one request. Documents are measured with their fragments expanded."""

    max_characters: int
    max_tokens: int
    max_selections: int
    max_depth: int
    max_root_fields: int
    max_aliases: int
    max_directives: int
    max_list_items: int
    max_variable_values: int
    max_aws_calls: int


def check(limits: Limits, name: str, amount: int, problem: str) -> None:
    """Raises: BadUserInput that names the limit, for an amount above it. `problem` is formatted with its value."""
    limit = getattr(limits, name)
    if amount > limit:
        raise BadUserInput(f"{problem.format(limit)} (limit: {name}).")


@dataclass(slots=True)
class _Size:
    """A selection set's size. `depth`: levels of fields; `spreads`: of fragments; `top_fields`: at the top level."""

    selections: int = 0
    top_fields: int = 0
    depth: int = 0
    spreads: int = 0
    aliases: int = 0
    directives: int = 0
    list_items: int = 0  # in the longest list

    def add(self, inner: _Size, *, levels: int = 0, spreads: int = 0) -> None:
        self.selections += inner.selections
        self.depth = max(self.depth, inner.depth + levels)
        self.spreads = max(self.spreads, inner.spreads + spreads)
        self.aliases += inner.aliases
        self.directives += inner.directives
        self.list_items = max(self.list_items, inner.list_items)
        if not levels:
            self.top_fields += inner.top_fields


def check_document(document: DocumentNode, limits: Limits) -> None:
    """Raises: BadUserInput if it is too large; GraphQLError for fragments that can't be expanded."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if len(operations) > _MAX_OPERATIONS:
        raise BadUserInput(f"The document has more than {_MAX_OPERATIONS} operations.")
    sizes = _sizes(_fragments(document))
    whole = _Size()
    for operation in operations:
        size = _size(operation.selection_set, sizes)
        size.directives += len(operation.directives or ())
        check(limits, "max_root_fields", size.top_fields, "The operation has more than {} root fields")
        whole.add(size)
    if sizes:  # unused fragments are validated too
        spread = {name for definition in document.definitions for name in _spreads_in(definition)}
        whole.selections += sum(size.selections for name, size in sizes.items() if name not in spread)
    if whole.spreads > _MAX_SPREADS:
        raise BadUserInput(f"The document nests fragments more than {_MAX_SPREADS} levels deep.")
    check(
        limits,
        "max_selections",
        whole.selections,
        "The document has more than {} fields and fragments, each counted wherever it is spread",
    )
    check(limits, "max_depth", whole.depth, "The document nests fields in more than {} levels")
    check(limits, "max_aliases", whole.aliases, "The document has more than {} aliases")
    check(limits, "max_directives", whole.directives, "The document has more than {} directives")
    check(limits, "max_list_items", whole.list_items, _LONG_LIST)


def check_variables(variables: Mapping[str, Any] | None, limits: Limits) -> None:
    """Raises: BadUserInput."""
    values, seen = [variables or {}], 0
    while values:
        value: Any = values.pop()
        if isinstance(value, dict):
            value = value.values()
        elif not isinstance(value, list):
            continue
        else:
            check(limits, "max_list_items", len(value), _LONG_LIST)
        seen += len(value)
        check(limits, "max_variable_values", seen, "The variables hold more than {} values")
        if not _CONTAINERS.isdisjoint(map(type, value)):
            values.extend(value)


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    fragments: dict[str, FragmentDefinitionNode] = {}
    for node in document.definitions:
        if isinstance(node, FragmentDefinitionNode):
            name = node.name.value
            if name in fragments:
                raise GraphQLError(f"There can be only one fragment named '{name}'.", node.name)
            fragments[name] = node
    return fragments


def _sizes(fragments: Mapping[str, FragmentDefinitionNode]) -> dict[str, _Size]:
    """The size of each fragment, in topological order."""
    spreads = {name: set(_spreads_in(fragment)) for name, fragment in fragments.items()}
    sizes: dict[str, _Size] = {}
    try:
        for name in TopologicalSorter(spreads).static_order():
            if name in fragments:  # else validation reports it as unknown
                sizes[name] = _size(fragments[name].selection_set, sizes)
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise GraphQLError(
            f"Fragments must not spread themselves: {' < '.join(circle[:10])}.", fragments[circle[0]]
        ) from None
    return sizes


def _spreads_in(definition: DefinitionNode) -> Iterator[str]:
    if isinstance(definition, FragmentDefinitionNode | OperationDefinitionNode):
        yield from _spreads(definition.selection_set)


def _spreads(selection_set: SelectionSetNode) -> Iterator[str]:
    for selection in selection_set.selections:
        if isinstance(selection, FragmentSpreadNode):
            yield selection.name.value
        elif selection.selection_set is not None:  # type: ignore[attr-defined]  # a field or an inline fragment
            yield from _spreads(selection.selection_set)  # type: ignore[attr-defined]  # as above


def _size(selection_set: SelectionSetNode, sizes: Mapping[str, _Size]) -> _Size:
    """Recurses no deeper than the parser, which would have failed first."""
    size = _Size()
    for selection in selection_set.selections:
        size.selections += 1
        directives = selection.directives or ()
        size.directives += len(directives)
        for directive in directives:
            size.list_items = max(
                size.list_items, *map(_items, (a.value for a in directive.arguments or ())), 0
            )
        if isinstance(selection, FragmentSpreadNode):
            size.add(sizes.get(selection.name.value, _Size()), spreads=1)
        elif isinstance(selection, FieldNode):
            size.top_fields += 1
            size.aliases += selection.alias is not None
            for argument in selection.arguments or ():
                size.list_items = max(size.list_items, _items(argument.value))
            if selection.selection_set:
                size.add(_size(selection.selection_set, sizes), levels=1)
            elif not size.depth:
                size.depth = 1
        else:  # an inline fragment
            size.add(_size(selection.selection_set, sizes))  # type: ignore[attr-defined]  # it has one
    return size


def _items(value: ValueNode) -> int:
    """The length of the longest list in the value."""
    if isinstance(value, ListValueNode):
        return max([len(value.values), *map(_items, value.values)])
    if isinstance(value, ObjectValueNode):
        return max([0, *(_items(field.value) for field in value.fields)])
    return 0
