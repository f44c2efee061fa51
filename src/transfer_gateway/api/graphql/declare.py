"""Declares the schema's types on top of the domain's classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import strawberry

from transfer_gateway.api.graphql.context import Context
from transfer_gateway.api.graphql.strawberry_internals import enum_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

T = TypeVar("T")
Info = strawberry.Info[Context, None]
_UNRECOGNIZED = "A value that this version doesn't know. The raw companion field has it."


def domain_type(domain: type, description: str) -> Callable[[type[T]], type[T]]:
    """Declare a GraphQL type whose values are objects of a domain class."""

    def declare(cls: type[T]) -> type[T]:
        cls.is_type_of = staticmethod(lambda value, _info: isinstance(value, domain))  # type: ignore[attr-defined]  # Strawberry's hook
        return strawberry.type(description=description)(cls)

    return declare


def declare_enum(values: type[Enum], description: str, **meanings: str) -> None:
    """Declare a domain enum as a GraphQL enum, with a description for each value."""
    strawberry.enum(values, description=description)
    for value in enum_values(values):
        value.description = meanings.get(value.name, _UNRECOGNIZED)
