"""The check of overlapping fields, and a schema to check documents against."""

from __future__ import annotations

from graphql import (
    GraphQLError,
    GraphQLSchema,
    build_schema,
    parse,
    validate,
    visit,
)
from graphql.utilities import TypeInfo
from graphql.validation import ValidationContext

from transfer_gateway.api.graphql.overlap import OverlappingFields

ZOO = build_schema("""
  type Query { node(id: ID): Node any: Any cat: Cat pets: [Pet] }
  interface Node { node: Node age(in: Unit, like: Like): Int size: Int }
  interface Pet implements Node { node: Node age(in: Unit, like: Like): Int size: Int pets: [Pet] }
  type Cat implements Node & Pet {
    node: Cat age(in: Unit, like: Like): Int size: Int pets: [Pet] weight: Int unit: Unit any: Any
  }
  type Dog implements Node & Pet {
    node: Node age(in: Unit, like: Like): Int size: Int pets: [Pet] weight: Int unit: String any: [Any]
  }
  type Box implements Node { node: Node age(in: Unit, like: Like): Int size: Int! weight: Int unit: Unit any: Any }
  union Any = Cat | Dog | Box
  enum Unit { DAYS YEARS }
  input Like { name: String, sizes: [Int], like: Like }
""")


def conflicts(document: str, schema: GraphQLSchema = ZOO) -> list[GraphQLError]:
    return validate(schema, parse(document), [OverlappingFields])


def steps(document: str, schema: GraphQLSchema = ZOO) -> int:
    """The number of steps that the rule takes for a document without conflicts."""
    errors: list[GraphQLError] = []
    node = parse(document)
    rule = OverlappingFields(ValidationContext(schema, node, TypeInfo(schema), errors.append))
    visit(node, rule)
    assert errors == []
    return rule.steps
