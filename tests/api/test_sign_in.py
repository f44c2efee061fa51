"""People sign in at a proxy, which gives the gateway each one's token: what the page's requests get then."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from built_pages import BROWSER, SCRIPT
from issuer import AUDIENCE, LocalIssuer, SigningKey
from recorded import REMEMBERS
from sign_in_proxy import COOKIE, SignInProxy
from streams import CHANGED
from transfer_gateway import server
from wire import JSON, PLAIN, Answer, place, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

POLICY = f"rules: [{{ callers: {{ groups: [operations] }}, accounts: {{ ids: ['{PLAIN}'] }} }}]"
PAGE = "/executions?q=claims&status=FAILED"
ACCOUNTS = {"query": "{ accounts { id } }"}
# As the page sends them: a query, and a subscription.
ASKS, STREAMS = "application/graphql-response+json", "text/event-stream"


@dataclass
class Browser:
    """It keeps cookies, and opens the gateway through the proxy."""

    proxy: SignInProxy
    issuer: LocalIssuer
    http: aiohttp.ClientSession

    async def open(self, path: str, **headers: str) -> tuple[Answer, str]:
        """What the address leads to, and where that is, without the proxy's own address."""
        async with self.http.get(self.proxy.url + path, headers=BROWSER | headers) as answer:
            found = Answer(answer.status, answer.headers, await answer.read())
            return found, str(answer.url).removeprefix(self.proxy.url)

    async def ask(self, request: dict[str, Any], accept: str = ASKS) -> Answer:
        """As `fetch` with `redirect: "manual"`."""
        async with self.http.post(
            f"{self.proxy.url}/graphql",
            data=json.dumps(request),
            headers=JSON | {"accept": accept},
            allow_redirects=False,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


@pytest.fixture
def below() -> str:
    """The prefix that the proxy adds."""
    return ""


@pytest.fixture
async def browser(
    below: str,
    aws: Emulator,
    settings: Callable[..., Settings],
    directory: Path,
    tmp_path: Path,
) -> AsyncIterator[Browser]:
    (tmp_path / "policy.yaml").write_text(POLICY)
    async with LocalIssuer(time.time, SigningKey("one")) as issuer:
        oidc = {
            "auth": "oidc",
            "oidc_issuers": issuer.url,
            "oidc_audiences": AUDIENCE,
            "policy_file": tmp_path / "policy.yaml",
        }
        chosen = settings(**oidc, **REMEMBERS)
        async with (
            server.running(chosen, page_directory=directory) as service,
            SignInProxy(service.url, lambda: issuer.token(groups=["operations"]), below=below) as proxy,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
        ):
            yield Browser(proxy, issuer, http)


@pytest.mark.parametrize("below", ["", "/files"], ids=["at-the-root", "below-a-prefix"])
async def test_comes_back_to_the_same_address(browser: Browser) -> None:
    """Who opens a link signs in, and sees what the link says, with all its files; then the API knows them."""
    opened, where = await browser.open(PAGE)
    assert (opened.status, where) == (200, PAGE)
    assert b"the page" in opened.body
    script, _ = await browser.open("/executions/assets/index-1a2b.js")
    assert script.body == SCRIPT
    answer = await browser.ask(ACCOUNTS)
    assert answer.json()["data"]["accounts"] == [{"id": PLAIN}]  # the policy's
    assert (await browser.open("/"))[1] == "/executions"


async def test_expired(browser: Browser) -> None:
    """A page goes to the sign-in; the page's own requests get what tells them, and nothing of another origin."""
    await browser.open(PAGE)
    browser.proxy.expire()
    for accept, status in {ASKS: 302, STREAMS: 302, "application/json": 401}.items():
        assert (await browser.ask(ACCOUNTS, accept)).status == status
    again, where = await browser.open(PAGE)
    assert (again.status, where) == (200, PAGE)
    assert (await browser.ask(ACCOUNTS)).status == 200


async def test_a_token_that_was_not_renewed(browser: Browser) -> None:
    """The gateway verifies what it is given: what a proxy believes doesn't count."""
    await browser.open(PAGE)
    stale = browser.issuer.token(groups=["operations"], exp=int(time.time()) - 60)
    browser.proxy.replace_tokens(stale)
    answer = await browser.ask(ACCOUNTS)
    assert answer.status == 401
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_stream(browser: Browser, world: World) -> None:
    """Changes arrive as they happen, with the token of the cookie; one that is typed does not count then."""
    await browser.open(PAGE)
    request = {"query": CHANGED, "variables": {"key": to_input(place(world))}}
    async with browser.http.post(
        f"{browser.proxy.url}/graphql",
        data=json.dumps(request),
        headers=JSON | {"accept": STREAMS, "authorization": "Bearer typed"},
    ) as stream:
        assert (stream.status, stream.content_type) == (200, STREAMS)
        told = [(await stream.content.readline()).decode() for _ in range(6)]
    assert '"status":"IN_PROGRESS"' in "".join(told)


async def test_a_cookie_of_nobody(browser: Browser) -> None:
    """Is no session."""
    browser.http.cookie_jar.update_cookies({COOKIE: "guessed"})
    assert (await browser.ask(ACCOUNTS)).status == 302


async def test_other_sites(browser: Browser) -> None:
    """A cookie is sent by a browser on its own: requests of other sites' pages are refused nevertheless."""
    await browser.open(PAGE)
    for site in ("cross-site", "same-site"):
        refused, _ = await browser.open("/graphql?query={accounts{id}}", **{"sec-fetch-site": site})
        assert refused.status == 403
