"""GraphiQL in Chromium, in front of the demo. Run by `.ci/run web`, which builds the page and installs the rest."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from command import started
from proxy import Proxy

pytestmark = pytest.mark.node

SCRIPT = Path(__file__).parents[2] / "web/tests/graphiql.mjs"
TABS = ["Running", "Details", "Outcome", "Search", "Live", "Several", "Find", "Accounts"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The browser's report: see the script. Its screenshots are in pytest's temporary directory."""
    return asyncio.run(visit(tmp_path_factory.mktemp("screenshots")))


async def visit(screenshots: Path) -> Any:
    async with started("demo", "--http-port", "0", until="Ctrl-C") as demo, Proxy() as proxy:
        place = urlsplit(demo.url)
        proxy.server = place.hostname or "", place.port or 0
        process = await asyncio.create_subprocess_exec(
            "node", SCRIPT, f"http://{proxy.address}/graphql", screenshots, stdout=PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(120):
            while (out := await process.stdout.readline()) == b"cut\n":
                proxy.cut()
            assert await process.wait() == 0, out.decode()
    return json.loads(out)


def shown(text: str) -> str:
    """The result pane's first lines, without indentation. The editor renders only visible lines."""
    return re.sub(r"\s+", " ", text)


def test_loads_quietly(seen: dict[str, Any]) -> None:
    """No request leaves the origin or fails, and the console has no errors or policy violations."""
    assert (seen["outside"], seen["failed"], seen["errors"]) == ([], [], [])
    assert seen["requests"] > 20


def test_examples_work(seen: dict[str, Any]) -> None:
    """Each tab's query returns executions of the demo that are in progress."""
    assert seen["tabs"] == TABS
    assert re.search(
        r'"inProgressExecutions": { "edges": \[ { "node": { "id": "\d{12}/', shown(seen["first"])
    )
    assert '"executionOrError": { "__typename": "Execution", "id"' in shown(seen["inFull"])
    assert '"executions": [ { "__typename": "Execution", "id"' in shown(seen["several"])
    assert '"findExecution": { "execution": { "id"' in shown(seen["found"])
    assert '"alias": "payments-prod"' in shown(seen["accounts"])


def test_has_a_place_for_the_response(seen: dict[str, Any]) -> None:
    """On a phone, a tablet and a small screen: no line of the example is cut off, and the window doesn't scroll."""
    for layout in seen["layouts"]:
        assert layout["response"]["width"] >= 300
        assert layout["response"]["height"] >= 200
        assert (layout["cut"], layout["scrolls"]) == ([], [0, 0])


def test_links_to_the_page(seen: dict[str, Any]) -> None:
    """For who came here by chance, and writes no GraphQL."""
    assert urlsplit(seen["link"]).path == "/executions"


def test_a_subscription_runs(seen: dict[str, Any]) -> None:
    """Changes with new events appear, over a WebSocket of the page's own origin, until it is stopped."""
    first, second = seen["changes"]
    for change in (first, second):
        assert re.search(r'"executionsChanged": { "cursor": "', shown(change))
    assert first != second
    (socket,) = seen["sockets"]
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/graphql", socket)


def test_event_source_resumes(seen: dict[str, Any]) -> None:
    """`EventSource` comes back by itself with the last id that it has received; no event is told twice."""
    first, second = seen["eventSource"]["ids"]
    assert seen["eventSource"]["resumedAfter"] == [None, seen["eventSource"]["lastId"]]
    assert second
    assert not set(first) & set(second)


def test_token_is_kept_in_memory_only(seen: dict[str, Any]) -> None:
    """The token is sent with each request. Neither it nor one entered in the headers is stored."""
    assert seen["authorizationAsTyped"]
    assert seen["headerSent"]
    assert not seen["tokenKept"]
    assert "Outcome" in seen["kept"]  # other things are
    assert seen["tokenAgain"] == ""


def test_tabs_are_there_again(seen: dict[str, Any]) -> None:
    """After a reload the same tabs are open, and no others."""
    assert seen["tabsAgain"] == TABS
