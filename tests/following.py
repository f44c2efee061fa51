"""A gateway that follows the logs of an emulated AWS. Minutes pass in milliseconds: for tests marked `driven_time`."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

import pytest

from driven_time import DrivenTime
from history_model import STARTS_AT, LoopClock, now
from transfer_emulator import (
    NO_QUIRKS,
    WORKFLOWS,
    Emulator,
    LogSettings,
    SampleScenario,
    ScenarioSettings,
    World,
)
from transfer_gateway.build import build_core
from transfer_gateway.core.clock import Clock
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId
from transfer_gateway.settings import AccountsFile, Settings
from transfer_gateway.telemetry import AwsCalls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from transfer_emulator import Upload, WorkflowScript
    from transfer_gateway.build import Core
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.domain.coverage import Coverage

READ = "FilterLogEvents"
FIRST, SECOND, THIRD = "111111111111", "333333333333", "444444444444"
TRADES = tuple(script for script in WORKFLOWS if script.subject == "trades")


class Following:
    """A gateway that follows the accounts of an emulated AWS."""

    def __init__(
        self,
        aws: Emulator,
        start: Callable[[], AbstractAsyncContextManager[Core]],
        region: str,
        *,
        is_second: bool = False,
    ) -> None:
        self.aws, self.region, self._is_second = aws, region, is_second
        self._start, self._running = start, AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        self.core: Gateway = (await self._running.enter_async_context(self._start())).gateway
        assert self.core._history is not None
        self.history = self.core._history
        operations, self._others_are_busy = self.history.store._operations._running, loop.is_busy
        loop.is_busy = lambda: bool(operations) or (self._is_second and self._others_are_busy())
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        loop.is_busy = lambda: True
        await self._running.aclose()
        if self._is_second:
            loop.is_busy = self._others_are_busy

    def another(self) -> Following:
        """Another replica, with the same AWS and the same store."""
        return Following(self.aws, self._start, self.region, is_second=True)

    @property
    def owned(self) -> set[str]:
        """The accounts that it follows."""
        return {target.account_id for target in self.history.followers._running}

    async def restart(self) -> None:
        """End this gateway and start another one."""
        await self.__aexit__()
        await self.__aenter__()

    def reads(self, account_id: str | None = None) -> int:
        return self.aws.calls.count(operation=READ, account_id=account_id)

    async def reads_in(self, seconds: float, account_id: str | None = None) -> int:
        before = self.reads(account_id)
        await asyncio.sleep(seconds)  # the reads of so long are counted
        return self.reads(account_id) - before

    def coverage(self) -> dict[str, Coverage]:
        return {it.target.account_id: it for it in self.history.followers.coverage()}

    async def until_read(self) -> None:
        """Its logs have been read for the first time, so that what happens from now on is in them."""
        async with asyncio.timeout(60):
            while any(found.complete_until is None for found in self.coverage().values()):
                await asyncio.sleep(0.5)  # between two looks

    def upload(self, account_id: str, duration_s: float = 5) -> tuple[ExecutionKey, Upload]:
        workflow_id = next(iter(self.aws.world.target(account_id, self.region).workflows))
        upload = self.aws.world.upload(
            account_id,
            self.region,
            workflow_id,
            round(now(), 3),
            duration_s=duration_s,
            seed=(now(), duration_s),
        )
        return (
            ExecutionKey(
                AccountId(account_id),
                Region(self.region),
                WorkflowId(workflow_id),
                ExecutionId(upload.execution_id),
            ),
            upload,
        )


def accounts_yaml(region: str, *account_ids: str) -> str:
    listed = "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in account_ids)
    return f"defaults: {{ regions: [{region}] }}\naccounts:\n{listed}"


@asynccontextmanager
async def following(
    folder: Path,
    *accounts: str,
    region: str = "eu-west-1",
    scripts: Sequence[WorkflowScript] = TRADES,
    history_url: str | None = None,
    **overrides: object,
) -> AsyncIterator[Following]:
    scripted = ScenarioSettings(quirks=NO_QUIRKS, history_from=STARTS_AT - 60, is_automatic=False)
    world = World("999999999999", (region,), SampleScenario(7, scripts, scripted))
    path = folder / "accounts.yaml"
    path.write_text(accounts_yaml(region, *accounts))
    for account_id in (FIRST, SECOND, THIRD):
        world.add_account(account_id)
    log_settings = LogSettings(calls_per_s=float("inf"), empty_page_share=0)
    async with Emulator(world, port=0, clock=LoopClock(), log_settings=log_settings) as aws:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in aws.environment().items():
                environment.setenv(name, value)
            settings = Settings.from_environment(
                accounts_file=path,
                history_url=history_url or f"sqlite:///{folder}/history.db",
                history_backfill_hours=0,
                history_timeout_s=60,
                history_retention_days=36_500,
                aws_read_timeout_s=5,
                **overrides,
            )

            def start() -> AbstractAsyncContextManager[Core]:
                clock = Clock(monotonic=asyncio.get_running_loop().time, wall=now)
                return build_core(settings, AccountsFile(path).load(), AwsCalls(), clock)

            async with Following(aws, start, region) as followed:
                yield followed
