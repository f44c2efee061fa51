"""How the HTTP server handles valid and invalid GraphQL requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any

import pytest
from graphql import get_introspection_query
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from wire import JSON, PLAIN, QUERY, Gateway, calling, place, to_input

if TYPE_CHECKING:
    from transfer_emulator import World
OURS, FOREIGN = "https://ops.example.com", "https://evil.example"


BODY = b'{"query":"{__typename}"}'


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
        pytest.param(b'[{"query":"{__typename}"}]', JSON, 400, "a JSON object", id="batch"),
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
    shared_gateway: Gateway, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    """An invalid request gets a 4xx with the reason, as JSON with a code."""
    response = await shared_gateway.send("POST", body=body, headers=headers)
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
        pytest.param(
            "query A { __typename } query B { __typename }",
            {},
            "BAD_USER_INPUT",
            "`operationName` is required",
            id="two-operations",
        ),
        pytest.param(
            "fragment a on Query { __typename }", {}, "BAD_USER_INPUT", "no operation", id="fragment-only"
        ),
        pytest.param("type A { a: Int }", {}, "BAD_USER_INPUT", "no operation", id="type-only"),
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
    shared_gateway: Gateway,
    query: str,
    variables: dict[str, Any],
    code: str,
    says: str,
    accept: str,
    status: int,
    media_type: str,
) -> None:
    """An invalid document or variable gets 400, a code and the rule.

    Only a client that accepts nothing but `application/json` gets 200, as the GraphQL-over-HTTP draft recommends.
    """
    response = await shared_gateway.post({"query": query, "variables": variables}, accept=accept)
    answer = response.json()
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], "data" in answer) == (code, False)
    assert says in error["message"]
    assert response.status == status
    assert response.headers["content-type"] == media_type
    assert len(response.body) < 2_000


async def test_operation_name(shared_gateway: Gateway) -> None:
    """With several operations, the one in `operationName` runs."""
    query = "query A { a: __typename } query B { b: __typename }"
    response = await shared_gateway.post({"query": query, "operationName": "B"})
    assert response.json() == {"data": {"b": "Query"}}


@pytest.mark.parametrize(
    ("accepts", "status", "media_type"),
    [
        ([], 400, "application/json"),
        (["text/html, */*;q=0.8"], 400, "application/json"),
        (["Application/JSON"], 200, "application/json"),
        (["application/json; charset=utf-8;q=0.9"], 200, "application/json"),
        (["application/json-seq"], 400, "application/json"),
        (["application/json;q=0, */*"], 400, "application/json"),
        (["APPLICATION/GraphQL-Response+JSON"], 400, "application/graphql-response+json"),
        (
            ["application/json, application/graphql-response+json;q=0.5"],
            400,
            "application/graphql-response+json",
        ),
        (
            ["application/json", "application/graphql-response+json"],
            400,
            "application/graphql-response+json",
        ),
        (["application/graphql-response+json; q=0.00, application/json"], 200, "application/json"),
        (["application/graphql-response+json2, application/json"], 200, "application/json"),
        ([",;q, ;;=,"], 400, "application/json"),
    ],
)
async def test_accept(shared_gateway: Gateway, accepts: list[str], status: int, media_type: str) -> None:
    """Media ranges are compared as a whole, case-insensitively, from all Accept headers, without those of q=0."""
    headers = [*JSON.items(), *(("accept", value) for value in accepts)]
    response = await shared_gateway.send(
        "POST", body=b'{"query":"{"}', headers=headers, skip_auto_headers=("accept",)
    )
    assert (response.status, response.headers["content-type"]) == (status, media_type)


async def test_get(gateway: Gateway, world: World) -> None:
    """Queries also work by GET."""
    variables = json.dumps({"key": to_input(place(world))})
    response = await gateway.send("GET", params={"query": QUERY, "variables": variables})
    assert response.json()["data"]["executionOrError"]["__typename"] == "Execution"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip;q=0.5", "gzip;q=0", "identity", ""])
async def test_compression(shared_gateway: Gateway, encoding: str) -> None:
    """A large response is compressed for clients that accept it; a small one never is."""
    large = json.dumps({"query": get_introspection_query()}).encode()
    answers = [
        await shared_gateway.send(
            "POST", body=body, headers=JSON | {"accept-encoding": encoding}, auto_decompress=False
        )
        for body in (large, BODY)
    ]
    compressed = answers[0].headers.get("content-encoding") == "gzip"
    assert compressed is ("gzip" in encoding and "q=0" not in encoding.replace("q=0.5", ""))
    plain = gzip.decompress(answers[0].body) if compressed else answers[0].body
    assert "__schema" in json.loads(plain)["data"]
    assert "content-encoding" not in answers[1].headers
    for answer in answers:
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert answer.headers["vary"] == "accept, accept-encoding"
        assert answer.headers["cache-control"] == "no-store"


async def test_request_id(shared_gateway: Gateway) -> None:
    """A caller's request id is returned; a malformed one is replaced."""
    for sent, kept in (("abc-123", True), ("x" * 300, False), ("a b", False)):
        response = await shared_gateway.send("GET", "/livez", headers={"x-request-id": sent})
        assert (response.headers["x-request-id"] == sent) is kept


FAULTY = """
import asyncio, socket
from transfer_gateway.api.connections import ConnectionLimits
from transfer_gateway.api.http import RequestLog
from transfer_gateway.api.http_server import HttpServer
from transfer_gateway.api.unread import UnreadBytes
from transfer_gateway.telemetry import Requests, configure_logging

async def app(scope, receive, send):
    password = "hunter" + str(2)
    raise RuntimeError("unforeseen")

configure_logging("debug", "json")
listener = socket.create_server(("127.0.0.1", 0))
print("http://127.0.0.1:%d" % listener.getsockname()[1], flush=True)
app = RequestLog(app, Requests(slow_s=10), UnreadBytes(max_bytes=1, max_bytes_per_caller=1))
limits = ConnectionLimits(32768, 10, 16, 100, 100, 10, 60)
http = HttpServer(app, grace_s=0, keepalive_s=5, max_message_bytes=1000, limits=limits)
asyncio.run(http.serve(sockets=[listener]))
"""


async def test_a_fault_of_ours() -> None:
    """An unexpected exception is a 500 without details; the log has its traceback once, without local variables."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FAULTY, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        url = (await process.stdout.readline()).decode().strip()
        async with calling(url) as gateway:
            response = await gateway.send("GET", headers={"x-request-id": "my-id"})
        log = b""
        async with asyncio.timeout(30):  # the answer is out before its line is in the log
            while b"http_request" not in log:
                log += await process.stderr.readline()
    finally:
        process.kill()
        _, rest = await process.communicate()
    log += rest
    assert (response.status, response.headers["x-request-id"]) == (500, "my-id")
    assert response.json() == {
        "errors": [
            {
                "message": "Internal server error. Request id: my-id.",
                "extensions": {
                    "code": "INTERNAL_SERVER_ERROR",
                    "retryable": False,
                    "requestId": "my-id",
                },
            }
        ]
    }
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events if event["level"] != "debug"] == [
        "internal_fault",
        "http_request",
    ]
    (trace,) = events[-2]["exception"]
    assert (trace["exc_type"], trace["exc_value"]) == ("RuntimeError", "unforeseen")
    assert trace["frames"][-1]["name"] == "app"
    assert b"hunter2" not in log


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


fuzzed_key = st.fixed_dictionaries({name: st.just(value) | anything for name, value in KEY.items()})


@settings(max_examples=examples(100))
@given(
    body=st.fixed_dictionaries(
        {}, optional={"query": st.just(QUERY) | anything, "variables": anything, "extensions": anything}
    )
    | st.fixed_dictionaries(
        {"query": st.just(QUERY), "variables": st.fixed_dictionaries({"key": fuzzed_key})}
    )
    | anything
)
async def test_never_a_500(shared_gateway: Gateway, body: Any) -> None:
    """For any JSON, the response is JSON and never a 5xx."""
    response = await shared_gateway.post(body)
    assert response.status < 500
    codes = [error["extensions"]["code"] for error in response.json().get("errors", [])]
    assert "INTERNAL_SERVER_ERROR" not in codes
