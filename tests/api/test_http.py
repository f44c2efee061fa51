"""What the HTTP door makes of requests that are no proper GraphQL, and of those that are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wire import JSON, PLAIN, QUERY, Gateway, place, to_input

if TYPE_CHECKING:
    from transfer_emulator import World

KEY = {
    "accountId": PLAIN,
    "region": "eu-west-1",
    "workflowId": "w-00000000000000000",
    "executionId": "00000000-0000-4000-8000-000000000000",
}


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        pytest.param(b"", JSON, 400, "JSON", id="empty"),
        pytest.param(b"{", JSON, 400, "JSON", id="not-json"),
        pytest.param(b"\xff\xfe", JSON, 400, "JSON", id="not-utf-8"),
        pytest.param(b"[" * 100_000, JSON, 400, "JSON", id="deep"),
        pytest.param(b'"a string"', JSON, 400, "JSON object", id="string"),
        pytest.param(b"null", JSON, 400, "JSON object", id="null"),
        pytest.param(b'[{"query":"{__typename}"}]', JSON, 400, "one JSON object", id="batch"),
        pytest.param(b"{}", JSON, 400, "`query` is missing", id="no-query"),
        pytest.param(b'{"query":""}', JSON, 400, "`query` is missing", id="blank-query"),
        pytest.param(b'{"query":1}', JSON, 400, "`query` must be a string", id="query-number"),
        pytest.param(
            b'{"query":"{__typename}","variables":[]}',
            JSON,
            400,
            "`variables` must be an object",
            id="variables",
        ),
        pytest.param(
            b'{"query":"{__typename}","operationName":{}}',
            JSON,
            400,
            "`operationName` must be a string",
            id="operation-name",
        ),
        pytest.param(
            b'{"query":"{__typename}","operationName":"Other"}', JSON, 400, "Other", id="unknown-operation"
        ),
        pytest.param(b'{"query":"{__typename}"}', {}, 415, "application/json", id="no-content-type"),
        pytest.param(
            b'{"query":"{__typename}"}',
            {"content-type": "application/json-x"},
            415,
            "application/json",
            id="nearly-json",
        ),
        pytest.param(
            b"query={__typename}",
            {"content-type": "application/x-www-form-urlencoded"},
            415,
            "application/json",
            id="form",
        ),
        pytest.param(b'{"query":"%s"}' % (b" " * 2_000_000), JSON, 413, "1048576", id="too-large"),
    ],
)
async def test_malformed_requests(
    gateway: Gateway, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    """A request that is no GraphQL gets a 4xx that says what is wrong, as JSON with a code."""
    response = await gateway.send("POST", body=body, headers=headers)
    assert response.status == status
    (error,) = response.json()["errors"]
    assert says in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("query", "variables", "code", "says"),
    [
        pytest.param("{", {}, "GRAPHQL_PARSE_FAILED", "Syntax Error", id="syntax"),
        pytest.param("{ nonsense }", {}, "GRAPHQL_VALIDATION_FAILED", "nonsense", id="unknown-field"),
        pytest.param("mutation { a }", {}, "GRAPHQL_VALIDATION_FAILED", "mutation", id="mutation"),
        pytest.param(QUERY, {}, "BAD_USER_INPUT", "$key", id="no-variable"),
        pytest.param(
            QUERY, {"key": KEY | {"accountId": "1"}}, "BAD_USER_INPUT", "[0-9]{12}", id="account-id"
        ),
        pytest.param(
            QUERY,
            {"key": KEY | {"accountId": 111111111111}},
            "BAD_USER_INPUT",
            "[0-9]{12}",
            id="account-number",
        ),
        pytest.param(
            QUERY, {"key": KEY | {"accountId": f"{PLAIN}\n"}}, "BAD_USER_INPUT", ".accountId", id="line-break"
        ),
        pytest.param(QUERY, {"key": KEY | {"region": "Ireland"}}, "BAD_USER_INPUT", ".region", id="region"),
        pytest.param(
            QUERY, {"key": KEY | {"workflowId": "w-1"}}, "BAD_USER_INPUT", "w-([a-z0-9]{17})", id="workflow"
        ),
        pytest.param(
            QUERY, {"key": KEY | {"executionId": "x" * 10_000}}, "BAD_USER_INPUT", "{8}-", id="execution"
        ),
        pytest.param(QUERY, {"key": "a string"}, "BAD_USER_INPUT", "ExecutionKey", id="key-string"),
        pytest.param(QUERY, {"key": KEY | {"more": 1}}, "BAD_USER_INPUT", "more", id="extra-field"),
        pytest.param(
            '{ executionOrError(key: {accountId: "1", region: "eu-west-1", workflowId: "w-00000000000000000", '
            'executionId: "00000000-0000-4000-8000-000000000000"}) { __typename } }',
            {},
            "BAD_USER_INPUT",
            "[0-9]{12}",
            id="literal",
        ),
    ],
)
@pytest.mark.parametrize(
    ("accept", "status", "media_type"),
    [
        ("*/*", 400, "application/json"),
        ("application/json", 200, "application/json"),
        ("application/graphql-response+json", 400, "application/graphql-response+json"),
    ],
)
async def test_bad_documents_and_variables(
    gateway: Gateway,
    query: str,
    variables: dict[str, Any],
    code: str,
    says: str,
    accept: str,
    status: int,
    media_type: str,
) -> None:
    """A document or variable that does not fit is refused with its code and the rule, and 400.

    Only a client that asks for `application/json` alone gets 200, as the GraphQL-over-HTTP draft has it.
    """
    response = await gateway.post({"query": query, "variables": variables}, accept=accept)
    answer = response.json()
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], "data" in answer) == (code, False)
    assert says in error["message"]
    assert response.status == status
    assert response.headers["content-type"] == media_type
    assert len(response.body) < 2_000


async def test_get(gateway: Gateway, world: World) -> None:
    """Queries work by GET too."""
    variables = json.dumps({"key": to_input(place(world))})
    response = await gateway.send("GET", params={"query": QUERY, "variables": variables})
    assert response.json()["data"]["executionOrError"]["__typename"] == "Execution"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/graphql", 400), ("PUT", "/graphql", 405), ("GET", "/nowhere", 404), ("POST", "/livez", 405)],
)
async def test_wrong_place(gateway: Gateway, method: str, path: str, status: int) -> None:
    """A wrong method or path gets its status and the same form of error; no page of anyone's."""
    response = await gateway.send(method, path)
    assert response.status == status
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_request_id(gateway: Gateway) -> None:
    """A caller's request id comes back; a malformed one is replaced."""
    for sent, kept in (("abc-123", True), ("x" * 300, False), ("a b", False)):
        response = await gateway.send("GET", "/livez", headers={"x-request-id": sent})
        assert (response.headers["x-request-id"] == sent) is kept


async def test_health(gateway: Gateway) -> None:
    """A running service is alive and ready."""
    assert (await gateway.send("GET", "/livez")).json() == {"status": "alive"}
    assert (await gateway.send("GET", "/readyz")).json() == {"status": "ready"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
fuzzed_key = st.fixed_dictionaries({name: st.just(value) | anything for name, value in KEY.items()})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries(
        {}, optional={"query": st.just(QUERY) | anything, "variables": anything, "extensions": anything}
    )
    | st.fixed_dictionaries(
        {"query": st.just(QUERY), "variables": st.fixed_dictionaries({"key": fuzzed_key})}
    )
    | anything
)
async def test_never_a_500(gateway: Gateway, body: Any) -> None:
    """Whatever JSON a caller sends, the answer is JSON, never a 5xx and never a fault of ours."""
    response = await gateway.post(body)
    assert response.status < 500
    codes = [error["extensions"]["code"] for error in response.json().get("errors", [])]
    assert "INTERNAL_SERVER_ERROR" not in codes
