"""A world of scripted executions, and a service that remembers them."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transfer_emulator import NO_QUIRKS, WORKFLOWS, LogQuirks, ScenarioSettings, World, demo_world
from wire import GUARDED, PLAIN, becomes
from wire import REGION as OTHER_REGION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from doors import Door
    from transfer_emulator import Upload

REGION = "us-east-1"  # where AWS allows 25 reads of logs a second, not 10 as in the other
ACCOUNTS, REGIONS = (PLAIN, GUARDED), (OTHER_REGION, REGION)
DAY_S = 86_400.0
# Settings of a service with a history that reads closely, and of the past no more than tests upload into.
REMEMBERS: dict[str, Any] = {"history_url": "sqlite://", "history_interval_s": 1, "history_backfill_hours": 3}


def recorded_world(
    *, quirks: LogQuirks = NO_QUIRKS, retention_s: float = math.inf, age_s: float = DAY_S
) -> World:
    """Nothing happens in it but by `uploaded`. `age_s`: of its log groups."""
    created_at = time.time() - age_s
    settings = ScenarioSettings(
        is_automatic=False, quirks=quirks, retention_s=retention_s, history_from=created_at
    )
    scripts = [replace(script, partial_from=None) for script in WORKFLOWS]
    return demo_world(7, len(ACCOUNTS), REGIONS, settings, scripts)


def workflow_of(world: World, subject: str, account_id: str = PLAIN, region: str = REGION) -> str:
    """The id of a sample workflow: payments, claims, trades or orders."""
    return next(
        workflow_id
        for workflow_id, workflow in world.target(account_id, region).workflows.items()
        if {"Key": "aws:transfer:customer", "Value": subject} in workflow.definition["Tags"]
    )


def uploaded(
    world: World,
    subject: str = "payments",
    *,
    ago_s: float = 120.0,
    duration_s: float = 60.0,
    account_id: str = PLAIN,
    region: str = REGION,
    **options: Any,
) -> Upload:
    """A file whose execution started `ago_s` seconds ago."""
    workflow_id = workflow_of(world, subject, account_id, region)
    return world.upload(
        account_id, region, workflow_id, time.time() - ago_s, duration_s=duration_s, **options
    )


def key_of(upload: Upload) -> dict[str, str]:
    return {
        "accountId": upload.resources.account_id,
        "region": upload.resources.region,
        "workflowId": upload.workflow_id,
        "executionId": upload.execution_id,
    }


def id_of(key: dict[str, str]) -> str:
    return "/".join(key.values())


def at(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(round(seconds, 3), UTC)


async def until_read(door: Door) -> None:
    """Wait until all logs have been read once. It costs AWS nothing to ask for that, unlike most other questions."""

    async def being_read() -> bool:
        return any(place["gap"] == "BEING_READ" for place in (await door.coverage())["coverage"])

    await becomes(being_read, expected=False)


async def same(doors: Sequence[Door], method: str, *arguments: Any, **options: Any) -> Any:
    """What all doors answer, asked at once."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(getattr(door, method)(*arguments, **options)) for door in doors]
    first, *others = [task.result() for task in asked]
    for other in others:
        assert other == first
    return first
