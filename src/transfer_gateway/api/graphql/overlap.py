"""Checks whether fields with the same response name can be merged, without comparing all pairs.

graphql-core's own rule compares pairs: four hundred times `accounts { id }` are 80,000 pairs, and as many again one
level below. Here all fields at the same position of the response, whatever object types they are selected on, form a
group, and their selections form the groups one level below. In a group

- all fields must have the same type shape. That is an equivalence, so each is compared with the first;
- fields that can apply to the same object must be the same call: a field's name and its arguments. Two fields can't
  apply to the same object if they are selected on different object types anywhere on the path from the root. The part
  of a field's path that distinguishes it from others is its lineage. Fields of one lineage are compared with the first
  of them, and lineages with each other only if their calls differ. There are as many lineages as paths through object
  types, usually one.

Source: GraphQL, "Field Selection Merging"; groups instead of pairs are Simon Adameit's idea, for Sangria. His algorithm
merges selections again for each object type, which grows exponentially with nested interfaces; lineages avoid that.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import FragmentDefinitionNode, GraphQLError, OperationDefinitionNode, ValidationRule
from graphql.validation.validate import ValidationAbortedError

from transfer_gateway.api.graphql.selected import Field, Selected, Selections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graphql import DocumentNode, FragmentSpreadNode, GraphQLObjectType, ValidationContext

MAX_STEPS = 200_000
_QUOTED_CHARACTERS = 200


class OverlappingFields(ValidationRule):
    """Replaces graphql-core's OverlappingFieldsCanBeMergedRule, with the same result.

    Takes at most one step per selection and selection set, with fragments expanded: a fragment is read once per
    position, and combinations that were checked before are skipped. Comparing lineages takes additional steps.
    Fragments that multiply, or spread themselves, could need any number of steps: after MAX_STEPS validation fails.

    Ignores fragment arguments, which only a parser option enables.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self.steps = 0
        self._selected = Selected(context.schema)
        self._spread: set[str] = set()
        self._checked: set[frozenset[_Part]] = set()
        self._lineages: dict[tuple[_Lineage, GraphQLObjectType | None], _Lineage] = {}
        self._reported: set[tuple[int, int]] = set()

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:  # noqa: ANN401  a visitor's arguments
        self._spread.add(node.name.value)

    def leave_document(self, document: DocumentNode, *_: Any) -> None:  # noqa: ANN401  as above
        fragments = [node for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                root = self.context.schema.get_root_type(node.operation)
                self._check(self._selected.of(node.selection_set, root))
        # Unused fragments are checked too, outer ones first, since most others are reached from these.
        for fragment in sorted(fragments, key=lambda fragment: fragment.name.value in self._spread):
            if not self._selected.has(fragment):
                self._check(self._selected.by(fragment))

    def _check(self, root: Selections) -> None:
        pending = deque([[_Part(root, _ROOT)]])
        while pending:
            parts = self._expanded(pending.popleft())
            together = frozenset(parts)
            if together in self._checked:
                continue
            self._checked.add(together)
            groups: defaultdict[str, list[_Member]] = defaultdict(list)
            for selections, lineage in parts:
                self._step(len(selections.fields))
                for field in selections.fields:
                    groups[field.response_name].append(_Member(field, lineage))
            for group in groups.values():
                members = self._distinguished(group)
                conflict = self._conflict(members) if len(members) > 1 else None
                if conflict is not None:
                    self._report(*conflict)
                elif inner := self._inner(members):
                    pending.append(inner)

    def _expanded(self, parts: list[_Part]) -> list[_Part]:
        """Expand the fragments, each once per lineage, and drop selections without direct fields."""
        seen = set(parts)
        for selections, lineage in parts:  # which grows in the loop
            self._step(1 + len(selections.spreads))
            for name in selections.spreads:
                fragment = self.context.get_fragment(name)
                if fragment is not None:
                    part = _Part(self._selected.by(fragment), lineage)
                    if part not in seen:
                        seen.add(part)
                        parts.append(part)
        filled = [part for part in parts if part.selections.fields]
        distinct = dict.fromkeys(part.selections for part in filled)
        if len(filled) == len(distinct) * len({part.lineage for part in filled}):
            # A lineage that all have does not distinguish them.
            return [_Part(selections, _ROOT) for selections in distinct]
        return filled

    def _distinguished(self, group: list[_Member]) -> list[_Member]:
        """Add the object types that the fields are selected on to their lineages, if there are several."""
        if len({field.on for field, _ in group if field.on is not None}) <= 1:
            return group
        return [_Member(field, self._descend(lineage, field.on)) for field, lineage in group]

    def _descend(self, outer: _Lineage, on: GraphQLObjectType | None) -> _Lineage:
        lineage = self._lineages.get((outer, on))
        if lineage is None:
            lineage = self._lineages[outer, on] = _Lineage(outer, on)
        return lineage

    def _inner(self, group: Sequence[_Member]) -> list[_Part]:
        """The selections of these fields."""
        parts: dict[_Part, None] = {}
        for field, lineage in group:
            selections = self._selected.within(field)
            if selections is not None:
                parts[_Part(selections, lineage)] = None
        return list(parts)

    def _conflict(self, group: Sequence[_Member]) -> _Conflict | None:
        fields = list(dict.fromkeys(field for field, _ in group))
        return self._differing_calls(group) or _streamed(fields) or _differing_shapes(fields)

    def _differing_calls(self, group: Sequence[_Member]) -> _Conflict | None:
        firsts: dict[_Lineage, Field] = {}
        for field, lineage in group:
            first = firsts.setdefault(lineage, field)
            if first.call != field.call:
                return _calls(first, field)
        # Compares pairs of bundles: lineages that are equal so far, from the innermost types outwards. Pairs that can't
        # apply to the same object are dropped; without interfaces, only pairs of a bundle with itself remain.
        every = [_Member(field, lineage) for lineage, field in firsts.items()]
        pending = [(every, every)]
        while pending:
            some, others = pending.pop()
            self._step(len(some) + len(others))
            calls = {field.call: field for field, _ in (*some, *others)}
            if len(calls) == 1:
                continue
            if some[0].lineage is _ROOT:
                return _calls(*calls.values())
            pending += _that_can_meet(some, others)
        return None

    def _step(self, count: int) -> None:
        self.steps += count
        if self.steps > MAX_STEPS:
            raise ValidationAbortedError(
                "It takes too long to find out whether its fields can be merged: the document's fragments multiply."
            )

    def _report(self, reason: str, one: Field, other: Field) -> None:
        if (id(one), id(other)) in self._reported:  # reported for an earlier spread of the same fragment
            return
        self._reported.add((id(one), id(other)))
        self.report_error(
            GraphQLError(
                f"Fields '{_short(one.response_name)}' conflict because {reason}. "
                "Use different aliases on the fields to fetch both if this was intentional.",
                [one.node, other.node],
            )
        )


@dataclass(eq=False, slots=True)
class _Lineage:
    """The object types on a field's path from the root, innermost first, where its group has several."""

    outer: _Lineage | None
    on: GraphQLObjectType | None


_ROOT = _Lineage(None, None)


class _Part(NamedTuple):
    selections: Selections
    lineage: _Lineage


class _Member(NamedTuple):
    field: Field
    lineage: _Lineage


_Bundle = list[_Member]
_Conflict = tuple[str, Field, Field]


def _by_type(bundle: _Bundle) -> dict[GraphQLObjectType | None, _Bundle]:
    """The bundle's parts by innermost type."""
    parts: defaultdict[GraphQLObjectType | None, _Bundle] = defaultdict(list)
    for field, lineage in bundle:
        parts[lineage.on].append(_Member(field, lineage.outer or _ROOT))
    return parts


def _that_can_meet(some: _Bundle, others: _Bundle) -> Iterator[tuple[_Bundle, _Bundle]]:
    """Pairs of parts that can apply to the same object: those of the same type, or of any type."""
    parts = _by_type(some)
    other_parts = parts if some is others else _by_type(others)
    for on, part in parts.items():
        for other_on in {on, None} if on is not None or part is other_parts.get(None) else other_parts:
            if other_on in other_parts:
                yield part, other_parts[other_on]


def _calls(one: Field, other: Field) -> _Conflict:
    name, other_name = one.node.name.value, other.node.name.value
    if name != other_name:
        return f"'{_short(name)}' and '{_short(other_name)}' are different fields", one, other
    return f"'{_short(str(one))}' and '{_short(str(other))}' have differing arguments", one, other


def _streamed(fields: Sequence[Field]) -> _Conflict | None:
    streamed = next((field for field in fields if field.is_streamed), None)
    if streamed is None or len(fields) == 1:
        return None
    other = fields[1] if streamed is fields[0] else fields[0]
    return "a field that is streamed can't be selected twice", streamed, other


def _differing_shapes(fields: Sequence[Field]) -> _Conflict | None:
    known = [field for field in fields if field.type is not None]
    for field in known:
        if field.type is not known[0].type and field.shape != known[0].shape:
            return f"they return conflicting types '{known[0].type}' and '{field.type}'", known[0], field
    return None


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"
