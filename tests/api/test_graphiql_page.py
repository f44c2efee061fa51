"""The GraphiQL page: who gets it at the GraphQL path, and its policy.

Its files: test_built_pages.py; its function: tests/browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from built_pages import BROWSER
from transfer_gateway import server
from wire import Gateway, calling

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings


@pytest.mark.parametrize(
    ("method", "path", "accept", "gets_page"),
    [
        pytest.param("GET", "/graphql", BROWSER["accept"], True, id="browser"),
        pytest.param("GET", "/graphql", "Text/HTML", True, id="html-alone"),
        pytest.param("GET", "/graphql", "application/json;q=0.5, text/html", True, id="html-rather"),
        pytest.param("GET", "/graphql?operationName=A", "text/html", True, id="asks-nothing"),
        pytest.param("GET", "/graphql?query={__typename}", BROWSER["accept"], False, id="query"),
        pytest.param("GET", "/graphql?query=", BROWSER["accept"], False, id="empty-query"),
        pytest.param("GET", "/graphql?documentId=1", BROWSER["accept"], False, id="document-id"),
        pytest.param("GET", "/graphql?extensions={}", BROWSER["accept"], False, id="extensions"),
        pytest.param("POST", "/graphql", BROWSER["accept"], False, id="post"),
        pytest.param("OPTIONS", "/graphql", BROWSER["accept"], False, id="options"),
        pytest.param("GET", "/graphql", "*/*", False, id="anything"),
        pytest.param("GET", "/graphql", "", False, id="empty"),
        pytest.param("GET", "/graphql", "application/json", False, id="json"),
        pytest.param("GET", "/graphql", "text/html, application/json", False, id="as-gladly"),
        pytest.param("GET", "/graphql", "text/html;q=0", False, id="refused"),
        pytest.param("GET", "/graphql", "text/html;q=high", False, id="malformed"),
        pytest.param(
            "GET",
            "/graphql",
            "application/graphql-response+json, text/html;q=0.9",
            False,
            id="graphql-rather",
        ),
    ],
)
async def test_who_gets_it(page: Gateway, method: str, path: str, accept: str, *, gets_page: bool) -> None:
    """A browser that opens the path gets the page; a request with a query, or one that prefers JSON, does not."""
    answer = await page.send(method, path, headers={"accept": accept})
    assert answer.status == 200
    assert (b"the page" in answer.body) == gets_page
    assert (answer.headers["content-type"] == "text/html; charset=utf-8") == gets_page


async def test_depends_on_what_is_accepted(page: Gateway) -> None:
    """Caches are told."""
    assert (await page.send("GET", headers=BROWSER)).headers["vary"] == "accept"


async def test_nothing_from_elsewhere(page: Gateway) -> None:
    """The page and all its files have a policy that forbids loading from, and sending to, other origins."""
    for path in ("/graphql", "/graphiql/assets/index-1a2b.js", "/graphiql/config.json"):
        headers = (await page.send("GET", path, headers=BROWSER)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert {name for name, value in policy.items() if value == "'none'"} == {
            "default-src",
            "frame-ancestors",
            "base-uri",
            "form-action",
        }
        assert {word for value in policy.values() for word in value.split()} == {
            "'none'",
            "'self'",
            "data:",
            "'unsafe-inline'",
        }
        assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


async def test_service_has_it(gateway: Gateway) -> None:
    """The service's own /graphql: a page, built or not, for browsers; GraphQL for all other clients."""
    opened = await gateway.send("GET", headers=BROWSER)
    assert (opened.status, opened.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "x-request-id" in opened.headers
    assert (await gateway.ask("{ __typename }"))["data"] == {"__typename": "Query"}
    asked = await gateway.send("GET", "/graphql?query={__typename}", headers=BROWSER)
    assert asked.json() == {"data": {"__typename": "Query"}}


async def test_live_examples_are_the_demos(gateway: Gateway) -> None:
    """Opening the page must not call AWS in every account. It links to the page for people if there is one."""
    told = (await gateway.send("GET", "/graphiql/config.json")).json()
    assert told == {"liveExamples": False, "executionsPage": True}


async def test_switched_off(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Browsers get what any client gets, and there are no assets."""
    async with server.running(settings(graphiql=False)) as service, calling(service.url) as gateway:
        opened, asked = await gateway.send("GET", headers=BROWSER), await gateway.send("GET")
        assert (opened.status, opened.body) == (asked.status, asked.body)
        assert opened.headers["content-type"] == "application/json"
        assert (await gateway.send("GET", "/graphiql/config.json")).status == 404
