"""For tests/history/test_model.py: an AWS account with executions, a gateway in front of it, and what is true."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import asyncpg
import pytest

from driven_time import DrivenTime
from transfer_emulator import WORKFLOWS, Clock, Emulator, Logging, LogSettings, Outcome, Upload
from transfer_gateway.build import build_core
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.core.clock import Clock as GatewayClock
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import ExecutionNotFound, GatewayError, NotFoundReason
from transfer_gateway.domain.execution import Execution, ExecutionStatus, Source
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId
from transfer_gateway.domain.record import record_of
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from transfer_emulator import World
    from transfer_gateway.build import Core
    from transfer_gateway.domain.execution import FileLocation, Step
    from transfer_gateway.domain.record import RecordedStep
    from transfer_gateway.settings import Settings

ACCOUNT, REGION = "111111111111", "eu-west-1"
STARTS_AT = 1_800_000_000.0
AUDIT = AuditTrail(ANONYMOUS, "test", lambda: None)
TABLES = (
    "history_executions",
    "history_events",
    "history_log_groups",
    "history_workflow_logs",
    "history_retention",
)
_RUNNING = {ExecutionStatus.IN_PROGRESS, ExecutionStatus.HANDLING_EXCEPTION}
_UNREADABLE_FOR_S = 150.0  # after AWS works again: the longest back-off, and the pause before it is noticed
_ENDING_FOR_S = 90.0
_LATE_S = 600.0  # an entry that is no later is always found


class LoopClock(Clock):
    """The emulator's clock, in the running loop's time."""

    def now(self) -> float:
        return STARTS_AT + asyncio.get_running_loop().time()


def now() -> float:
    return STARTS_AT + asyncio.get_running_loop().time()


class Database(Protocol):
    """What may happen to a store while a gateway uses it."""

    url: str

    async def wipe(self) -> None: ...
    async def copy(self) -> None: ...
    async def restore(self) -> None:
        """The copy's state, if there is one."""
        ...


class SqliteFile:
    def __init__(self, folder: Path) -> None:
        self.path, self._copy = folder / "history.db", folder / "copy.db"
        self.url = f"sqlite:///{self.path}"

    async def wipe(self) -> None:
        await asyncio.to_thread(self._wipe)

    def _wipe(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
            for table in _tables(database):
                database.execute(f"DELETE FROM {table}")  # noqa: S608

    async def copy(self) -> None:
        await asyncio.to_thread(self._copy_all)

    def _copy_all(self) -> None:
        with closing(sqlite3.connect(self.path)) as database, closing(sqlite3.connect(self._copy)) as copy:
            database.backup(copy)

    async def restore(self) -> None:
        if self._copy.exists():
            await asyncio.to_thread(self._restore)

    def _restore(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as database:
            database.execute("ATTACH ? AS copy", [str(self._copy)])
            copied = _tables(database, "copy.")
            database.execute("BEGIN IMMEDIATE")
            for table in _tables(database):
                database.execute(f"DELETE FROM main.{table}")  # noqa: S608
                if table in copied:
                    database.execute(f"INSERT INTO main.{table} SELECT * FROM copy.{table}")  # noqa: S608
            database.execute("COMMIT")


def _tables(database: sqlite3.Connection, of: str = "") -> list[str]:
    found = database.execute(f"SELECT name FROM {of}sqlite_master WHERE type = 'table'")  # noqa: S608
    names = {name for (name,) in found}
    return [table for table in TABLES if table in names]


class PostgresDatabase:
    def __init__(self, url: str) -> None:
        self.url = url
        self._has_copy = False

    async def _run(self, *statements: str) -> None:
        """In one transaction, anew if a gateway that writes meanwhile makes a deadlock of it."""
        connection = await asyncpg.connect(self.url)
        try:
            while True:
                try:
                    async with connection.transaction():
                        for statement in statements:
                            await connection.execute(statement)
                except asyncpg.DeadlockDetectedError:
                    continue
                return
        finally:
            await connection.close()

    async def wipe(self) -> None:
        await self._run(f"TRUNCATE {', '.join(TABLES)}")

    async def copy(self) -> None:
        await self._run(
            "DROP SCHEMA IF EXISTS copy CASCADE",
            "CREATE SCHEMA copy",
            *(f"CREATE TABLE copy.{table} AS TABLE public.{table}" for table in TABLES),
        )
        self._has_copy = True

    async def restore(self) -> None:
        if self._has_copy:
            await self._run(
                f"TRUNCATE {', '.join(TABLES)}",
                *(f"INSERT INTO public.{table} TABLE copy.{table}" for table in TABLES),
            )


def file_of(location: FileLocation | None) -> object:
    """As the emulator's `StoredFile.location`."""
    if location is None:
        return None
    if (s3 := location.s3_file_location) is not None:
        return {
            "S3FileLocation": {
                "Bucket": s3.bucket,
                "Key": s3.key,
                "VersionId": s3.version_id,
                "Etag": s3.etag,
            }
        }
    efs = location.efs_file_location
    assert efs is not None
    return {"EfsFileLocation": {"FileSystemId": efs.file_system_id, "Path": efs.path}}


def in_ms(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(round(at * 1000) / 1000, UTC)


def told_step(step: Step | RecordedStep) -> tuple[object, ...]:
    error = step.error
    return (
        step.raw_step_type,
        step.name,
        step.started_at,
        step.ended_at,
        None if error is None else (error.raw_type, error.message),
        file_of(step.file_location),
    )


class Truth:
    """An upload whose execution has an id, and what may be said of it."""

    def __init__(self, upload: Upload, logging: Logging) -> None:
        self.upload, self.logging = upload, logging
        self.key = ExecutionKey(
            AccountId(ACCOUNT),
            Region(REGION),
            WorkflowId(upload.workflow_id),
            ExecutionId(upload.execution_id),
        )
        self.status = ExecutionStatus.EXCEPTION if upload.is_failed else ExecutionStatus.COMPLETED
        executed = upload.outcome is Outcome.EXECUTED
        self.started_at = in_ms(upload.started_at) if executed else None
        self.ended_at = in_ms(upload.ended_at)
        self.file = upload.file.location() if executed else None
        self.forgotten_at: float | None = None  # when the gateway first answered without AWS
        self.was_told = False  # the gateway has answered with AWS's own view of it

    @property
    def is_logged(self) -> bool:
        return self.logging is not Logging.NONE

    def steps(self, *, handlers: bool) -> list[tuple[object, ...]]:
        return [
            (
                step.step_type,
                step.name,
                in_ms(step.started_at),
                in_ms(step.ended_at),
                step.error,
                step.file.location(),
            )
            for step in self.upload.steps
            if step.is_handler == handlers
        ]

    def is_in_log(self, world: World, at: float) -> bool:
        """Whether an intact entry of it can be read."""
        groups = world.target(ACCOUNT, REGION).log_groups
        first_ms, last_ms = (
            int((self.upload.started_at - 1) * 1000),
            int((self.upload.ended_at + 1) * 1000),
        )
        return any(
            self._is_entry(event.message)
            for name in {name for name, _ in self.upload.destinations}
            for event in groups[name].between(first_ms, last_ms, int(at * 1000))
        )

    def _is_entry(self, message: str) -> bool:
        try:
            entry = json.loads(message)
        except ValueError:
            return False
        return (
            isinstance(entry, dict)
            and entry.get("executionId") == self.upload.execution_id
            and entry.get("workflowId") == self.upload.workflow_id
        )

    def check_record(self, known: Execution | None) -> None:
        """It is complete."""
        assert known is not None, f"{self.key} is missing"
        assert known.status is self.status, self.key
        assert (known.started_at, known.ended_at) == (self.started_at, self.ended_at), self.key
        assert not known.ending
        steps = known.results.steps if known.results else None
        handlers = known.results.on_exception_steps if known.results else None
        assert [told_step(step) for step in steps or ()] == self.steps(handlers=False), self.key
        assert [told_step(step) for step in handlers or ()] == self.steps(handlers=True), self.key
        if self.file is not None:
            assert file_of(known.initial_file_location) == self.file


class Scenario:
    """A world and a gateway, and what has happened to both."""

    def __init__(self, emulator: Emulator, settings: Settings, accounts: Path, database: Database) -> None:
        self.emulator, self.world, self.database = emulator, emulator.world, database
        self.settings, self._accounts = settings, accounts
        self.truths: list[Truth] = []
        self.gateway: Core | None = None
        self.sick_until = -1.0
        self.indexed_since = STARTS_AT  # what was logged later must be in the store, in the end
        self.is_sick = False
        self._stack = AsyncExitStack()
        self._number = 0

    async def start(self) -> None:
        sources = AccountsFile(self._accounts).load()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        clock = GatewayClock(monotonic=loop.time, wall=now)
        core = await self._stack.enter_async_context(build_core(self.settings, sources, AwsCalls(), clock))
        history = core.gateway._history
        assert history is not None
        running = history.store._operations._running
        loop.is_busy = lambda: bool(running)
        self.gateway = core
        for truth in self.truths:
            truth.forgotten_at = None

    async def stop(self) -> None:
        with standing_still():
            await self._stack.aclose()
        self._stack, self.gateway = AsyncExitStack(), None

    def upload(
        self, script: int, in_s: float, outcome: Outcome, duration_s: float, failing_step: int | None
    ) -> None:
        workflow_ids = list(self.world.target(ACCOUNT, REGION).workflows)
        self._number += 1
        upload = self.world.upload(
            ACCOUNT,
            REGION,
            workflow_ids[script],
            round(now() + in_s, 3),
            outcome=outcome,
            duration_s=duration_s,
            failing_step=None if failing_step is None else failing_step % len(WORKFLOWS[script].steps),
            seed=self._number,
        )
        if upload.execution_id:
            self.truths.append(Truth(upload, WORKFLOWS[script].logging))

    async def ask(self, max_age_s: float, *, with_records: bool = False) -> None:
        """About all executions, and one that never was. No answer may contradict what is true."""
        assert self.gateway is not None
        asked_at = now()
        truths = [truth for truth in self.truths if truth.upload.started_at < asked_at]
        known = [truth.is_in_log(self.world, asked_at - max_age_s) or truth.was_told for truth in truths]
        reader = self.gateway.gateway.reader(AUDIT)
        reader.with_records = with_records
        never = self._never()
        outcomes = await reader.describe_all(
            [*(truth.key for truth in truths), *never],
            max_age_s=max_age_s,
            deadline=asyncio.get_running_loop().time() + 10,
        )
        for truth, is_known, outcome in zip(truths, known, outcomes, strict=False):
            self._check(truth, outcome, asked_at - max_age_s, is_known=is_known)
        for scripted, outcome in zip(WORKFLOWS, outcomes[len(truths) :], strict=True):
            assert isinstance(outcome, GatewayError)
            if isinstance(outcome, ExecutionNotFound):
                self._check_reason(outcome, scripted.logging)
            else:
                self._check_error(outcome)

    def _never(self) -> list[ExecutionKey]:
        """An execution of each workflow that never was."""
        return [
            ExecutionKey(
                AccountId(ACCOUNT),
                Region(REGION),
                WorkflowId(workflow_id),
                ExecutionId(f"{number:08}-0000-4000-8000-000000000000"),
            )
            for number, workflow_id in enumerate(self.world.target(ACCOUNT, REGION).workflows)
        ]

    async def _describe(self, key: ExecutionKey) -> Execution:
        assert self.gateway is not None
        deadline = asyncio.get_running_loop().time() + 10
        return await self.gateway.gateway.reader(AUDIT).describe(key, max_age_s=0, deadline=deadline)

    def _check(
        self, truth: Truth, outcome: Execution | GatewayError, since: float, *, is_known: bool
    ) -> None:
        upload = truth.upload
        if isinstance(outcome, ExecutionNotFound):
            assert not upload.is_in_progress(since) or not upload.is_in_progress(now()), truth.key
            self._check_reason(outcome, truth.logging)
            assert outcome.reason is not NotFoundReason.NEVER_EXISTED or not is_known, (truth.key, upload)
            return
        if isinstance(outcome, GatewayError):
            self._check_error(outcome)
            return
        if Source.AWS not in outcome.recorded_by:
            truth.forgotten_at = truth.forgotten_at or now()
            is_soon = now() < max(truth.forgotten_at + _ENDING_FOR_S, self.sick_until + _UNREADABLE_FOR_S)
            assert not outcome.ending or is_soon or self.is_sick, truth.key
        if outcome.status in _RUNNING:
            assert outcome.recorded_by[0] is Source.AWS
            assert upload.started_at <= now(), truth.key
            assert upload.ends_at >= since, f"{truth.key} ended {since - upload.ends_at} s before"
            truth.was_told = True
        elif outcome.status is not None:
            assert upload.ended_at <= now()
            assert outcome.status is truth.status, truth.key
            assert outcome.ended_at == truth.ended_at
            assert not outcome.ending
        else:
            assert upload.ends_at <= now()
            assert outcome.ended_at is None
        assert outcome.started_at in {None, truth.started_at}
        if outcome.results is not None:
            self._check_steps(outcome.results.steps, truth.steps(handlers=False) + truth.steps(handlers=True))
            self._check_steps(outcome.results.on_exception_steps, truth.steps(handlers=True))

    def _check_steps(self, steps: Sequence[Step] | None, true: list[tuple[object, ...]]) -> None:
        """What is said of each is so; what is not known yet is missing."""
        for step in steps or ():
            told = told_step(step)
            assert any(
                all(
                    said in {None, so} if isinstance(said, str | datetime) else True
                    for said, so in zip(told, one, strict=True)
                )
                and told[4] in {None, one[4]}
                for one in true
            ), (told, true)

    def _check_reason(self, error: ExecutionNotFound, logging: Logging) -> None:
        if logging is Logging.NONE:
            assert error.reason in {NotFoundReason.NOT_LOGGED, NotFoundReason.LOG_UNREADABLE}, error
        else:
            assert error.reason in {NotFoundReason.NEVER_EXISTED, NotFoundReason.LOG_UNREADABLE}, error

    def _check_error(self, error: GatewayError) -> None:
        assert now() < self.sick_until + _UNREADABLE_FOR_S or self.is_sick, (error, error.message)

    async def check_end(self) -> None:
        """AWS works, and has for a while: whatever was logged is known."""
        await asyncio.sleep(_UNREADABLE_FOR_S + _LATE_S + 400)  # in driven time
        await self.ask(0)
        assert self.gateway is not None
        logged = [truth for truth in self.truths if truth.is_logged]
        for truth in logged:
            truth.check_record(await self._describe(truth.key))
        for scripted, key in zip(WORKFLOWS, self._never(), strict=True):
            with pytest.raises(ExecutionNotFound) as raised:
                await self._describe(key)
            assert raised.value.reason is (
                NotFoundReason.NOT_LOGGED
                if scripted.logging is Logging.NONE
                else NotFoundReason.NEVER_EXISTED
            )
        await self.stop()
        with standing_still():
            async with open_store(self.database.url, timeout_s=60) as store:
                stored = await store.records([truth.key for truth in logged])
        for truth in logged:
            if truth.upload.started_at > self.indexed_since:
                record = record_of(stored[truth.key].events)
                assert (record.status, record.ended_at) == (truth.status, truth.ended_at)
                assert [told_step(step) for step in record.steps] == truth.steps(handlers=False)


class standing_still:  # noqa: N801  used as a function
    """Time waits for what the loop doesn't see."""

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenTime)
        self._loop, self._before = loop, loop.is_busy
        loop.is_busy = lambda: True

    def __exit__(self, *_: object) -> None:
        self._loop.is_busy = self._before


@asynccontextmanager
async def emulating(world: World, log_settings: LogSettings) -> AsyncIterator[Emulator]:
    async with Emulator(world, port=0, clock=LoopClock(), log_settings=log_settings) as emulator:
        yield emulator


def described(truths: Iterable[Truth]) -> str:
    return "\n".join(str(truth.key) for truth in truths)
