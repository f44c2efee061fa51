"""How the HTTP server handles bodies and parameters that clients encode in different ways."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from wire import JSON

if TYPE_CHECKING:
    from wire import Answer, Gateway

BODY = b'{"query":"{__typename}"}'
ANSWER = {"data": {"__typename": "Query"}}


def error(answer: Answer) -> Any:
    (found,) = answer.json()["errors"]
    assert found["extensions"] == {"code": "BAD_USER_INPUT", "retryable": False}
    return found["message"]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY, mtime=0)),  # part of the test's id, which workers must agree on
        ("GZIP", BODY),
        ("br", b"\x0b\x0b\x80"),
        ("deflate", b"x\x9c"),
        ("zstd", b"(\xb5/\xfd"),
        ("nonsense", BODY),
        ("gzip, identity", BODY),
    ],
)
async def test_content_encoding(shared_gateway: Gateway, coding: str, body: bytes) -> None:
    """A compressed body gets 415; the message names its encoding, and a header the accepted ones."""
    answer = await shared_gateway.send("POST", body=body, headers=JSON | {"content-encoding": coding})
    assert answer.status == 415
    assert error(answer) == f'Content-Encoding "{coding}" is not supported: send the body uncompressed.'
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity"])
async def test_no_content_encoding(shared_gateway: Gateway, coding: str) -> None:
    """`identity` means not compressed."""
    answer = await shared_gateway.send("POST", body=BODY, headers=JSON | {"content-encoding": coding})
    assert answer.json() == ANSWER


@pytest.mark.parametrize(
    ("content_type", "says"),
    [
        pytest.param("application/json", None, id="plain"),
        pytest.param("Application/JSON; charset=UTF-8", None, id="utf-8"),
        pytest.param('application/json;charset="utf8"', None, id="quoted"),
        pytest.param("application/json; charset=us-ascii", None, id="ascii"),
        pytest.param("application/json; profile=x", None, id="another-parameter"),
        pytest.param(
            "application/json; charset=utf-16",
            'The charset of Content-Type must be utf-8; got "utf-16".',
            id="utf-16",
        ),
        pytest.param(
            "application/json; a=b; Charset=ISO-8859-1",
            'The charset of Content-Type must be utf-8; got "iso-8859-1".',
            id="latin-1",
        ),
        pytest.param("text/plain", "Content-Type must be application/json.", id="text"),
        pytest.param("application/graphql", "Content-Type must be application/json.", id="graphql"),
        pytest.param("", "Content-Type must be application/json.", id="empty"),
    ],
)
async def test_content_type(shared_gateway: Gateway, content_type: str, says: str | None) -> None:
    """JSON in UTF-8; anything else gets 415 with the accepted types."""
    answer = await shared_gateway.send("POST", body=BODY, headers={"content-type": content_type})
    if says is None:
        assert answer.json() == ANSWER
        return
    assert (answer.status, error(answer)) == (415, says)
    assert answer.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"\xef\xbb\xbf" + BODY, None, id="utf-8-with-a-mark"),
        pytest.param('{"query":"{a:__typename}"}'.encode("utf-16"), "UTF-16 or UTF-32", id="utf-16"),
        pytest.param(BODY.decode().encode("utf-16-le"), "UTF-16 or UTF-32", id="utf-16-le"),
        pytest.param(BODY.decode().encode("utf-16-be"), "UTF-16 or UTF-32", id="utf-16-be"),
        pytest.param(BODY.decode().encode("utf-32"), "UTF-16 or UTF-32", id="utf-32"),
        pytest.param(b'{"query":"\xff"}', "the byte at 10 is not", id="a-byte"),
        pytest.param(b'{"query":"caf\xe9"}', "the byte at 13 is not", id="latin-1"),
        pytest.param(b'{"query":"\xed\xa0\x80"}', "the byte at 10 is not", id="surrogate"),
        pytest.param(b'{"query":"\\ud800"}', "The body must be JSON", id="half-a-pair"),
        pytest.param(gzip.compress(BODY), "UTF-8", id="gzip-without-a-word"),
    ],
)
async def test_encoding_of_a_body(shared_gateway: Gateway, body: bytes, says: str | None) -> None:
    """A body is JSON in UTF-8, with or without a byte order mark; anything else gets an error that says so."""
    answer = await shared_gateway.send("POST", body=body, headers=JSON)
    if says is None:
        assert answer.json() == ANSWER
        return
    assert answer.status == 400
    assert says in error(answer)
    assert "surrogates" not in error(answer)


@pytest.mark.parametrize(
    "parameters",
    [
        "query={__typename}&variables=&operationName=&extensions=",
        "query={__typename}&variables&operationName&extensions&documentId",
        "query={__typename}&variables=null&extensions=null",
        "variables=%7B%7D&query=%7B__typename%7D&documentId=",
        "query=&query={__typename}&other=1&other=2",
    ],
)
async def test_empty_parameters(shared_gateway: Gateway, parameters: str) -> None:
    """An empty or null parameter of a GET counts as absent."""
    assert (await shared_gateway.send("GET", f"/graphql?{parameters}")).json() == ANSWER


@pytest.mark.parametrize(
    "absent",
    [
        {"variables": None, "operationName": None, "extensions": None, "documentId": None},
        {"operationName": "", "documentId": ""},
    ],
)
async def test_null_members(shared_gateway: Gateway, absent: dict[str, Any]) -> None:
    """So does a member of a POST."""
    assert (await shared_gateway.post({"query": "{__typename}"} | absent)).json() == ANSWER


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        pytest.param("", "`query` is missing", id="nothing"),
        pytest.param("query=", "`query` is missing", id="empty-query"),
        pytest.param("query={__typename}&variables={", "`variables` must be JSON", id="variables"),
        pytest.param("query={__typename}&extensions=x", "`extensions` must be JSON", id="extensions"),
        pytest.param("query={__typename}&variables=[]", "`variables` must be an object", id="list"),
        pytest.param("query=%ff", "must be UTF-8", id="not-utf-8"),
        pytest.param("query={a}&query={__typename}", "`query` is given more than once", id="query-twice"),
        pytest.param(
            "query={__typename}&variables={}&variables={}",
            "`variables` is given more than once",
            id="variables-twice",
        ),
    ],
)
async def test_bad_parameters(shared_gateway: Gateway, parameters: str, says: str) -> None:
    """Any other value is validated; the error names the parameter."""
    answer = await shared_gateway.send("GET", f"/graphql?{parameters}", encoded=True)
    assert answer.status == 400
    assert says in error(answer)


async def test_parameters_with_values(shared_gateway: Gateway) -> None:
    """A GET with all parameters gets the same response as a POST."""
    query = "query A($id: ID!) { node(id: $id) { id } } query B { __typename }"
    parameters = f"query={quote(query)}&operationName=A&variables={quote(json.dumps({'id': '111111111111'}))}"
    answer = await shared_gateway.send("GET", f"/graphql?{parameters}", encoded=True)
    assert answer.json() == {"data": {"node": {"id": "111111111111"}}}


@pytest.mark.parametrize("marks", [2, 3000, 340_000])
async def test_more_than_one_byte_order_mark(shared_gateway: Gateway, marks: int) -> None:
    """One byte order mark may be ignored; several are not valid JSON."""
    answer = await shared_gateway.send("POST", body=b"\xef\xbb\xbf" * marks + BODY, headers=JSON)
    assert answer.status == 400
    assert error(answer).startswith("The body must be JSON")
