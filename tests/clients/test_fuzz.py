"""Generated queries. Run by `.ci/run fuzz`."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from command import Started

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
CASES_PER_FIELD = 150  # of Query's nine
LEAST_CASES = 500


async def schemathesis(url: str, key: dict[str, str], report: Path, *options: str) -> tuple[int | None, Any]:
    """Its exit code and report. It is pinned by our lockfile, and has its own environment."""
    seed = os.environ.get("SCHEMATHESIS_SEED", str(random.randrange(2**32)))  # noqa: S311  no secret
    process = await asyncio.create_subprocess_exec(
        "uv",
        *("run", "--quiet", "--project", ROOT, "--isolated", "--only-group", "fuzz"),
        *("schemathesis", "run", url, "--no-color"),
        *("--seed", seed, "--checks", "well_formed_answer", "--continue-on-failure"),
        *("--request-timeout", "20", "--generation-database", "none"),
        *("--report", "json", "--report-json-path", report),
        *options,
        cwd=report.parent,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": str(ROOT / ".ci/fuzz.py"), "EXECUTION_KEY": json.dumps(key)}
        | {"UV_COMPILE_BYTECODE": "0"},  # it is thrown away at once
    )
    code = await asyncio.wait_for(process.wait(), 200)
    return code, json.loads(report.read_text())


async def test_fuzzed(demo: Started, key: dict[str, str], tmp_path: Path) -> None:
    """No query makes the service fail, hang, or return malformed JSON; and enough queries were tried."""
    code, report = await schemathesis(
        f"{demo.url}/graphql", key, tmp_path / "report.json", "--max-examples", str(CASES_PER_FIELD)
    )
    assert code == 0
    assert report["complete"]
    assert report["operations"]["tested"] == report["operations"]["total"]
    assert report["test_cases"]["generated"] >= LEAST_CASES


FAULT = '{"data": null, "errors": [{"message": "Oh.", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}'


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        pytest.param(503, "application/json", '{"data": {"accounts": []}}', id="status"),
        pytest.param(200, "application/json", FAULT, id="fault"),
        pytest.param(200, "text/html", '{"data": {"accounts": []}}', id="media-type"),
        pytest.param(200, "application/json", '{"data"', id="cut-off"),
        pytest.param(400, "application/json", '{"errors": []}', id="no-reason"),
    ],
)
async def test_faults_are_seen(
    demo: Started, key: dict[str, str], tmp_path: Path, status: int, media_type: str, body: str
) -> None:
    """The test above can fail: an invalid response is reported, even if only one field has it."""

    async def stand_in(request: web.Request) -> web.Response:
        asked = await request.read()
        if b"__schema" not in asked and b"viewer" not in asked and b"accounts" in asked:
            return web.Response(status=status, content_type=media_type, text=body)
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                f"{demo.url}/graphql", data=asked, headers={"content-type": "application/json"}
            ) as true,
        ):
            return web.Response(status=true.status, content_type=true.content_type, body=await true.read())

    app = web.Application()
    app.router.add_post("/graphql", stand_in)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        code, report = await schemathesis(
            f"http://127.0.0.1:{port}/graphql", key, tmp_path / "report.json", "--max-examples", "3"
        )
    finally:
        await runner.cleanup()
    assert code == 1
    assert [failure["operations"] for failure in report["failures"]] == [["Query.accounts"]]
