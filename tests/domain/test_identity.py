"""Ids: valid and invalid ones, and keys' round trips through text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.identity import (
    AccountId,
    ExecutionId,
    ExecutionKey,
    Identifier,
    Region,
    Target,
    WorkflowId,
    WorkflowKey,
)

KINDS = (AccountId, Region, WorkflowId, ExecutionId)
keys = st.builds(ExecutionKey, *(st.from_regex(kind.PATTERN, fullmatch=True).map(kind) for kind in KINDS))


@given(keys)
def test_key_round_trip(key: ExecutionKey) -> None:
    """Parsing a key's string form gives the same key."""
    assert ExecutionKey.parse(str(key)) == key
    assert WorkflowKey.parse(str(key.workflow)) == key.workflow
    assert key.target == key.workflow.target == Target(key.account_id, key.region)


@given(keys, keys)
def test_order_of_keys(one: ExecutionKey, other: ExecutionKey) -> None:
    """Keys are ordered by account, region, workflow, execution."""
    assert (one < other) == ((one.workflow, one.execution_id) < (other.workflow, other.execution_id))
    assert (one.workflow < other.workflow) == (
        (one.target, one.workflow_id) < (other.target, other.workflow_id)
    )


@given(st.text() | keys.map(lambda key: f"{key}/") | keys.map(lambda key: f" {key}"))
def test_other_text_is_not_a_key(text: str) -> None:
    """Any other text raises BadUserInput, never another exception."""
    with pytest.raises(BadUserInput):
        ExecutionKey.parse(text)
    with pytest.raises(BadUserInput):
        WorkflowKey.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_example_is_valid(kind: type[Identifier]) -> None:
    """The example in error messages is valid."""
    assert kind(kind.EXAMPLE) == kind.EXAMPLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", ["", " ", "x" * 100_000, "١" * 12, None, 111111111111, ["a"]])
def test_refusal_names_the_rule(kind: type[Identifier], bad: object) -> None:
    """The error names the type, contains the pattern and quotes at most a short part of the value."""
    with pytest.raises(BadUserInput) as refused:
        kind(bad)
    assert kind.__name__ in refused.value.message
    assert kind.PATTERN.pattern in refused.value.message
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_trailing_line_break_is_refused(kind: type[Identifier]) -> None:
    """An id followed by a line break is invalid."""
    with pytest.raises(BadUserInput):
        kind(kind.EXAMPLE + "\n")


@pytest.mark.parametrize(
    "region", ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "mx-central-1", "eusc-de-east-1"]
)
def test_regions_of_every_partition(region: str) -> None:
    """Regions of all AWS partitions are valid."""
    assert Region(region) == region
