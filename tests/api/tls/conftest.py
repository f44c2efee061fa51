"""A service with TLS at both doors, and certificates for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from certificates import Authority
from tls_doors import Files
from transfer_gateway import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tls_doors import Refusals
    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = Authority()
    files = Files(tmp_path, authority, authority.server(rsa_key=True), Authority("clients"))
    files.show(files.shown)
    return files


@pytest.fixture
async def service(
    aws: Emulator, settings: Callable[..., Settings], files: Files
) -> AsyncIterator[server.Service]:
    """TLS at both doors, without anybody being asked who they are."""
    async with server.running(
        settings(accounts_reload_s=0.1, shutdown_grace_s=1, **files.settings)
    ) as service:
        yield service


@pytest.fixture
def refusals() -> Iterator[Refusals]:
    with capture_logs() as events:
        yield lambda: sorted(
            (event["door"], event["problems"]) for event in events if event["event"] == "tls_files_refused"
        )
