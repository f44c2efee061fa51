"""What is not logged is listed for all who look, whatever each of them looks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from following import FIRST, TRADES, following
from history_model import now
from transfer_emulator import Logging
from transfer_gateway.domain.identity import AccountId, Region, Target
from wire import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.driven_time]
UNLOGGED = tuple(replace(script, logging=Logging.NONE) for script in TRADES)


async def test_others_look_for_others_while_it_is_listed(tmp_path: Path) -> None:
    """All of them have what runs."""
    async with following(tmp_path, FIRST, scripts=UNLOGGED) as it:
        await asyncio.sleep(10)  # where it logs is known by now
        target = Target(AccountId(FIRST), Region(it.region))
        known = it.core._sources.known
        assert known is not None
        key, _ = it.upload(FIRST, duration_s=600)
        store, note_commit = it.history.store, it.history.store.on_commit

        def on_commit() -> None:
            note_commit()
            known._lists.watch({target: frozenset()})

        store.on_commit = on_commit
        known._lists.watch({target: None})
        listed = known._lists._listed[target]
        await until(lambda: it.aws.calls.count(operation="ListExecutions"))
        await asyncio.sleep(1)  # what it shows has been stored
        store.on_commit = note_commit
        assert known._lists._listed[target] is listed
        wanted = {target: frozenset({key.workflow_id})}
        deadline = asyncio.get_running_loop().time() + 30
        assert await known._lists.look(wanted, max_age_s=0, deadline=deadline) == []
        assert (listed_at := known._lists.listed_at(target)) is not None
        assert now() - listed_at < 10
        assert key in await it.history.store.records([key])
