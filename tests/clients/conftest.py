"""The demo, started as a user would."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from command import Started, started
from node import BIN, TYPESCRIPT
from proxy import ProxiedGateway
from recorded_gateway import Recorded
from transfer_gateway import server
from transfer_gateway.history.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings


@pytest.fixture
async def demo() -> AsyncIterator[Started]:
    async with started("demo", "--http-port", "0", until="Ctrl-C") as demo:
        yield demo


@pytest.fixture
def key(demo: Started) -> dict[str, str]:
    """The execution that the demo prints, in progress for a while."""
    body = re.search(r"^curl .* -d '(.*)'$", demo.printed, re.MULTILINE)
    assert body is not None
    shown: dict[str, Any] = json.loads(body[1])
    found: dict[str, str] = shown["variables"]["key"]
    return found


@pytest.fixture(scope="session")
def typescript() -> None:
    """The TypeScript clients, type-checked and compiled with types generated from the schema."""
    for made in ("gql", "built"):
        shutil.rmtree(TYPESCRIPT / made, ignore_errors=True)
    for command in (("graphql-codegen", "--config", "codegen.ts"), ("tsc",)):
        ran = subprocess.run(  # noqa: S603  no input of anybody
            [BIN / command[0], *command[1:]],
            cwd=TYPESCRIPT,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
async def recorded(
    aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[Recorded]:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    made = settings(history_url=url, grpc=False)
    async with ProxiedGateway(lambda: server.running(made)) as gateway, open_store(url) as store:
        yield Recorded(gateway, store)
