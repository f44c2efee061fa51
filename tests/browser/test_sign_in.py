"""People sign in at a proxy, in Chromium, in front of the real gateway, which verifies their tokens.

It takes trusted documents only: the page's are among them.
"""

from __future__ import annotations

import asyncio
import json
import time
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from issuer import AUDIENCE, SUBJECT, LocalIssuer, SigningKey
from recorded import REMEMBERS, recorded_world, uploaded
from sign_in_proxy import SignInProxy
from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.node

SCRIPT = Path(__file__).parents[2] / "web/tests/sign-in.mjs"
PAGE = "/executions?q=claims&within=24h"


@pytest.fixture
def world() -> World:
    return recorded_world()


async def visited(url: str, screenshots: Path, grant: Callable[[str], None]) -> Any:
    """The browser's report: see the script. `grant`: what it wishes."""
    process = await asyncio.create_subprocess_exec("node", SCRIPT, url, screenshots, stdin=PIPE, stdout=PIPE)
    assert process.stdin
    assert process.stdout
    async with asyncio.timeout(120):
        while not (out := await process.stdout.readline()).startswith(b"{"):
            grant(out.decode().strip())
            process.stdin.write(b"granted\n")
        assert await process.wait() == 0, out.decode()
    return json.loads(out)


async def test_signs_in(
    world: World, aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """A link leads through the sign-in to what it says; when the session ends, the page says so, and comes back."""
    uploaded(world, "claims")
    documents = tmp_path / "theirs"
    documents.mkdir()
    (documents / "accounts.graphql").write_text("{ accounts { id } }")
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{ callers: { groups: [operations] }, accounts: { all: true } }]")
    async with LocalIssuer(time.time, SigningKey("one")) as issuer:
        chosen = settings(
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy,
            graphql_trusted_documents="only",
            graphql_trusted_documents_path=documents,
            **REMEMBERS,
        )

        def grant(wish: str) -> None:
            if wish == "expire":
                proxy.expire()
            else:
                proxy.replace_tokens(issuer.token(groups=["operations"], exp=int(time.time()) - 60))

        async with (
            server.running(chosen) as service,
            SignInProxy(service.url, lambda: issuer.token(groups=["operations"]), below="/files") as proxy,
        ):
            seen = await visited(proxy.url + PAGE, tmp_path, grant)
            signed_in = list(proxy.sign_ins)
            typed = set(proxy.authorizations)
    assert (seen["outside"], seen["errors"]) == ([], [])
    assert seen["opened"].endswith(PAGE)
    assert SUBJECT in seen["who"]
    assert seen["again"] == seen["ended"] != seen["opened"]
    assert "token" in seen["refused"]
    assert seen["last"] == seen["opened"]
    ends = urlsplit(seen["ended"])
    pages = [
        url for url in signed_in if "/graphql" not in url and "/assets/" not in url
    ]  # a part may load late
    assert pages == [f"/files{PAGE}", f"{ends.path}?{ends.query}", f"/files{PAGE}"]
    assert typed == {None}
