"""The schema, compared with AWS's own model and with the committed file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    introspection_from_schema,
    is_introspection_type,
)
from graphql import build_schema as build_graphql

from transfer_gateway.api.errors import TABLE
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.domain.identity import ExecutionId, WorkflowId

ROOT = Path(__file__).parents[2]
SCHEMA = build_schema()
GRAPHQL: GraphQLSchema = SCHEMA._schema
TRANSFER = botocore.session.get_session().get_service_model("transfer")

# From the requested key, so it is always present, whatever AWS omits.
FROM_THE_KEY = {"DescribedExecution.ExecutionId", "DescribedWorkflow.WorkflowId"}


def field_name(member: str) -> str:
    return member[0].lower() + member[1:]


def differences(shape: Any, kind: Any) -> list[str]:
    """Where a GraphQL type differs from a shape of botocore's model, member by member."""
    found: list[str] = []
    for member, inner in shape.members.items():
        place = f"{shape.name}.{member}"
        field = kind.fields.get(field_name(member))
        if field is None:
            found.append(f"{place}: the schema lacks it")
            continue
        required = member in shape.required_members or place in FROM_THE_KEY
        if isinstance(field.type, GraphQLNonNull) is not required:
            found.append(f"{place}: nullable in one, not in the other")
        found += differences_of_values(place, inner, kind, field.type)
    return found


def differences_of_values(place: str, shape: Any, parent: Any, kind: Any) -> list[str]:
    bare = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if shape.type_name == "structure":
        return differences(shape, bare)
    if shape.type_name == "list":
        if not isinstance(bare, GraphQLList) or not isinstance(bare.of_type, GraphQLNonNull):
            return [f"{place}: is a list in AWS's model"]
        return differences_of_values(f"{place}[]", shape.member, parent, bare.of_type)
    if getattr(shape, "enum", None):
        missing = {*shape.enum, "UNRECOGNIZED"} ^ set(bare.values)
        name = place.rpartition(".")[2]
        raw = parent.fields.get(f"raw{name}")
        return [f"{place}: {value}" for value in missing] + ([] if raw else [f"{place}: no raw companion"])
    expected = {
        "string": {"String", "ExecutionId", "WorkflowId"},
        "integer": {"Int"},
        "long": {"Long"},
    }[shape.type_name]
    return [] if bare.name in expected else [f"{place}: {shape.type_name} as {bare.name}"]


@pytest.mark.parametrize(
    ("shape", "kind"), [("DescribedExecution", "Execution"), ("DescribedWorkflow", "Workflow")]
)
def test_mirrors_what_aws_describes(shape: str, kind: str) -> None:
    """Every member of AWS's shape is in the schema, with its nullability and all enum values."""
    assert differences(TRANSFER.shape_for(shape), GRAPHQL.type_map[kind]) == []


@pytest.mark.parametrize(("shape", "members"), [("DescribedExecution", 8), ("DescribedWorkflow", 7)])
def test_mirror_sees_what_is_missing(shape: str, members: int) -> None:
    """The test above can fail: for a type without fields it names every member."""
    empty = GraphQLObjectType("Empty", {})
    assert len(differences(TRANSFER.shape_for(shape), empty)) == members


@pytest.mark.parametrize(("kind", "shape"), [(WorkflowId, "WorkflowId"), (ExecutionId, "ExecutionId")])
def test_ids_have_aws_patterns(kind: Any, shape: str) -> None:
    """Our patterns are those of AWS's model."""
    pattern = TRANSFER.shape_for(shape).metadata["pattern"].replace("\\-", "-")
    assert kind.PATTERN.pattern == pattern


def test_every_code_is_in_the_schema() -> None:
    """The schema has exactly our error codes."""
    codes = GRAPHQL.type_map["ErrorCode"]
    assert isinstance(codes, GraphQLEnumType)
    assert set(codes.values) == {code.value for code in ErrorCode}


@pytest.mark.parametrize(
    ("kind", "others"),
    [("Execution", ErrorCode.WORKFLOW_NOT_FOUND), ("Workflow", ErrorCode.EXECUTION_NOT_FOUND)],
)
def test_every_code_has_its_type(kind: str, others: ErrorCode) -> None:
    """Each code that is returned as data is a member of the union, except those only the other union can have."""
    members = {member.name for member in GRAPHQL.type_map[f"{kind}OrError"].types}  # type: ignore[attr-defined]  # a union
    assert members == {kind} | {
        row.graphql_type for code, row in TABLE.items() if row.graphql_type and code != others
    }


def test_exported_schema_is_current() -> None:
    """`schema.graphql` is what `transfer-gateway export-schema` prints."""
    exported = ROOT / "schema.graphql"
    assert exported.read_text() == SCHEMA.as_str() + "\n", (
        "run: transfer-gateway export-schema > schema.graphql"
    )


def undescribed(schema: GraphQLSchema) -> list[str]:
    """Types, fields, arguments, input fields, enum values and directives without a description."""
    found: list[str] = []

    def look(place: str, part: Any) -> None:
        if not (part.get("description") or "").strip():
            found.append(place)
        for kind, form in (
            ("fields", ".{}"),
            ("inputFields", ".{}"),
            ("enumValues", ".{}"),
            ("args", "({})"),
        ):
            for inner in part.get(kind) or ():
                look(place + form.format(inner["name"]), inner)

    introspected: Any = introspection_from_schema(schema)
    for kind in introspected["__schema"]["types"]:
        if not is_introspection_type(schema.type_map[kind["name"]]):
            look(kind["name"], kind)
    for directive in introspected["__schema"]["directives"]:
        look(f"@{directive['name']}", directive)
    return found


def test_everything_is_described() -> None:
    """Every type, field, argument, input field, enum value and directive has a description."""
    assert undescribed(build_graphql((ROOT / "schema.graphql").read_text())) == []


def test_undescribed_is_seen() -> None:
    """The test above can fail: it names everything without a description."""
    bare = build_graphql(
        "directive @d(a: Int) on FIELD type Query { f(a: I): E } input I { i: Int @deprecated } enum E { V } "
        "union U = Query scalar S interface N { f: Int }"
    )
    assert set(undescribed(bare)) == {
        *("@d", "@d(a)", "Query", "Query.f", "Query.f(a)", "I", "I.i", "E", "E.V", "U", "S", "N", "N.f")
    }


@pytest.mark.parametrize(
    ("key", "ids"),
    [
        ("ExecutionKey", ["AccountId", "Region", "WorkflowId", "ExecutionId"]),
        ("WorkflowKey", ["AccountId", "Region", "WorkflowId"]),
    ],
)
def test_ids_are_scalars(key: str, ids: list[str]) -> None:
    """Ids use their own scalars everywhere."""
    fields = GRAPHQL.type_map[key].fields  # type: ignore[attr-defined]  # an input
    assert {name: get_named_type(field.type).name for name, field in fields.items()} == {
        field_name(name): name for name in ids
    }
