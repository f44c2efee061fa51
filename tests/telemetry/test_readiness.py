"""/readyz gives the reason while the service is not ready. For reasons of the accounts see test_discovery.py."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from command import started
from wire import Gateway, becomes, calling

if TYPE_CHECKING:
    from pathlib import Path

    from transfer_emulator import Emulator


async def ready(gateway: Gateway) -> tuple[int, object]:
    answer = await gateway.send("GET", "/readyz")
    return answer.status, answer.json()


async def test_while_it_ends(aws: Emulator, accounts_file: Path) -> None:
    """After SIGTERM the service is live and not ready, with the reason; /metrics can still be read."""
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "100",
    }
    async with (
        started("serve", "--http-port", "0", **environment) as serving,
        calling(serving.url) as gateway,
    ):
        assert (await gateway.send("GET", "/readyz")).json() == {"status": "ready"}
        serving.signal()
        await becomes(partial(ready, gateway), (503, {"status": "not ready", "reason": "shutting down"}))
        for path in ("/livez", "/metrics"):
            assert (await gateway.send("GET", path)).status == 200
        serving.signal()  # a second one doesn't wait
        assert await asyncio.wait_for(serving.process.wait(), 50) == 0
