"""Overlapping fields that can't be merged: the same verdicts as graphql-core, and the reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from graphql import (
    GraphQLSchema,
    GraphQLSyntaxError,
    OverlappingFieldsCanBeMergedRule,
    get_introspection_query,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_introspection_type,
    parse,
    validate,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

from examples import examples
from transfer_gateway.api.graphql import schema as our_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random
from overlap import ZOO, conflicts

OURS: GraphQLSchema = our_schema.build_schema()._schema


VALUES = ["1", "2", "1.0", '"1"', '"""1"""', "DAYS", "true", "null", "$v", "[1, 2]", "[2, 1]",
          "{name: 1, sizes: [1]}", "{sizes: [1], name: 1}", "{like: {name: $v}}"]  # fmt: skip


TYPES = ["Cat", "Dog", "Box", "Node", "Pet"]


CASES = {
    "the same field twice": ("{ cat { age age } }", False),
    "the same alias twice": ("{ cat { x: age x: age } }", False),
    "an alias for another field": ("{ cat { x: age x: size } }", True),
    "an alias that hides a field": ("{ cat { size: age size } }", True),
    "an alias that hides a field, the other way round": ("{ cat { size size: age } }", True),
    "different names": ("{ cat { x: age y: size } }", False),
    "the same argument": ("{ cat { age(in: DAYS) age(in: DAYS) } }", False),
    "arguments in another order": (
        "{ cat { age(in: DAYS, like: {}) age(like: {}, in: DAYS) } }", False),
    "another value": ("{ cat { age(in: DAYS) age(in: YEARS) } }", True),
    "a value and a variable": ("query ($u: Unit) { cat { age(in: DAYS) age(in: $u) } }", True),
    "two variables": ("query ($u: Unit, $v: Unit) { cat { age(in: $u) age(in: $v) } }", True),
    "one variable": ("query ($u: Unit) { cat { age(in: $u) age(in: $u) } }", False),
    "an argument left out": ("{ cat { age(in: DAYS) age } }", True),
    "one argument more": ("{ cat { age(in: DAYS) age(in: DAYS, like: {}) } }", True),
    "another argument of the same value": ("{ cat { age(in: null) age(like: null) } }", True),
    "an object's fields in another order": (
        '{ cat { age(like: {name: "a", sizes: []}) age(like: {sizes: [], name: "a"}) } }', False),
    "an inner object's fields in another order": (
        '{ cat { age(like: {like: {name: "a", sizes: []}}) age(like: {like: {sizes: [], name: "a"}}) } }', False),
    "a list in another order": (
        "{ cat { age(like: {sizes: [1, 2]}) age(like: {sizes: [2, 1]}) } }", True),
    "a number and a text": ('{ node(id: 1) { size } node(id: "1") { size } }', True),
    "a text and the same as a block": ('{ node(id: "1") { size } node(id: """1""") { size } }', True),
    "texts that look alike when put together": (
        """{ node(id: "a','b") { size } node(id: "a,b") { size } }""", True),
    "a skipped field": ("{ cat { x: age @skip(if: true) x: size @include(if: false) } }", True),
    "objects that can't be one": ("{ node { ... on Cat { x: age } ... on Dog { x: size } } }", False),
    "arguments on objects that can't be one": (
        "{ node { ... on Cat { age(in: DAYS) } ... on Dog { age(in: YEARS) } } }", False),
    "an interface and an object": ("{ node { ... on Pet { x: age } ... on Dog { x: size } } }", True),
    "an interface and an object that is none of it": (
        "{ node { ... on Pet { x: age } ... on Box { x: age(in: DAYS) } } }", True),
    "two interfaces": ("{ node { ... on Pet { x: age } ... on Node { x: size } } }", True),
    "members of a union": ("{ any { ... on Cat { x: age } ... on Dog { x: size } } }", False),
    "a union's own name, aliased": ("{ any { x: __typename ... on Dog { x: name } } }", True),
    "one of several objects twice": (
        "{ any { ... on Cat { x: age } ... on Dog { x: size } ... on Cat { x: size } } }", True),
    "another scalar": ("{ any { ... on Cat { x: unit } ... on Dog { x: age } } }", True),
    "an enum and a text": ("{ any { ... on Cat { unit } ... on Dog { unit } } }", True),
    "one enum": ("{ any { ... on Cat { unit } ... on Box { x: unit } } }", False),
    "null or never null": ("{ any { ... on Cat { size } ... on Box { size } } }", True),
    "one or many": ("{ any { ... on Cat { any { __typename } } ... on Dog { any { __typename } } } }", True),
    "a scalar and an object": ("{ any { ... on Cat { x: age } ... on Dog { x: node { size } } } }", True),
    "different objects": ("{ any { ... on Cat { x: node { size } } ... on Dog { x: node { size } } } }", False),
    "a shape that differs further in": (
        "{ any { ... on Cat { x: node { y: unit } } ... on Dog { x: node { y: size } } } }", True),
    "calls that differ further in, below objects that can't be one": (
        "{ any { ... on Cat { node { y: age } } ... on Dog { node { y: size } } } }", False),
    "calls that differ further in": ("{ cat { node { y: age } } cat { node { y: size } } }", True),
    "calls that differ two levels below objects that can't be one": (
        "{ any { ... on Cat { node { node { y: age } } } ... on Dog { node { node { y: size } } } } }", False),
    "calls that differ two levels below an object and an interface": (
        "{ node { ... on Cat { node { node { y: age } } } node { node { y: size } } } }", True),
    "a fragment spread twice": ("{ cat { ...F ...F } } fragment F on Cat { x: age }", False),
    "a fragment that conflicts with what is beside it": (
        "{ cat { ...F x: size } } fragment F on Cat { x: age }", True),
    "two fragments": (
        "{ cat { ...F ...G } } fragment F on Cat { x: age } fragment G on Cat { x: size }", True),
    "a fragment in a fragment": (
        "{ cat { ...F x: size } } fragment F on Cat { ...G } fragment G on Cat { x: age }", True),
    "one fragment below objects that can't be one": (
        "{ any { ... on Cat { node { ...F } } ... on Dog { node { ...F } } } } fragment F on Node { x: age }", False),
    "a fragment that nothing spreads": ("{ cat { age } } fragment F on Cat { x: age x: size }", True),
    "a fragment that only such a fragment spreads": (
        "{ cat { age } } fragment G on Cat { x: age x: size } fragment F on Cat { ...G }", True),
    "a fragment that is not there": ("{ cat { age ...Absent } }", False),
    "a field that is not there": ("{ cat { x: absent x: age } }", True),
    "a type that is not there": ("{ cat { ... on Absent { x: age } x: size } }", True),
    "another operation": ("query A { x: cat { age } } query B { x: node { age } }", False),
    "an operation that the schema lacks": ("mutation { x: cat x: node }", True),
    "a streamed field": ("{ pets @stream { age } }", False),
    "a streamed field twice": ("{ pets @stream { age } pets @stream { age } }", True),
    "a streamed field, once not streamed": ("{ pets { age } pets @stream { age } }", True),
    "streamed fields of objects that can't be one": (
        "{ node { ... on Cat { pets @stream { age } } ... on Dog { pets { age } } } }", True),
    "a streamed field in a fragment spread twice": (
        "{ ...F ...F } fragment F on Query { pets @stream { age } }", False),
    "introspection": (get_introspection_query(input_value_deprecation=True), False),
    "selections with nothing in them": ("{ cat { } cat { } }", False),
}  # fmt: skip


def assert_same_verdict(document: str, schema: GraphQLSchema) -> bool:
    """By graphql-core's own rule. Returns: whether there is a conflict."""
    found = bool(conflicts(document, schema))
    assert found == bool(validate(schema, parse(document), [OverlappingFieldsCanBeMergedRule])), document
    return found


@dataclass(frozen=True)
class Place:
    """The position of a selection."""

    on: str
    way: tuple[str, ...]  # the types of the selections around it
    levels: int  # how many more may be nested
    fragment: int  # the first that may be spread; no cycles come of that

    def within(self, on: str, *steps: str) -> Place:
        return replace(self, on=on, way=self.way + steps, levels=self.levels - 1)


class Writer:
    """Writes documents that fit the schema, except for their arguments and occasional mistakes.

    An alias's field depends on the surrounding types, so that many differing fields can't apply to the same object.
    """

    def __init__(self, schema: GraphQLSchema, random: Random) -> None:
        self._random = random
        self._schema = schema
        self._composites = [
            name
            for name, kind in schema.type_map.items()
            if is_composite_type(kind) and not is_introspection_type(kind)
        ]
        self._fragments = random.choices(
            self._composites, k=random.randrange(4)
        )  # the types that they are on
        self._aliased: dict[tuple[str, Place], str] = {}
        self._slip_one_in = random.choice([5, 20, 200])

    def document(self) -> str:
        query = self._selections(Place("Query", way=(), levels=4, fragment=0))
        fragments = [
            f"fragment f{number} on {on} {self._selections(Place(on, (), levels=2, fragment=number + 1))}"
            for number, on in enumerate(self._fragments)
        ]
        return "\n".join([query, *fragments])

    def _selections(self, at: Place) -> str:
        if at.levels < 0:
            return "{ __typename }"
        return f"{{ {' '.join(self._selection(at) for _ in range(self._random.randint(1, 3)))} }}"

    def _selection(self, at: Place) -> str:
        match self._random.randrange(10):
            case 0 | 1 | 2:
                inner = self._overlapping(at.on, self._composites)
                if inner is not None:
                    return f"... on {inner} {self._selections(at.within(inner))}"
                return f"... {self._selections(at.within(at.on))}"
            case 3 | 4:
                fragment = self._overlapping(at.on, self._fragments[at.fragment :])
                if fragment is not None:
                    return f"...f{self._fragments.index(fragment, at.fragment)}"
            case 5 | 6 | 7 if self._objects(at.on) == {at.on} or self._slips():
                alias = self._random.choice("xy")
                key = alias, replace(at, levels=0, fragment=0)
                call = self._aliased.get(key)
                if call is None or self._slips():
                    call = self._aliased[key] = self._call(at.on)
                return f"{alias}: {call}{self._inner(at, call)}"
        if self._slips():
            return self._random.choice(
                ["x: __typename", "size: __typename", "absent { x }", "... { id }", "size"]
            )
        call = self._call(at.on)
        return f"{call}{self._inner(at, call)}"

    def _call(self, on: str) -> str:
        fields = getattr(self._schema.type_map[on], "fields", {})
        if not fields:
            return "__typename"
        name: str = self._random.choice(list(fields))
        if not fields[name].args or not self._slips():
            return name
        return f"{name}({self._random.choice(list(fields[name].args))}: {self._random.choice(VALUES)})"

    def _inner(self, at: Place, call: str) -> str:
        field = getattr(self._schema.type_map[at.on], "fields", {}).get(call.partition("(")[0])
        kind = get_named_type(field and field.type)
        directive = " @stream" if self._random.randrange(50) == 0 and self._slips() else ""
        if not is_composite_type(kind):
            return directive
        return f"{directive} {self._selections(at.within(kind.name, at.on))}"

    def _overlapping(self, on: str, choices: Sequence[str]) -> str | None:
        """One of these types that may be spread there."""
        objects = self._objects(on)
        fitting = [name for name in choices if objects & self._objects(name) or self._slips()]
        return self._random.choice(fitting) if fitting else None

    def _objects(self, name: str) -> set[str]:
        kind = self._schema.type_map[name]
        if is_abstract_type(kind):
            return {possible.name for possible in self._schema.get_possible_types(kind)}
        return {name}

    def _slips(self) -> bool:
        return self._random.randrange(self._slip_one_in) == 0


@pytest.mark.parametrize(("document", "is_conflict"), CASES.values(), ids=CASES)
def test_verdict(document: str, *, is_conflict: bool) -> None:
    """Fields with one response name have one type shape and, if they can apply to the same object, one call."""
    assert assert_same_verdict(document, ZOO) is is_conflict


@pytest.mark.parametrize("schema", [ZOO, OURS], ids=["zoo", "ours"])
@settings(max_examples=examples(150))
@given(random=st.randoms(use_true_random=False))
@pytest.mark.variants(keep=1)
def test_same_verdict_as_graphql_core(schema: GraphQLSchema, random: Random) -> None:
    """For any document, graphql-core's rule has the same verdict."""
    is_conflict = assert_same_verdict(Writer(schema, random).document(), schema)
    event("conflict" if is_conflict else "fine")


@settings(max_examples=examples(150))
@given(
    ways=st.lists(
        st.tuples(*[st.sampled_from(TYPES)] * 3, st.sampled_from(["age", "age", "size"])),
        min_size=2,
        max_size=5,
    )
)
def test_ways_that_never_meet(ways: list[tuple[str, str, str, str]]) -> None:
    """Object types that exclude each other separate everything below them, at any level."""
    written = [
        f"... on {one} {{ node {{ ... on {two} {{ node {{ ... on {three} {{ x: {field} }} }} }} }} }}"
        for one, two, three, field in ways
    ]
    is_conflict = assert_same_verdict(f"{{ node {{ {' '.join(written)} }} }}", ZOO)
    event("conflict" if is_conflict else "fine")


def test_error_tells_which_fields_conflict() -> None:
    """The error names the field, the difference and both positions; once, even if a fragment is spread repeatedly."""
    (error,) = conflicts(
        "{ a: cat { ...F } b: cat { ...F size } }\nfragment F on Cat { x: age(in: DAYS) x: age(in: YEARS) }"
    )
    assert error.message == (
        "Fields 'x' conflict because 'age(in: DAYS)' and 'age(in: YEARS)' have differing arguments. "
        "Use different aliases on the fields to fetch both if this was intentional."
    )
    assert [(place.line, place.column) for place in error.locations or ()] == [(2, 21), (2, 38)]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{ x: cat { age } x: node { age } }", "'cat' and 'node' are different fields"),
        (
            "{ any { ... on Dog { any { __typename } } ... on Box { any { __typename } } } }",
            "they return conflicting types '[Any]' and 'Any'",
        ),
        ("{ pets { age } pets @stream { age } }", "a field that is streamed can't be selected twice"),
        (
            f'{{ node {{ age }} node(id: "{"x" * 10_000}") {{ age }} }}',
            f"(id: \"{'x' * 190}…' have differing",
        ),
    ],
    ids=["calls", "types", "streams", "long arguments"],
)
def test_reasons(document: str, why: str) -> None:
    """Each kind of conflict has its message, of bounded length."""
    (error,) = conflicts(document)
    assert why in error.message


def test_no_arguments_of_fragments() -> None:
    """Fragment arguments could give one fragment several meanings; our parser rejects them."""
    with pytest.raises(GraphQLSyntaxError):
        parse("{ cat { ...F(in: DAYS) } } fragment F($in: Unit) on Cat { age(in: $in) }")
