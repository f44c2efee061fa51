"""Error messages about a caller's values use the words of GraphQL and JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from wire import PLAIN, Gateway

if TYPE_CHECKING:
    from transfer_gateway import server

KEY = {
    "accountId": PLAIN,
    "region": "eu-west-1",
    "workflowId": "w-00000000000000000",
    "executionId": "00000000-0000-4000-8000-000000000000",
}
ALL = """
query(
  $k: ExecutionKey!, $m: Float, $f: ExecutionFilter, $w: SearchFilter! = {}, $n: Int, $id: ID!, $b: Boolean!, $s: String
) {
  execution(key: $k, maxAge: $m) { id @include(if: $b) }
  inProgressExecutions(filter: $f, first: $n, after: $s) { targetFailures { region } }
  searchExecutions(filter: $w) { edges { cursor } }
  node(id: $id) { id }
}
"""
GOOD: dict[str, Any] = {"k": KEY, "b": True, "id": PLAIN}
NOT_NULL = "not to be null."
BY_DEFAULT = (
    'query($k: ExecutionKey = {accountId: "111111111111", region: "eu-west-1", workflowId: "w-00000000000000000", '
    'executionId: "00000000-0000-4000-8000-000000000000"}) { execution(key: $k) { id } }'
)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        pytest.param({"k": None}, f"'ExecutionKey!' {NOT_NULL}", id="null"),
        pytest.param({"k": "x"}, 'found: "x".', id="text-for-an-object"),
        pytest.param({"k": True}, "found: true.", id="true-for-an-object"),
        pytest.param({"k": [False, None]}, "found: [false, null].", id="list-for-an-object"),
        pytest.param({"k": {}}, "found: {}.", id="empty-object"),
        pytest.param({"k": {"more": None}}, 'found: {"more": null}.', id="unknown-field"),
        pytest.param({"k": KEY | {"accountId": None}}, f"'AccountId!' {NOT_NULL}", id="null-in-an-object"),
        pytest.param({"k": KEY | {"accountId": True}}, "111111111111; got true.", id="true-for-an-id"),
        pytest.param({"k": KEY | {"accountId": "it's"}}, 'got "it\'s".', id="text-for-an-id"),
        pytest.param({"k": KEY | {"region": {"a": [None]}}}, 'got {"a": [null]}.', id="object-for-an-id"),
        pytest.param({"m": True}, "Float cannot represent non numeric value: true", id="true-for-a-float"),
        pytest.param({"m": {"a": [None, True]}}, 'value: {"a": [null, true]}', id="object-for-a-float"),
        pytest.param({"n": False}, "Int cannot represent non-integer value: false", id="false-for-an-int"),
        pytest.param({"id": True}, "ID cannot represent value: true", id="true-for-an-id-of-graphql"),
        pytest.param({"b": 0}, "non boolean value: 0", id="number-for-a-boolean"),
        pytest.param({"s": False}, "non string value: false", id="false-for-a-string"),
        pytest.param({"s": ["True", None]}, 'non string value: ["True", null]', id="list-for-a-string"),
        pytest.param({"f": {"statuses": [None]}}, f"'ExecutionStatus!' {NOT_NULL}", id="null-in-a-list"),
        pytest.param({"f": {"statuses": [True]}}, "non-string value: true.", id="true-for-an-enum"),
        pytest.param({"f": {"statuses": True}}, "non-string value: true.", id="true-for-a-list-of-enums"),
        pytest.param({"f": {"statuses": ["GONE"]}}, "Value 'GONE' does not exist", id="unknown-enum"),
        pytest.param({"f": {"workflowIds": True}}, "got true.", id="true-for-a-list-of-ids"),
        pytest.param({"w": {"endedAfter": True}}, "2026-01-31T12:00:00Z; got true.", id="true-for-a-time"),
        pytest.param({"w": {"endedAfter": "it's"}}, 'got "it\'s".', id="text-for-a-time"),
        pytest.param({"s": {"a": "x" * 5000}}, "x…", id="long"),
        pytest.param(
            {"f": {"statuses": ["GONE" * 2000]}}, "' does not exist in 'ExecutionStatus' enum", id="long-enum"
        ),
        pytest.param({"k": {"m" * 5000: 1}}, "required field 'accountId', found: ", id="long-name"),
    ],
)
async def test_variables(shared_gateway: Gateway, bad: dict[str, Any], says: str) -> None:
    """A variable's value is quoted as JSON."""
    answer = await shared_gateway.ask(ALL, **(GOOD | bad))
    error = answer["errors"][0]
    assert says in error["message"]
    assert f"'${next(iter(bad))}'" in error["message"]
    assert all(len(error["message"]) <= 500 for error in answer["errors"])
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "retryable": False}


@pytest.mark.parametrize(
    ("query", "variables", "says"),
    [
        pytest.param("{ execution(key: null) { id } }", {}, NOT_NULL, id="null"),
        pytest.param("{ execution(key: {accountId: null}) { id } }", {}, NOT_NULL, id="null-in-an-object"),
        pytest.param("{ execution(key: true) { id } }", {}, "found: true.", id="true"),
        pytest.param("{ accounts { id @include(if: null) } }", {}, NOT_NULL, id="directive"),
        pytest.param(
            "{ inProgressExecutions(filter: {accountIds: [null]}) { pageInfo { hasNextPage } } }",
            {},
            NOT_NULL,
            id="null-in-a-list",
        ),
        pytest.param(
            "{ inProgressExecutions(filter: {accountIds: [true]}) { pageInfo { hasNextPage } } }",
            {},
            "got true.",
            id="true-for-an-id",
        ),
        pytest.param(BY_DEFAULT, {"k": None}, NOT_NULL, id="null-in-place-of-a-default"),
        pytest.param(
            "query($b: Boolean = true) { accounts { id @include(if: $b) } }",
            {"b": None},
            NOT_NULL,
            id="null-in-a-directive",
        ),
        pytest.param(
            'query($a: AccountId = "111111111111") { inProgressExecutions(filter: {accountIds: [$a]}) '
            "{ pageInfo { hasNextPage } } }",
            {"a": None},
            NOT_NULL,
            id="null-in-a-literal",
        ),
        pytest.param(BY_DEFAULT.replace("(key: $k)", "(key: $k, maxAge: -1e999)"), {}, "-Infinity", id="infinite"),
    ],
)  # fmt: skip
async def test_literals(shared_gateway: Gateway, query: str, variables: dict[str, Any], says: str) -> None:
    """So is a literal; null for a required value is the caller's error, not ours."""
    errors = (await shared_gateway.ask(query, **variables))["errors"]
    for error in errors:
        assert error["extensions"]["code"] in {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}
        assert error["extensions"]["retryable"] is False
        assert not re.search(r"\b(None|True|False)\b|\binf\b", error["message"])
    assert says in errors[0]["message"]


LONG = "a" * 5000


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (f'{{ execution(key: "{LONG}") {{ id }} }}', "to be an object, found: "),
        (
            f"{{ inProgressExecutions(filter: {{statuses: [{LONG}]}}) {{ pageInfo {{ hasNextPage }} }} }}",
            "enum.",
        ),
        (f"{{ {LONG} }}", "on type 'Query'."),
        (f"{{ accounts({LONG}: 1) {{ id }} }}", "Unknown argument"),
        (f"{{ node(id: {{{LONG}: 1}}) {{ id }} }}", "ID cannot represent"),
        (f"query({LONG}: Int) {{ accounts {{ id }} }}", "Syntax Error"),
        (f"{{ accounts {{ ...{LONG} }} }}", "Unknown fragment"),
    ],
    ids=["object", "enum", "field", "argument", "id", "syntax", "fragment"],
)
async def test_long_words_of_a_document(shared_gateway: Gateway, query: str, says: str) -> None:
    """What a message repeats of the document is cut in its middle, so that the rule can be read."""
    errors = (await shared_gateway.ask(query))["errors"]
    assert says in errors[0]["message"]
    assert all(len(error["message"]) <= 500 for error in errors)


async def test_an_unknown_operation(shared_gateway: Gateway) -> None:
    """So is an operation's name."""
    answer = await shared_gateway.post({"query": "{ accounts { id } }", "operationName": LONG})
    (error,) = answer.json()["errors"]
    assert error["message"].startswith('Unknown operation named "aaaa')
    assert len(error["message"]) < 150


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"query": "{"}, "GRAPHQL_PARSE_FAILED", id="syntax"),
        pytest.param({"query": "{ nonsense }"}, "GRAPHQL_VALIDATION_FAILED", id="unknown-field"),
        pytest.param({"query": ALL}, "BAD_USER_INPUT", id="variables"),
        pytest.param({}, "BAD_USER_INPUT", id="no-query"),
        pytest.param({"query": "{a:__typename}", "operationName": "B"}, "BAD_USER_INPUT", id="operation"),
        pytest.param({"query": '{ node(id: "x") { id } }'}, "BAD_USER_INPUT", id="in-a-field"),
        pytest.param({"query": '{ node(id: "444444444444") { id } }'}, "ACCOUNT_NOT_AVAILABLE", id="not-there"),
    ],
)  # fmt: skip
async def test_extensions(shared_gateway: Gateway, body: dict[str, Any], code: str) -> None:
    """Every error has its code and `retryable`."""
    for error in (await shared_gateway.post(body)).json()["errors"]:
        assert error["extensions"]["code"] == code
        assert error["extensions"]["retryable"] is False


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/graphql", 405), ("PUT", "/livez", 405)]
)
async def test_extensions_of_http_errors(
    service: server.Service, gateway: Gateway, method: str, path: str, status: int
) -> None:
    """So has an invalid request."""
    answer = await gateway.send(method, path)
    assert answer.status == status
    assert answer.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "retryable": False}
