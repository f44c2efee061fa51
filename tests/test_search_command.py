"""`transfer-gateway search`, against a running gateway."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from command import run
from recorded import REMEMBERS, id_of, key_of, recorded_world, uploaded
from transfer_gateway import server
from wire import becomes

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings


@pytest.fixture
def world() -> World:
    return recorded_world()


async def test_what_it_finds(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """JSON lines in a pipe; what may be missing is told on stderr."""
    failed = uploaded(world, "payments", failing_step=1)
    uploaded(world, "claims")
    async with server.running(settings(**REMEMBERS)) as service:

        async def found(*options: str) -> list[str]:
            code, out, told = await run("search", *options, "--url", service.url)
            # On a busy machine a search may take longer than it may.
            return [json.loads(line)["id"] for line in out.splitlines()] if code == 0 else [told]

        await becomes(lambda: found("--status", "exception", "--since", "1h"), [id_of(key_of(failed))])
        name = failed.file.path.rpartition("/")[2]
        await becomes(lambda: found(name.upper(), "--limit", "1"), [id_of(key_of(failed))])
        _, out, told = await run("search", name, "--url", service.url)
        assert json.loads(out)["failedStep"]["error"]["type"]
        assert "note: may lack executions of " in told


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--url", "ftp://x"], 1, "is no URL"),
        (["--url", "http://127.0.0.1:1"], 1, "can't be reached"),
        (["--account", "111111111111", "--account", "claims"], 1, "ids or aliases, not both"),
        (["--since", "yesterday"], 2, "must be a time or an age such as 2h"),
        (["--limit", "0"], 2, "must be 1 to 100,000"),
        (["--token-file", "/nonexistent"], 1, "the token can't be read"),
    ],
)
async def test_what_it_refuses(options: list[str], code: int, says: str) -> None:
    exit_code, out, told = await run("search", *options)
    assert (exit_code, out) == (code, "")
    assert says in told
