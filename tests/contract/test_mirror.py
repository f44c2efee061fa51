"""The proto, compared with AWS's own model and with the GraphQL schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, get_named_type

from doors import GRAPHQL, JOINED, enum_value
from transfer_api.v1 import error_pb2, execution_pb2, server_pb2, workflow_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway.api.graphql.pages import EXECUTION_DETAILS, WORKFLOW_DETAILS

TRANSFER = botocore.session.get_session().get_service_model("transfer")

# From the requested key, whatever AWS omits.
FROM_THE_KEY = {"DescribedExecution.ExecutionId", "DescribedWorkflow.WorkflowId"}
KINDS = {"string": "STRING", "integer": "INT32", "long": "INT64"}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def differences(shape: Any, message: Any) -> list[str]:
    """Where a message differs from a shape of botocore's model, member by member."""
    found: list[str] = []
    for member, inner in shape.members.items():
        place = f"{shape.name}.{member}"
        field = message.fields_by_name.get(snake(member))
        if field is None:
            found.append(f"{place}: the proto lacks it")
            continue
        if field.is_repeated is not (inner.type_name == "list"):
            found.append(f"{place}: a list in one, not in the other")
        required = member in shape.required_members or place in FROM_THE_KEY
        if field.message_type is None and not field.is_repeated and field.has_presence is required:
            found.append(f"{place}: presence in one, not in the other")
        found += differences_of_values(place, inner.member if inner.type_name == "list" else inner, field)
    return found


def differences_of_values(place: str, shape: Any, field: Any) -> list[str]:
    if shape.type_name == "structure":
        return differences(shape, field.message_type)
    if getattr(shape, "enum", None):
        values = {enum_value(field.enum_type, value.number) for value in field.enum_type.values}
        raw = field.containing_type.fields_by_name.get(f"raw_{field.name}")
        return [f"{place}: {value}" for value in {*shape.enum, "UNRECOGNIZED", "UNSPECIFIED"} ^ values] + (
            [] if raw is not None else [f"{place}: no raw companion"]
        )
    expected = getattr(field, f"TYPE_{KINDS[shape.type_name]}")
    return [] if field.type == expected else [f"{place}: {shape.type_name} as another type"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [("DescribedExecution", execution_pb2.Execution), ("DescribedWorkflow", workflow_pb2.Workflow)],
)
def test_mirrors_what_aws_describes(shape: str, message: Any) -> None:
    """Every member of AWS's shape is in the proto, with its presence and all enum values."""
    assert differences(TRANSFER.shape_for(shape), message.DESCRIPTOR) == []


def test_mirror_sees_what_is_missing() -> None:
    """The test above can fail: for a message without fields it names every member."""
    empty = pb.ListAccountsRequest.DESCRIPTOR
    assert len(differences(TRANSFER.shape_for("DescribedExecution"), empty)) == 8


# GraphQL's name, and gRPC's message.
PAIRS: list[tuple[str, Any]] = [
    ("Execution", execution_pb2.Execution),
    ("ExecutionKey", execution_pb2.ExecutionKey),
    ("Workflow", workflow_pb2.Workflow),
    ("WorkflowKey", workflow_pb2.WorkflowKey),
    ("Server", server_pb2.Server),
    ("ExecutionEvent", execution_pb2.ExecutionEvent),
    ("ExecutionChange", execution_pb2.ExecutionChange),
    ("ExecutionNotFound", error_pb2.Error),
    ("TargetFailure", pb.TargetFailure),
    ("ExecutionFilter", pb.ExecutionFilter),
    ("WorkflowFilter", pb.WorkflowFilter),
    ("ServerFilter", pb.ServerFilter),
    ("FindExecutionResult", pb.FindExecutionResponse),
    ("SearchFilter", pb.SearchFilter),
    ("StatusCounts", pb.StatusCounts),
    ("HiddenFilter", pb.HiddenFilter),
    ("TargetCoverage", pb.TargetCoverage),
    ("CoverageSummary", pb.CoverageSummary),
    ("CoverageFilter", pb.CoverageFilter),
    ("Viewer", pb.Viewer),
]
ONLY_GRAPHQL = {
    ("Account", "id"),  # of Relay's Node: the account's id again
    ("Error", "target"),  # the two fields beside it, which conflict with others in GraphQL alone
    ("ExecutionNotFound", "target"),  # as above
    *JOINED,
}
ONLY_PROTO = {
    ("ExecutionStepResult", "definition_error"),  # in errors[] of GraphQL
}
# In GraphQL only one kind of error has these, and always the first; it is compared on its own.
OF_ONE_ERROR = {"reason", "remedy"}
ALWAYS = {("ExecutionNotFound", "reason")}


def unlike(kind: Any, message: Any, seen: set[str]) -> list[str]:
    """Where a GraphQL type and a message differ: fields, lists, nullability, enum values."""
    if message.name in seen:
        return []
    seen.add(message.name)
    ours = {
        snake(name): field for name, field in kind.fields.items() if (kind.name, name) not in ONLY_GRAPHQL
    }
    theirs = {
        field.name: field
        for field in message.fields
        if (message.name, field.name) not in ONLY_PROTO
        and not (kind.name == "Error" and field.name in OF_ONE_ERROR)
    }
    found = [f"{message.name}.{name}: only in one of them" for name in ours.keys() ^ theirs.keys()]
    for name in ours.keys() & theirs.keys():
        place, field, other = f"{message.name}.{name}", theirs[name], ours[name].type
        bare = other.of_type if isinstance(other, GraphQLNonNull) else other
        if field.is_repeated is not isinstance(bare, GraphQLList):
            found.append(f"{place}: a list in one, not in the other")
        if (
            not field.is_repeated
            and (kind.name, name) not in ALWAYS
            and field.message_type is None
            and field.has_presence is isinstance(other, GraphQLNonNull)
        ):
            found.append(f"{place}: presence in one, not in the other")
        inner = get_named_type(other)
        if isinstance(inner, GraphQLEnumType):
            values = {enum_value(field.enum_type, value.number) for value in field.enum_type.values}
            found += [f"{place}: {value}" for value in values - {"UNSPECIFIED"} ^ set(inner.values)]
        elif hasattr(inner, "fields"):
            found += unlike(inner, field.message_type, seen)
    return found


@pytest.mark.parametrize(("kind", "message"), [pytest.param(*pair, id=pair[0]) for pair in PAIRS])
def test_both_doors_have_the_same_fields(kind: str, message: Any) -> None:
    """Both APIs have the same types, down to the last enum value."""
    assert unlike(GRAPHQL.type_map[kind], message.DESCRIPTOR, set()) == []


def test_every_message_is_compared() -> None:
    """Only requests, responses and pages are left out of the comparison above."""
    seen: set[str] = set()
    for kind, message in PAIRS:
        unlike(GRAPHQL.type_map[kind], message.DESCRIPTOR, seen)
    everything = {
        name
        for module in (error_pb2, execution_pb2, server_pb2, workflow_pb2, pb)
        for name in module.DESCRIPTOR.message_types_by_name
    }
    assert {name for name in everything - seen if not name.endswith(("Request", "Response"))} == {
        "ListedExecution",
        "ListedWorkflow",
    }


def test_details_are_named() -> None:
    """`with_details` adds the same fields as selecting them in GraphQL, and its comments say so."""
    proto = (Path(__file__).parents[2] / "proto/transfer_api/v1/execution_service.proto").read_text()
    for details in (EXECUTION_DETAILS, WORKFLOW_DETAILS):
        assert all(snake(name) in proto for name in details)
