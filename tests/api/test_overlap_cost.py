"""The cost of checking overlapping fields, for any document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from transfer_gateway.api.graphql import overlap

if TYPE_CHECKING:
    from collections.abc import Callable
from overlap import conflicts, steps


def repeated_fields(count: int) -> str:
    return "{" + "pets { age } " * count + "}"


def repeated_arguments(count: int) -> str:
    return "{" + 'node(id: "1") { age(in: DAYS, like: {sizes: [1, 2]}) } ' * count + "}"


def repeated_fragments(count: int) -> str:
    fragments = [f"fragment f{number} on Query {{ cat {{ node {{ age }} }} }}" for number in range(count)]
    return "\n".join(["{", *(f"...f{number}" for number in range(count)), "}", *fragments])


def deep_fields(count: int) -> str:
    return "{" + f"cat {'{ node ' * 50} {{ age }} {'}' * 50} " * count + "}"


def chained_fragments(count: int) -> str:
    fragments = [
        f"fragment f{number} on Query {{ cat {{ age }} ...f{number + 1} }}" for number in range(count)
    ]
    return "\n".join(["{ ...f0 }", *fragments, f"fragment f{count} on Query {{ cat {{ age }} }}"])


def unused_fragments(count: int) -> str:
    """Inner fragments first."""
    _, *fragments = chained_fragments(count).split("\n")
    return "\n".join(["{ cat { age } }", *reversed(fragments)])


def doubled_fragments(count: int) -> str:
    fragments = [
        f"fragment f{number} on Node {{ node {{ ...f{number + 1} }} node {{ ...f{number + 1} }} }}"
        for number in range(count)
    ]
    return "\n".join(["{ node { ...f0 } }", *fragments, f"fragment f{count} on Node {{ age }}"])


def doubled_by_aliases(count: int) -> str:
    return doubled_fragments(count).replace("} node {", "} x: node {")


def multiplied_fragments(count: int, besides: str = "") -> str:
    """Each level has twice as many paths through object types as the one above it."""
    fragments = [
        f"fragment f{number} on Node {{ ... on Cat {{ node {{ ...f{number + 1} }} }}"
        f" ... on Dog {{ node {{ {besides} ...f{number + 1} }} }} }}"
        for number in range(count)
    ]
    return "\n".join(["{ node { ...f0 } }", *fragments, f"fragment f{count} on Node {{ age }}"])


def many_ways(count: int) -> str:
    """Paths through object types that exclude each other, each with another call at its end; a power of two of them."""
    written = [f"x: age(like: {{sizes: [{number}]}})" for number in range(count)]
    while len(written) > 1:
        pairs = zip(written[::2], written[1::2], strict=True)
        written = [f"node {{ ... on Cat {{ {one} }} ... on Dog {{ {other} }} }}" for one, other in pairs]
    return f"{{ {written[0]} }}"


def abstract_types(count: int) -> str:
    """At each level a field on two object types and on the interface, with more below."""
    deeper = "{ age }"
    for level in range(count):
        below = f"{'{ node ' * level} {{ age }} {'}' * level}"
        deeper = f"{{ ... on Cat {{ node {below} }} ... on Dog {{ node {below} }} node {deeper} }}"
    return f"{{ node {deeper} }}"


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (repeated_fields, 250),
        (repeated_arguments, 250),
        (repeated_fragments, 150),
        (deep_fields, 10),
        (chained_fragments, 250),
        (unused_fragments, 250),
        (doubled_fragments, 50),
        (doubled_by_aliases, 50),
        (multiplied_fragments, 10),
        (many_ways, 128),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.variants(keep=3)
def test_work_grows_as_the_document(written: Callable[[int], str], count: int) -> None:
    """Twice the input takes about twice the steps."""
    assert 1.7 * steps(written(count)) <= steps(written(2 * count)) <= 2.3 * steps(written(count))


def test_nested_interfaces() -> None:
    """Selections on an interface are not merged again for each object type, level by level."""
    small, large = abstract_types(15), abstract_types(30)
    assert steps(large) / len(large) <= 1.15 * steps(small) / len(small)


def test_too_many_steps() -> None:
    """A document whose fragments multiply is rejected quickly, whatever the other limits are."""
    (error,) = conflicts(multiplied_fragments(40, besides="age"))
    assert "takes too long to find out" in error.message


@pytest.mark.parametrize(
    "document",
    [
        "{ node { ...F } } fragment F on Node { age ...F }",
        "{ node { ...F } } fragment F on Node { age node { ...F } }",
        "{ node { ...F } node { ...G } } fragment F on Node { node { ...G } } fragment G on Node { node { ...F } }",
        "{ name } fragment F on Node { node { ...G } } fragment G on Node { ...F node { ...F } }",
        "{ node { ...F } } fragment F on Node { ... on Cat { node { ...F } } ... on Dog { node { ...F age } } }",
    ],
)
def test_fragments_that_spread_themselves(document: str) -> None:
    """The check ends; another rule rejects them."""
    conflicts(document)


def test_long_chain() -> None:
    """A chain of fragments longer than Python's stack does no harm."""
    assert steps(chained_fragments(3000)) < overlap.MAX_STEPS
