"""Lists of input objects: coerced as graphql-core would, or left to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from graphql import OperationDefinitionNode, get_variable_values, parse
from hypothesis import event, given
from hypothesis import strategies as st

from transfer_gateway.api.graphql.inputs import Inputs
from transfer_gateway.api.graphql.schema import build_schema
from transfer_gateway.api.graphql.types import ExecutionKeyInput
from transfer_gateway.domain.identity import AccountId, ExecutionId, Region, WorkflowId

if TYPE_CHECKING:
    from wire import Gateway

SCHEMA = build_schema()._schema
KEY = {
    "accountId": "111111111111",
    "region": "eu-west-1",
    "workflowId": "w-0123456789abcdef0",
    "executionId": "11111111-2222-3333-4444-555555555555",
}
TYPES = [
    "[ExecutionKey!]!",
    "[ExecutionKey!]",
    "[ExecutionKey]",
    "[WorkflowKey!]!",
    "[[ExecutionKey!]!]",
    "ExecutionKey",
]
odd: st.SearchStrategy[Any] = st.sampled_from([None, 7, "text", [], [KEY], {}, True])
changes = st.dictionaries(
    st.sampled_from([*KEY, "else"]), odd | st.sampled_from(list(KEY.values())), max_size=2
)
keys = st.just(KEY) | st.builds(lambda change: KEY | change, changes)
values = st.lists(st.just(KEY), max_size=4) | st.lists(keys | odd, max_size=4) | odd


def operation(kind: str) -> OperationDefinitionNode:
    found = parse(f"query ($keys: {kind}, $other: Int) {{ __typename }}").definitions[0]
    assert isinstance(found, OperationDefinitionNode)
    return found


@given(st.sampled_from(TYPES), values)
def test_lists_are_the_reference_coercions(kind: str, value: Any) -> None:
    """The same objects as graphql-core's, and none if it reports an error."""
    asked = operation(kind)
    found = Inputs(SCHEMA).take_lists(asked, {"keys": value})
    expected = get_variable_values(SCHEMA, asked.variable_definitions or (), {"keys": value})
    event("read here" if found else "left")
    if isinstance(expected, list):
        assert found == {}
    elif found:
        assert found == expected.coerced


def test_keys_are_read_here() -> None:
    """The typical case: keys become input objects of the schema, with validated ids."""
    found = Inputs(SCHEMA).take_lists(operation("[ExecutionKey!]!"), {"keys": [KEY, KEY]})["keys"]
    assert [key.__class__ for key in found] == [ExecutionKeyInput] * 2
    ids = [found[0].account_id, found[0].region, found[0].workflow_id, found[0].execution_id]
    assert [each.__class__ for each in ids] == [AccountId, Region, WorkflowId, ExecutionId]


@pytest.mark.parametrize("wrong", [{"accountId": "1"}, {"region": None}, {"else": "x"}])
async def test_wrong_keys_are_named(shared_gateway: Gateway, wrong: dict[str, object]) -> None:
    """One invalid key among many: the error names the key and the problem."""
    query = "query ($keys: [ExecutionKey!]!) { executions(keys: $keys) { __typename } }"
    answer = await shared_gateway.ask(query, keys=[KEY, KEY | wrong, KEY])
    [error] = answer["errors"]
    assert "$keys" in error["message"]
    assert "[1]" in error["message"]
    assert next(iter(wrong)) in error["message"]
