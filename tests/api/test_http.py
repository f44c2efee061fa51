"""What the HTTP door makes of requests that are no proper GraphQL, and of those that are."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from graphql import get_introspection_query
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from wire import JSON, PLAIN, QUERY, Gateway, calling, connected, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

POST = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
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
    """A request that is no GraphQL gets a 4xx that says what is wrong, as JSON with a code."""
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
    """A document or variable that does not fit is refused with its code and the rule, and 400.

    Only a client that asks for `application/json` alone gets 200, as the GraphQL-over-HTTP draft has it.
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
    """Of several operations the one named runs."""
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
    """Media ranges are compared whole, in any case, from every Accept header, and without those of q=0."""
    headers = [*JSON.items(), *(("accept", value) for value in accepts)]
    response = await shared_gateway.send(
        "POST", body=b'{"query":"{"}', headers=headers, skip_auto_headers=("accept",)
    )
    assert (response.status, response.headers["content-type"]) == (status, media_type)


async def test_get(gateway: Gateway, world: World) -> None:
    """Queries work by GET too."""
    variables = json.dumps({"key": to_input(place(world))})
    response = await gateway.send("GET", params={"query": QUERY, "variables": variables})
    assert response.json()["data"]["executionOrError"]["__typename"] == "Execution"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/graphql", 400),
        ("PUT", "/graphql", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/graphql/", 404),
        ("POST", "/livez", 405),
    ],
)
async def test_wrong_place(shared_gateway: Gateway, method: str, path: str, status: int) -> None:
    """A wrong method or path gets its status and the same form of error; no page of anyone's."""
    response = await shared_gateway.send(method, path, allow_redirects=False)
    assert response.status == status
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    if status == 405:
        allowed = "GET, POST" if path == "/graphql" else "GET, HEAD"
        assert ", ".join(sorted(response.headers["allow"].split(", "))) == allowed


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("127.0.0.1:80", 200),
        ("127.9.9.9", 200),
        ("[::1]:8080", 200),
        ("evil.example:8080", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost@evil.example", 400),
        ("0.0.0.0", 421),
        ("", 421),
    ],
)
async def test_host(shared_gateway: Gateway, host: str, status: int) -> None:
    """Only a loopback Host is answered: a web page that leads here by DNS rebinding sends its own."""
    response = await shared_gateway.send("GET", params={"query": "{__typename}"}, headers={"host": host})
    assert response.status == status
    assert ("errors" in response.json()) is (status != 200)


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b'Content-Length: 100\r\n\r\n{"qu', id="within-the-body"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", id="bad-chunk"),
    ],
)
async def test_a_client_that_leaves(service: server.Service, rest: bytes) -> None:
    """A request that never becomes whole is no fault of ours: one line in the log, with 499."""
    with capture_logs() as logged:
        async with connected(service.url) as (_, writer):
            writer.write(POST + rest)
            await asyncio.sleep(0.1)
        await until(lambda: logged)
    assert [(entry["event"], entry["status"]) for entry in logged] == [("http_request", 499)]


async def test_a_client_that_does_not_wait(service: server.Service, world: World, aws: Emulator) -> None:
    """Who leaves before the answer ends the lookups: of 40 keys, those that were not asked for never are."""
    keys = [to_input(place(world)) for _ in range(40)]
    query = "query($keys: [ExecutionKey!]!) { executions(keys: $keys) { __typename } }"
    body = json.dumps({"query": query, "variables": {"keys": keys}}).encode()
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    with capture_logs() as logged:
        async with connected(service.url) as (_, writer):
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await until(
                lambda: aws.calls.count(operation="DescribeExecution") == 16
            )  # at a time to one target
        await until(
            lambda: any(entry["event"] == "http_request" for entry in logged)
        )  # long before its time is up
    assert [entry["status"] for entry in logged if entry["event"] == "http_request"] == [499]
    assert aws.calls.count(operation="DescribeExecution") == 16


@pytest.mark.parametrize("encoding", ["gzip", "br, gzip;q=0.5", "gzip;q=0", "identity", ""])
async def test_compression(shared_gateway: Gateway, encoding: str) -> None:
    """A large answer is compressed for whoever can read that; a small one never."""
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


OURS, FOREIGN = "https://ops.example.com", "https://evil.example"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        pytest.param("GET", {"sec-fetch-site": "cross-site"}, 403, id="an-image"),
        pytest.param("GET", {"sec-fetch-site": "same-site", "origin": FOREIGN}, 403, id="a-neighbour"),
        pytest.param("POST", {"sec-fetch-site": "cross-site", "origin": FOREIGN}, 403, id="a-script"),
        pytest.param("GET", {"sec-fetch-site": "same-origin"}, 200, id="our-page"),
        pytest.param("GET", {"sec-fetch-site": "none"}, 200, id="the-address-bar"),
        pytest.param("POST", {"sec-fetch-site": "cross-site", "origin": OURS}, 200, id="a-page-that-may"),
        pytest.param("POST", {}, 200, id="no-browser"),
    ],
)
async def test_pages_of_other_origins(
    aws: Emulator, settings: Callable[..., Settings], method: str, headers: dict[str, str], status: int
) -> None:
    """What another site's page makes a browser send is refused, but for origins that are named."""
    async with (
        server.running(settings(http_cors_origins=f"{OURS}, https://two.example.com")) as service,
        calling(service.url) as gateway,
    ):
        if method == "GET":
            answer = await gateway.send("GET", "/graphql?query={__typename}", headers=headers)
        else:
            answer = await gateway.send("POST", body=BODY, headers=JSON | headers)
        assert answer.status == status
        assert answer.headers.get("access-control-allow-origin") == (
            OURS if headers.get("origin") == OURS else None
        )
        preflight = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        for origin, allowed in ((OURS, 200), (FOREIGN, 400)):
            asked = await gateway.send("OPTIONS", headers={"origin": origin} | preflight)
            assert asked.status == allowed


async def test_no_origin_by_default(shared_gateway: Gateway) -> None:
    """Without the setting no page of another origin may ask at all."""
    answer = await shared_gateway.send(
        "OPTIONS", headers={"origin": OURS, "access-control-request-method": "POST"}
    )
    assert answer.status == 405
    assert "access-control-allow-origin" not in answer.headers


async def test_a_body_that_does_not_arrive(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A body has the request's time to arrive; then 408, and the connection is closed."""
    async with (
        server.running(settings(request_timeout_s=0.2)) as service,
        connected(service.url) as (reader, writer),
    ):
        writer.write(POST + b'Content-Length: 100\r\n\r\n{"qu')
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close" in head
    assert "0.2 s" in json.loads(body)["errors"][0]["message"]


async def test_idle_connections(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """They are closed after the time that is set; by default later than load balancers close theirs (60 s)."""
    request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with (
        server.running(settings(http_keepalive_s=1)) as service,
        connected(service.url) as (read, write),
    ):
        write.write(request)
        async with asyncio.timeout(30):
            assert (await read.read()).startswith(b"HTTP/1.1 200")  # to the end of the connection
    assert settings().http_keepalive_s > 60


async def test_a_slow_body(service: server.Service) -> None:
    """A body that takes its time is read to its end."""
    async with connected(service.url) as (reader, writer):
        writer.write(POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(BODY) + BODY[:5])
        await asyncio.sleep(0.5)  # longer than the service waits before it looks whether its client has left
        writer.write(BODY[5:])
        async with asyncio.timeout(30):
            assert (await reader.read()).endswith(b'{"data":{"__typename":"Query"}}')


async def test_the_end_of_the_grace(aws: Emulator, world: World, settings: Callable[..., Settings]) -> None:
    """A service that ends leaves no request behind: what hangs after the grace is answered with 503 by then."""
    body = json.dumps({"query": QUERY, "variables": {"key": to_input(place(world))}}).encode()
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    patient = settings(shutdown_grace_s=0.2, request_timeout_s=100, aws_read_timeout_s=100)
    async with AsyncExitStack() as stack:
        async with server.running(patient) as service:
            reader, writer = await stack.enter_async_context(connected(service.url))
            writer.write(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await until(lambda: aws.calls.count(operation="DescribeExecution"))
            ending = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - ending < 50
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("step", [1000, 7])
@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_upgrades_are_ignored(
    service: server.Service, caplog: pytest.LogCaptureFixture, offer: bytes, step: int
) -> None:
    """An offer of another protocol changes nothing, as Java's HttpClient expects that makes it with every POST."""
    length = b"Content-Length: %d\r\n" % len(BODY)
    offering = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\n" % offer
    sent = POST + length + offering + b"\r\n" + BODY + POST + length + b"Connection: close\r\n\r\n" + BODY
    async with connected(service.url) as (reader, writer):
        for start in range(0, len(sent), step):
            writer.write(sent[start : start + step])
            await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'{"data":{"__typename":"Query"}}') == 2
    assert caplog.messages == []


async def test_no_proxy(service: server.Service) -> None:
    """CONNECT, which HTTP/1.1 takes for an upgrade too, gets 400 and the connection's end."""
    async with connected(service.url) as (reader, writer):
        writer.write(b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["errors"][0]["extensions"] == {
        "code": "BAD_USER_INPUT",
        "retryable": False,
    }


async def test_request_id(shared_gateway: Gateway) -> None:
    """A caller's request id comes back; a malformed one is replaced."""
    for sent, kept in (("abc-123", True), ("x" * 300, False), ("a b", False)):
        response = await shared_gateway.send("GET", "/livez", headers={"x-request-id": sent})
        assert (response.headers["x-request-id"] == sent) is kept


async def test_health(shared_gateway: Gateway) -> None:
    """A running service is alive and ready."""
    assert (await shared_gateway.send("GET", "/livez")).json() == {"status": "alive"}
    assert (await shared_gateway.send("GET", "/readyz")).json() == {"status": "ready"}
    for probe in ("/livez", "/readyz"):
        answer = await shared_gateway.send("HEAD", probe)
        assert (answer.status, answer.body) == (200, b"")


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
    """An unforeseen exception is a 500 without detail; the log has its trace once, without the frames' variables."""
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


@settings(max_examples=100)
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
    """Whatever JSON a caller sends, the answer is JSON, never a 5xx and never a fault of ours."""
    response = await shared_gateway.post(body)
    assert response.status < 500
    codes = [error["extensions"]["code"] for error in response.json().get("errors", [])]
    assert "INTERNAL_SERVER_ERROR" not in codes
