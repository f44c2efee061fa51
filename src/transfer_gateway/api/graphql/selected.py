"""A document's selections: fields by response name, with inline fragments expanded."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    InlineFragmentNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    print_ast,
)

if TYPE_CHECKING:
    from graphql import (
        FragmentDefinitionNode,
        GraphQLNamedType,
        GraphQLOutputType,
        GraphQLSchema,
        SelectionSetNode,
        ValueNode,
    )

    Shape = tuple[str, GraphQLNamedType | None]
    Call = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(eq=False)
class Field:
    """A field at one position of the document."""

    node: FieldNode
    response_name: str
    on: GraphQLObjectType | None  # None: an interface or union, whose objects can be of any type
    type: GraphQLOutputType | None

    @cached_property
    def call(self) -> Call:
        """Equal for fields with the same name and arguments."""
        return self.node.name.value, tuple(
            sorted(
                (argument.name.value, _canonical(argument.value)) for argument in self.node.arguments or ()
            )
        )

    @cached_property
    def shape(self) -> Shape:
        """The type's lists and non-nulls, and its named type if that is a leaf; subfields are compared separately."""
        wrappers, kind = "", self.type
        while isinstance(kind, GraphQLList | GraphQLNonNull):
            wrappers += "[" if isinstance(kind, GraphQLList) else "!"
            kind = kind.of_type
        return wrappers, kind if is_leaf_type(kind) else None

    @cached_property
    def is_streamed(self) -> bool:
        return any(directive.name.value == "stream" for directive in self.node.directives or ())

    def __str__(self) -> str:
        arguments = ", ".join(print_ast(argument) for argument in self.node.arguments or ())
        return f"{self.node.name.value}({arguments})" if arguments else self.node.name.value


@dataclass(eq=False, slots=True)
class Selections:
    """The selections of one selection set."""

    fields: list[Field] = field(default_factory=list)
    spreads: list[str] = field(default_factory=list)  # names of fragments


class Selected:
    """The selections of a document. Each selection set is read once."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._read: dict[int, Selections] = {}  # by the set's identity, since nodes compare by value

    def has(self, fragment: FragmentDefinitionNode) -> bool:
        return id(fragment.selection_set) in self._read

    def by(self, fragment: FragmentDefinitionNode) -> Selections:
        return self.of(fragment.selection_set, self._schema.get_type(fragment.type_condition.name.value))

    def within(self, outer: Field) -> Selections | None:
        inner = outer.node.selection_set
        return None if inner is None else self.of(inner, get_named_type(outer.type))

    def of(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> Selections:
        found = self._read.get(id(selection_set))
        if found is None:
            found = self._read[id(selection_set)] = Selections()
            self._add(selection_set, parent, found)
        return found

    def _add(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None, to: Selections) -> None:
        """Recurses only into inline fragments, no deeper than the parser did."""
        fields = parent.fields if isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) else {}
        on = parent if isinstance(parent, GraphQLObjectType) else None
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                definition = fields.get(selection.name.value)  # none for __typename, as in graphql-core
                response_name = (selection.alias or selection.name).value
                to.fields.append(Field(selection, response_name, on, definition and definition.type))
            elif isinstance(selection, FragmentSpreadNode):
                to.spreads.append(selection.name.value)
            elif isinstance(selection, InlineFragmentNode):
                named = selection.type_condition
                inner = parent if named is None else self._schema.get_type(named.name.value)
                self._add(selection.selection_set, inner, to)


def _canonical(value: ValueNode) -> str:
    """A canonical text of a value: an object's fields have no order."""
    match value:
        case ObjectValueNode():
            fields = sorted((item.name.value, _canonical(item.value)) for item in value.fields)
            return f"{{{','.join(f'{name}:{inner}' for name, inner in fields)}}}"
        case ListValueNode():
            return f"[{','.join(map(_canonical, value.values))}]"
        case VariableNode():
            return f"${value.name.value}"
        case StringValueNode():
            return f"{'block' if value.block else ''}{value.value!r}"
        case NullValueNode():
            return "null"
        case _:  # numbers, booleans, enum values
            return f"{value.kind} {value.value}"  # type: ignore[attr-defined]  # these have one
