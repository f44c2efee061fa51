"""Ids: what is one, what is not, and that a key survives its way through text."""

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
    """The string form of a key reads back as the same key."""
    assert ExecutionKey.parse(str(key)) == key
    assert WorkflowKey.parse(str(key.workflow)) == key.workflow
    assert key.target == key.workflow.target == Target(key.account_id, key.region)


@given(keys, keys)
def test_order_of_keys(one: ExecutionKey, other: ExecutionKey) -> None:
    """Keys are in the order of what they begin with: account, region, workflow, execution."""
    assert (one < other) == ((one.workflow, one.execution_id) < (other.workflow, other.execution_id))
    assert (one.workflow < other.workflow) == (
        (one.target, one.workflow_id) < (other.target, other.workflow_id)
    )


@given(st.text() | keys.map(lambda key: f"{key}/") | keys.map(lambda key: f" {key}"))
def test_other_text_is_no_key(text: str) -> None:
    """Anything else is refused as the caller's input, never with another exception."""
    with pytest.raises(BadUserInput):
        ExecutionKey.parse(text)
    with pytest.raises(BadUserInput):
        WorkflowKey.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_example_is_valid(kind: type[Identifier]) -> None:
    """The example that messages show is itself accepted."""
    assert kind(kind.EXAMPLE) == kind.EXAMPLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", ["", " ", "x" * 100_000, "١" * 12, None, 111111111111, ["a"]])
def test_refusal_names_the_rule(kind: type[Identifier], bad: object) -> None:
    """A refusal names the type and shows the pattern, and quotes no more than a little of what was sent."""
    with pytest.raises(BadUserInput) as refused:
        kind(bad)
    assert kind.__name__ in refused.value.message
    assert kind.PATTERN.pattern in refused.value.message
    assert len(refused.value.message) < 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_break_is_no_end(kind: type[Identifier]) -> None:
    """An id followed by a line break is no id."""
    with pytest.raises(BadUserInput):
        kind(kind.EXAMPLE + "\n")


@pytest.mark.parametrize(
    "region", ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "mx-central-1", "eusc-de-east-1"]
)
def test_regions_of_every_partition(region: str) -> None:
    """Regions of all of AWS's partitions are regions."""
    assert Region(region) == region
