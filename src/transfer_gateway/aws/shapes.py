"""Answers in JSON, read by botocore's model of them: botocore's own parser takes any JSON for a success."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import SchemaValidator, core_schema

if TYPE_CHECKING:
    from botocore.model import Shape


# The model's own limits with so much room that AWS may relax one and be read all the same; and where it has none,
# those of a page (1,000 entries) and of a text that the model calls long.
_TIMES = 4
_LEAST_ITEMS, _ITEMS = 100, 1000
_LEAST_CHARACTERS, _CHARACTERS = 4096, 65_536


def reader(shape: Shape) -> SchemaValidator:
    """What makes dicts, lists, texts and numbers of JSON that is as the shape says; the members it knows, no others.

    Lists and texts are bounded. pydantic's, which does in 5 µs what takes 50 in Python. A member may be missing, or
    null.
    """
    return SchemaValidator(_schema(shape))


def _schema(shape: Shape) -> core_schema.CoreSchema:
    match shape.type_name:
        case "structure":
            members = {
                name: core_schema.typed_dict_field(core_schema.nullable_schema(_schema(member)))
                for name, member in shape.members.items()
            }
            return core_schema.typed_dict_schema(members, total=False)
        case "list":
            most = max(_LEAST_ITEMS, _TIMES * shape.metadata["max"]) if "max" in shape.metadata else _ITEMS
            return core_schema.list_schema(
                _schema(shape.member), max_length=most, strict=True, fail_fast=True
            )
        case "string":
            longest = shape.metadata.get("max", 0 if "enum" in shape.metadata else _CHARACTERS)
            return core_schema.str_schema(max_length=max(_LEAST_CHARACTERS, _TIMES * longest), strict=True)
        case "integer":
            return core_schema.int_schema(strict=True, ge=-(2**31), lt=2**31)
        case "long":
            return core_schema.int_schema(strict=True, ge=-(2**63), lt=2**63)
    return (
        core_schema.any_schema()
    )  # no operation of ours has another: if AWS adds one, nothing here reads it
