"""Log groups → events, whatever their entries are; and the calls on the wire."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from transfer_emulator import (
    Clock,
    Emulator,
    Fault,
    FaultKind,
    LogQuirks,
    LogSettings,
    Outcome,
    ScenarioSettings,
    World,
    demo_world,
)
from transfer_gateway.aws.decode_log import LogDecoder
from transfer_gateway.aws.logs import WORKFLOW_ENTRIES, Logs, entries_of
from transfer_gateway.build import build_core
from transfer_gateway.domain.account import Accounts
from transfer_gateway.domain.errors import AccessDenied, GatewayError, LogGroupNotFound, Throttled
from transfer_gateway.domain.event import EventKind, ExecutionEvent
from transfer_gateway.domain.execution import Source
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, Target, WorkflowId
from transfer_gateway.domain.log_group import LogGroup, LogGroupKey
from transfer_gateway.domain.log_page import DropReason, LogPage
from transfer_gateway.domain.record import record_of
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls
from wire import PLAIN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Upload
    from transfer_gateway.build import Core
    from transfer_gateway.domain.account import Account
    from transfer_gateway.settings import Settings

NOW = 1_767_225_600.0
NOW_MS = int(NOW * 1000)
SERVER = "s-1234567890abcdef0"
WORKFLOW = "w-abcdef01234567890"
EXECUTION = "1234abcd-56ef-48ab-90aa-1234567890ab"
GROUP = LogGroupKey(AccountId(PLAIN), Region("eu-west-1"), f"/aws/transfer/{SERVER}")
TARGET = Target(GROUP.account_id, GROUP.region)
TRANSFER = {"serverId": SERVER, "username": "lhr", "sessionId": "1234567890abcdef0"}
ENTRY = {
    "type": "StepStarted",
    "details": {
        "input": {
            "fileLocation": {
                "backingStore": "S3",
                "bucket": "b",
                "key": "in/a.csv",
                "versionId": "v",
                "etag": "e",
            }
        },
        "stepType": "TAG",
        "stepName": "tag it",
    },
    "workflowId": WORKFLOW,
    "executionId": EXECUTION,
    "transferDetails": TRANSFER,
}


def wire(message: str, **other: Any) -> dict[str, Any]:
    """An event of FilterLogEvents."""
    known = {"eventId": "1", "timestamp": NOW_MS, "ingestionTime": NOW_MS + 1500, "logStreamName": "lhr.x"}
    return known | {"message": message} | other


def decoded(*entries: Any, group: LogGroupKey = GROUP) -> LogPage:
    """A page with these messages, or events."""
    events = [it if isinstance(it, dict) and "eventId" in it else wire(_text(it)) for it in entries]
    return LogDecoder(group).page({"events": events})


def _text(entry: Any) -> str:
    return entry if isinstance(entry, str) else json.dumps(entry)


def event(**members: Any) -> ExecutionEvent:
    """Of ENTRY with other members."""
    (only,) = decoded(ENTRY | members).events
    return only


def test_an_entry() -> None:
    """Every member of it, with CloudWatch's times."""
    page = decoded(ENTRY)
    (only,) = page.events
    assert str(only.key) == f"{PLAIN}/eu-west-1/{WORKFLOW}/{EXECUTION}"
    assert (only.kind, only.raw_kind, only.source) == (EventKind.STEP_STARTED, "StepStarted", Source.LOG)
    assert (only.step_type, only.raw_step_type, only.step_name) == ("TAG", "TAG", "tag it")
    assert only.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert only.observed_at - only.occurred_at == timedelta(seconds=1.5)
    assert only.file_location is not None
    assert only.file_location.s3_file_location is not None
    assert only.file_location.s3_file_location.key == "in/a.csv"
    assert only.upload is not None
    assert (only.upload.user_name, only.upload.server_id) == ("lhr", SERVER)
    assert (only.details, only.error) == (None, None)
    assert (page.entries, page.unreadable, page.dropped, page.newest_lag_s) == (1, 0, (), 1.5)


@pytest.mark.parametrize(
    ("given_details", "expected"),
    [
        ({"output": {}}, "{}"),
        ({"output": {"a": [1]}, "stepName": "x"}, '{"a":[1]}'),
        ({}, None),
        ({"new": 1, "stepType": "COPY"}, '{"new":1}'),
        (7, None),
    ],
)
def test_outputs_are_the_details_of_a_steps_end(given_details: Any, expected: str | None) -> None:
    """As JSON; what AWS adds is kept."""
    assert event(type="StepCompleted", details=given_details).details == expected


def test_a_failed_steps_reason() -> None:
    """AWS's words; without any it still has failed."""
    told = event(type="StepErrored", details={"errorType": "BAD_REQUEST", "errorMessage": "Cannot tag"})
    assert told.error is not None
    assert (told.error.raw_type, told.error.message) == ("BAD_REQUEST", "Cannot tag")
    silent = event(type="StepErrored", details={}).error
    assert silent is not None
    assert (silent.raw_type, silent.message) == ("UNRECOGNIZED", "")


@pytest.mark.parametrize("name", ["filesystemId", "fileSystemId"])
def test_a_file_on_efs(name: str) -> None:
    """In either spelling, where an execution starts."""
    file = event(
        type="ExecutionStarted", details={"input": {"initialFileLocation": {name: "fs-1", "path": "/a"}}}
    )
    assert file.file_location is not None
    assert file.file_location.s3_file_location is None
    assert file.file_location.efs_file_location is not None
    assert file.file_location.efs_file_location.path == "/a"


def test_an_unknown_type_is_kept() -> None:
    """With all that it says."""
    told = event(type="StepProgressed", details={"percent": 50})
    assert (told.kind, told.raw_kind, told.details) == (
        EventKind.UNRECOGNIZED,
        "StepProgressed",
        '{"percent":50}',
    )


def test_long_details_are_cut() -> None:
    """Still JSON, and marked."""
    text = event(type="StepCompleted", details={"output": {"a": "x" * 100_000}}).details
    assert text is not None
    assert len(text) < 8192
    assert json.loads(text)["truncated"].startswith('{"a":"xxx')


@pytest.mark.parametrize(
    "message",
    [
        json.dumps(ENTRY)[:-1],
        ENTRY | {"workflowId": f"w-{WORKFLOW}"},
        ENTRY | {"executionId": "1234567890abcdef"},
        ENTRY | {"executionId": None},
        ENTRY | {"workflowId": ["w"]},
        ENTRY | {"type": None},
        ENTRY | {"type": "x" * 200},
        wire(json.dumps(ENTRY), timestamp=None),
        wire(json.dumps(ENTRY), timestamp=2**62),
        {"type": "ExecutionThrottled", "workflowId": "w-1"},
    ],
)
def test_what_cannot_be_read_is_counted(message: Any) -> None:
    """And stops nothing else."""
    page = decoded(message, ENTRY)
    assert (page.unreadable, len(page.events), page.entries) == (1, 1, 2)


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1",
        '{"activity-type": "CLOSE", "path": "/workflowId"}',
        {"type": "ExecutionThrottled", "details": {}, "connectorId": "c-1"},
        {"a": {"workflowId": WORKFLOW}},
        '["workflowId"]',
        wire("") | {"message": None},
    ],
)
def test_entries_of_others_are_skipped(message: Any) -> None:
    """Sessions', connectors', and those of whoever else logs there."""
    page = decoded(message)
    assert page == LogPage((), 1, 0, (), None, None)


def test_a_throttled_execution_is_dropped() -> None:
    """It has no id."""
    page = decoded(
        {"type": "ExecutionThrottled", "details": {}, "workflowId": WORKFLOW, "transferDetails": TRANSFER}
    )
    (dropped,) = page.dropped
    assert (dropped.reason, dropped.workflow_id, dropped.group) == (DropReason.THROTTLED, WORKFLOW, GROUP)
    assert dropped.upload is not None
    assert dropped.upload.session_id == TRANSFER["sessionId"]
    assert page.newest_lag_s == 1.5


@pytest.mark.parametrize("as_json", [False, True])
def test_a_workflow_that_did_not_start_is_dropped(*, as_json: bool) -> None:
    """Free text, of which the stream and the group tell the rest; or JSON."""
    text = "Service failure on starting workflow"
    entry = (
        json.dumps({"type": text, "workflowId": WORKFLOW, "transferDetails": TRANSFER}) if as_json else text
    )
    (dropped,) = decoded(wire(entry, logStreamName=f"lhr.{WORKFLOW}.0123")).dropped
    assert (dropped.reason, dropped.workflow_id) == (DropReason.NOT_STARTED, WORKFLOW)
    assert dropped.upload is not None
    assert (dropped.upload.user_name, dropped.upload.server_id) == ("lhr", SERVER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
LOCATIONS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["bucket", "key", "versionId", "etag", "filesystemId", "path", "backingStore"], JSON
    ),
)
DETAILS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["stepType", "stepName", "errorType", "errorMessage", "output", "other"], JSON)
    | {"input": st.fixed_dictionaries({}, optional={"fileLocation": LOCATIONS | JSON}) | JSON},
)
ENTRIES = st.fixed_dictionaries(
    {"type": st.sampled_from([*EventKind, "Service failure on starting workflow", "New"]) | JSON},
    optional={
        "details": DETAILS | JSON,
        "workflowId": st.just(WORKFLOW) | JSON,
        "executionId": st.just(EXECUTION) | JSON,
        "transferDetails": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(["serverId", "username", "sessionId"], JSON)
        )
        | JSON,
    },
)
EVENTS = st.fixed_dictionaries(
    {"message": ENTRIES.map(json.dumps) | JSON.map(json.dumps) | st.text()},
    optional={
        "eventId": st.text(),
        "timestamp": st.integers(-(2**63), 2**63 - 1),
        "ingestionTime": st.integers(-(2**63), 2**63 - 1),
        "logStreamName": st.text() | st.just(f"a.{WORKFLOW}.b"),
    },
)


@given(st.lists(EVENTS | st.none(), max_size=3), st.none() | st.text())
@example([wire(json.dumps(ENTRY).replace("tag it", "\\ud800"))], None)
@example([wire(json.dumps(ENTRY).replace("tag it", "a\\u0000b"))], None)
def test_anything_may_be_logged(events: list[Any], token: str | None) -> None:
    """Nothing raises, every entry is accounted for, and what is kept can be stored."""
    page = LogDecoder(GROUP).page({"events": events, "nextToken": token})
    assert page.entries == len(events)
    assert page.token == token
    assert len(page.events) + len(page.dropped) + page.unreadable <= page.entries
    for told in (*page.events, *page.dropped):
        text = repr(told)
        text.encode()
        assert "\\x00" not in text
    for told in page.events:
        assert told.details is None or (orjson.loads(told.details), len(told.details) <= 8192)[1]
        assert record_of([told]).key == told.key


@given(
    st.permutations([0, 1, 2, 3]), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)
)
def test_an_entry_says_the_same_however_it_is_written(order: list[int], name: str) -> None:
    """In any order of members, with or without spaces and escapes."""
    entry = ENTRY | {"details": {"stepType": "COPY", "stepName": name.replace("\0", "0")}}
    names = list(entry)
    shuffled = {names[at]: entry[names[at]] for at in order} | entry
    texts = [json.dumps(entry), json.dumps(shuffled, indent=1), orjson.dumps(shuffled).decode()]
    assert len({told.content for told in decoded(*texts).events}) == 1
    assert len(decoded(*texts).events) == 3


# On the wire.


@pytest.fixture
def world() -> World:
    """With all that a log can have."""
    quirks = LogQuirks(
        doubled_share=0.1, damaged_share=0.1, unknown_share=0.1, late_share=0.1, connector_share=0.1
    )
    shares = ScenarioSettings(
        nothing_ran_share=0.05, throttled_share=0.05, service_failure_share=0.05, quirks=quirks
    )
    return demo_world(7, 1, ("eu-west-1", "us-east-1"), shares)


@pytest.fixture
async def aws(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """With a clock that stands still, and without quota."""
    limits = LogSettings(calls_per_s=math.inf)
    async with Emulator(world, clock=Clock.frozen(NOW), log_settings=limits) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def logs(core: Core) -> Logs:
    assert core.logs is not None
    return core.logs


@pytest.fixture
def account(core: Core, world: World, settings: Any) -> Account:
    found = AccountsFile(settings().accounts_file).load().listed.find(PLAIN)
    assert found is not None
    return found


async def read(logs: Logs, account: Account, group: str, **asked: Any) -> list[LogPage]:
    """All pages of the last ten minutes."""
    end = datetime.fromtimestamp(NOW, UTC)
    pages = [
        await logs.filter_events(account, TARGET, group, start=end - timedelta(minutes=10), end=end, **asked)
    ]
    while pages[-1].token is not None:
        pages.append(
            await logs.filter_events(
                account,
                TARGET,
                group,
                start=end - timedelta(minutes=10),
                end=end,
                token=pages[-1].token,
                **asked,
            )
        )
        assert len(pages) < 500
    return pages


def uploads_of(world: World, group: str) -> list[Upload]:
    """Those that are logged there, and ended long ago."""
    since, until = NOW - 9 * 60, NOW - 90
    return [
        upload
        for upload in world.history(since, until, PLAIN, "eu-west-1")
        if since <= upload.started_at and upload.ended_at <= until and group in upload.told(NOW)["log_groups"]
    ]


async def test_records_equal_what_happened(world: World, logs: Logs, account: Account) -> None:
    """Of every execution of every group: status, times, steps, files and reasons, however its entries came."""
    compared = dropped = 0
    for group in world.target(PLAIN, "eu-west-1").log_groups:
        pages = await read(logs, account, group)
        events = {told.event_id: told for page in pages for told in page.events}
        by_key: dict[ExecutionKey, list[ExecutionEvent]] = {}
        for told in events.values():
            by_key.setdefault(told.key, []).append(told)
        dropped += sum(len(page.dropped) for page in pages)
        for upload in uploads_of(world, group):
            if not upload.execution_id:
                continue
            key = ExecutionKey(*TARGET, WorkflowId(upload.workflow_id), ExecutionId(upload.execution_id))
            record, truth = record_of(by_key[key]), upload.told(NOW)
            assert record.status == truth["status"]
            assert record.ended_at == datetime.fromtimestamp(truth["ended_at"], UTC)
            steps = [*record.steps, *record.on_exception_steps]
            assert [step.name for step in steps] == [step["name"] for step in truth["steps"]]
            assert [step.error is not None and step.error.message for step in steps] == [
                step["error"] is not None and step["error"]["message"] for step in truth["steps"]
            ]
            if upload.outcome is Outcome.EXECUTED:
                assert record.started_at == datetime.fromtimestamp(truth["started_at"], UTC)
                assert record.upload is not None
                assert record.upload.session_id == truth["session_id"]
            compared += 1
    assert compared > 50
    assert dropped > 0


async def test_sessions_are_not_transferred(world: World, logs: Logs, account: Account) -> None:
    """By the default pattern; without it they are read, and skipped."""
    group = next(
        name for name in world.target(PLAIN, "eu-west-1").log_groups if name.startswith("/aws/transfer/")
    )
    filtered, everything = await read(logs, account, group), await read(logs, account, group, pattern="")
    told = [{it.event_id for page in pages for it in page.events} for pages in (filtered, everything)]
    assert told[0] == told[1]
    counts = [sum(page.entries for page in pages) for pages in (filtered, everything)]
    assert counts[0] < counts[1]
    assert sum(page.unreadable for page in filtered) == sum(page.unreadable for page in everything) > 0


async def test_one_executions_entries(world: World, logs: Logs, account: Account) -> None:
    """By its id, newest first."""
    group = next(iter(world.target(PLAIN, "eu-west-1").log_groups))
    upload = next(it for it in uploads_of(world, group) if it.outcome is Outcome.EXECUTED)
    pages = await read(
        logs, account, group, pattern=entries_of(ExecutionId(upload.execution_id)), newest_first=True
    )
    times = [told.occurred_at for page in pages for told in page.events]
    assert times == sorted(times, reverse=True)
    assert {told.key.execution_id for page in pages for told in page.events} == {upload.execution_id}


async def test_what_cannot_be_read_is_logged_once(world: World, logs: Logs, account: Account) -> None:
    """With the entry's id, without its text."""
    group = world.add_log_group(PLAIN, "eu-west-1", "mine")
    for second in range(3):
        group.put("s", json.dumps(ENTRY | {"type": "", "secret": "hunter2"}), NOW_MS - 1000 * second)
    with capture_logs() as lines:
        for _ in range(2):
            pages = await read(logs, account, "mine")
            assert sum(page.unreadable for page in pages) == 3
    assert [line["event"] for line in lines].count("log_entries_unreadable") == 1
    assert "hunter2" not in str(lines)


async def test_a_group_that_is_not_there(logs: Logs, account: Account, world: World) -> None:
    """An error of its own, for both calls; a longer name is not it."""
    world.add_log_group(PLAIN, "eu-west-1", "/aws/transfer/s-1-old")
    for call in (
        read(logs, account, "/aws/transfer/s-1"),
        logs.describe_group(account, TARGET, "/aws/transfer/s-1"),
    ):
        with pytest.raises(LogGroupNotFound) as caught:
            await call
        assert caught.value.code == "LOG_GROUP_NOT_FOUND"
        assert caught.value.resource == f"{PLAIN}/eu-west-1//aws/transfer/s-1"


async def test_a_groups_retention(logs: Logs, account: Account, world: World) -> None:
    """In days; None is for ever."""
    for name, retention_s, days in (("week", 7 * 86_400.0, 7), ("ever", math.inf, None)):
        world.add_log_group(PLAIN, "eu-west-1", name, retention_s)
        assert await logs.describe_group(account, TARGET, name) == LogGroup(
            name, datetime(2024, 1, 1, tzinfo=UTC), days
        )


@pytest.mark.parametrize(("kind", "error"), [(FaultKind.DENY, AccessDenied), (FaultKind.THROTTLE, Throttled)])
async def test_failures(
    aws: Emulator, logs: Logs, account: Account, world: World, kind: FaultKind, error: type[Exception]
) -> None:
    """Of CloudWatch alone are told as such."""
    world.add_log_group(PLAIN, "eu-west-1", "mine")
    aws.faults.add(Fault(kind, service="logs", operation="FilterLogEvents"))
    with pytest.raises(error) as caught:
        await read(logs, account, "mine")
    assert "logs:FilterLogEvents" in str(caught.value)


# Only the request's deadline ends these.
WITHOUT_END = {FaultKind.HANG, FaultKind.DRIP, FaultKind.ENDLESS_CONTINUE}


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in WITHOUT_END])
@pytest.mark.parametrize("call", ["FilterLogEvents", "DescribeLogGroups"])
@pytest.mark.variants(keep=16)
async def test_whatever_is_answered(
    aws: Emulator, logs: Logs, account: Account, world: World, kind: FaultKind, call: str
) -> None:
    """Is read, or a failure that has a code; the next call is answered as ever."""
    world.add_log_group(PLAIN, "eu-west-1", "mine").put("s", json.dumps(ENTRY), NOW_MS - 1000)
    end = datetime.fromtimestamp(NOW, UTC)

    async def ask() -> object:
        if call == "DescribeLogGroups":
            return await logs.describe_group(account, TARGET, "mine")
        return await logs.filter_events(account, TARGET, "mine", start=end - timedelta(minutes=1), end=end)

    aws.faults.add(Fault(kind, service="logs", operation=call, code="InvalidParameterException"))
    with suppress(GatewayError):
        assert isinstance(await ask(), LogPage | LogGroup)
    aws.faults.clear()
    assert isinstance(await ask(), LogPage | LogGroup)


@pytest.mark.usefixtures("aws")
async def test_a_region_that_is_added(
    accounts_file: Path, settings: Callable[..., Settings], world: World
) -> None:
    """Logs are read there as soon as the accounts are in use."""
    world.add_log_group(PLAIN, "us-east-1", "mine")
    target, made = Target(GROUP.account_id, Region("us-east-1")), settings(history_url="sqlite://")
    accounts_file.write_text(f'accounts: [{{ id: "{PLAIN}", regions: [eu-west-1] }}]')
    sources = AccountsFile(accounts_file).load()
    async with build_core(made, sources, AwsCalls(), with_history=False) as core:
        (account,) = (replace(it, regions=(target.region,)) for it in sources.listed)
        await core.gateway.use_accounts(Accounts([account]))
        assert core.logs is not None
        assert (await core.logs.describe_group(account, target, "mine")).name == "mine"


async def test_a_page_full_of_commas(logs: Logs, account: Account, world: World) -> None:
    """A message is one value, however many are in it: whoever logs to a group can't keep others from being read."""
    group = world.add_log_group(PLAIN, "eu-west-1", "mine")
    group.put("s", "workflowId" + "{,[" * 300_000, NOW_MS - 2000)
    group.put("s", json.dumps(ENTRY), NOW_MS - 1000)
    pages = await read(logs, account, "mine")
    assert sum(len(page.events) for page in pages) == 1


def test_the_default_pattern() -> None:
    """Either term, by CloudWatch's syntax."""
    assert WORKFLOW_ENTRIES == '?"workflowId" ?"starting workflow"'
