"""What the scripted executions leave in the logs, and what truly happened."""

import json
import math
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import aiohttp
import pytest

from transfer_emulator import (
    NO_QUIRKS,
    WORKFLOWS,
    Clock,
    Emulator,
    Logging,
    LogQuirks,
    LogSettings,
    Outcome,
    ScenarioSettings,
    Upload,
    World,
    demo_world,
)
from transfer_emulator.scripted_executions import ScriptedExecutions

ACCOUNT = "111111111111"
REGION = "eu-west-1"
START = 1_767_225_600.0
MINUTES = 60.0
UNLIMITED = LogSettings(calls_per_s=math.inf)
SHARED_GROUP = "/aws/vendedlogs/transfer/workflows"
BY_SUBJECT = {script.subject: script for script in WORKFLOWS}


@pytest.fixture
def world() -> World:
    """One account with all that a log can have."""
    quirks = LogQuirks(
        doubled_share=0.1, damaged_share=0.1, unknown_share=0.1, late_share=0.1, connector_share=0.1
    )
    rare = 0.05
    settings = ScenarioSettings(
        nothing_ran_share=rare,
        throttled_share=rare,
        service_failure_share=rare,
        empty_file_share=rare,
        quirks=quirks,
    )
    return demo_world(7, 1, (REGION,), settings)


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[Emulator]:
    async with Emulator(world, clock=Clock.frozen(START), log_settings=UNLIMITED) as emulator:
        yield emulator


async def entries(aws: Any, group_name: str, minutes: float = 20, **asked: Any) -> list[dict[str, Any]]:
    """All events of a group, read over the wire."""
    logs = aws.client("logs", await aws.session())
    asked |= {"logGroupName": group_name, "startTime": int((START - minutes * MINUTES) * 1000)}
    found: list[dict[str, Any]] = []
    while True:
        page = await aws.call(logs, "filter_log_events", **asked)
        found += page["events"]
        if "nextToken" not in page:
            return found
        asked["nextToken"] = page["nextToken"]


async def all_entries(aws: Any, world: World, **asked: Any) -> dict[str, list[dict[str, Any]]]:
    return {name: await entries(aws, name, **asked) for name in world.target(ACCOUNT, REGION).log_groups}


def read(event: dict[str, Any]) -> dict[str, Any]:
    """An entry's members; {} for what is no JSON object."""
    return _parsed(event["message"])


@lru_cache(100_000)  # the entries of a log are read again for each upload
def _parsed(message: str) -> dict[str, Any]:
    try:
        entry = json.loads(message)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def ended(world: World, since: float = START - 15 * MINUTES) -> list[Upload]:
    """The uploads that began after `since` and ended long ago."""
    until = START - 1 * MINUTES
    return [
        upload
        for upload in world.history(since, until, ACCOUNT, REGION)
        if since <= upload.started_at and upload.ended_at <= until
    ]


def subject_of(upload: Upload) -> str:
    return upload.file.path.rpartition("/")[2].partition("-")[0]


def told_rows(told: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Type, time, step and error of each entry that an execution should have."""
    rows = [("ExecutionStarted", told["started_at"], None, None)]
    for step in told["steps"]:
        rows.append(("StepStarted", step["started_at"], step["name"], None))
        kind = "StepErrored" if step["error"] else "StepCompleted"
        rows.append((kind, step["ended_at"], step["name"], step["error"]))
    end = "ExecutionCompleted" if told["status"] == "COMPLETED" else "ExecutionErrored"
    return [*rows, (end, told["ended_at"], None, None)]


def logged_row(event: dict[str, Any], entry: dict[str, Any]) -> tuple[Any, ...]:
    """The same of an entry."""
    details, error = entry["details"], None
    if "errorType" in details:
        error = {"type": details["errorType"], "message": details["errorMessage"]}
    return entry["type"], event["timestamp"] / 1000, details.get("stepName"), error


def check_entry(entry: dict[str, Any], upload: Upload, told: dict[str, Any]) -> None:
    """Its ids and files are the upload's."""
    assert entry["workflowId"] == upload.workflow_id
    user = {"serverId": upload.server_id, "username": upload.user_name, "sessionId": upload.session_id}
    assert entry["transferDetails"] == user
    if entry["type"] == "ExecutionStarted":
        location = {key: value for key, value in told["file"].items() if key != "backingStore"}
        assert entry["details"] == {"input": {"initialFileLocation": location}}
    if entry["type"] == "StepStarted":
        step = next(step for step in told["steps"] if step["name"] == entry["details"]["stepName"])
        assert entry["details"]["input"] == {"fileLocation": step["file"]}


def is_intact(entry: dict[str, Any], execution_id: str) -> bool:
    """Whether it is this execution's, of a known type, and not damaged."""
    return (
        entry.get("executionId") == execution_id
        and "transferDetails" in entry
        and not entry["workflowId"].startswith("w-w-")
        and entry["type"] != "StepProgressed"
    )


async def test_the_log_tells_each_execution_from_start_to_end(
    emulator: Emulator, world: World, aws: Any
) -> None:
    """In each of its groups: type, times, files, steps and error of what truly happened; the rest is copies."""
    checked = Counter[str]()
    by_group = await all_entries(aws, world)
    for upload in ended(world):
        told = upload.told(START)
        for group_name in told["log_groups"] if upload.steps else []:
            rows = set()
            for event in by_group[group_name]:
                entry = read(event)
                if is_intact(entry, upload.execution_id):
                    check_entry(entry, upload, told)
                    rows.add(str(logged_row(event, entry)))
            assert rows == {str(row) for row in told_rows(told)}
            checked[subject_of(upload)] += 1
    assert set(checked) == {"payments", "claims", "trades"}
    assert min(checked.values()) > 10


async def test_who_logs_what(emulator: Emulator, world: World, aws: Any) -> None:
    """Both mechanisms, the workflow's, the server's, none; DescribeServer and DescribeWorkflow say so."""
    transfer = aws.client("transfer", await aws.session())
    destination = [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{SHARED_GROUP}:*"]
    servers = (await aws.call(transfer, "list_servers"))["Servers"]
    seen = {}
    for listed in servers:
        server = (await aws.call(transfer, "describe_server", ServerId=listed["ServerId"]))["Server"]
        assert listed.items() <= server.items()
        if "WorkflowDetails" not in server:
            assert "LoggingRole" not in server
            continue
        workflow_id = server["WorkflowDetails"]["OnUpload"][0]["WorkflowId"]
        workflow = (await aws.call(transfer, "describe_workflow", WorkflowId=workflow_id))["Workflow"]
        subject = workflow["Tags"][0]["Value"]
        seen[subject] = ("LoggingRole" in server, workflow.get("StructuredLogDestinations"))
        if subject == "claims":
            assert server["StructuredLogDestinations"] == destination
    assert seen == {
        "payments": (True, destination),
        "claims": (False, destination),
        "trades": (True, None),
        "orders": (False, None),
    }
    assert len(servers) == 5
    for upload in ended(world):
        logging = BY_SUBJECT[subject_of(upload)].logging
        own_group = f"/aws/transfer/{upload.server_id}"
        expected = {
            Logging.BOTH: [SHARED_GROUP, own_group],
            Logging.WORKFLOW: [SHARED_GROUP],
            Logging.SERVER: [own_group],
            Logging.NONE: [],
        }
        assert upload.told(START)["log_groups"] == expected[logging]


async def test_a_running_execution_says_where_it_is_logged(
    emulator: Emulator, world: World, aws: Any
) -> None:
    """LoggingConfiguration has the group, and the role if it is the server's; nothing if nothing is logged."""
    transfer = aws.client("transfer", await aws.session())
    seen = set()
    for upload in world.history(START, START):
        if upload.is_in_progress(START):
            ids = {"WorkflowId": upload.workflow_id, "ExecutionId": upload.execution_id}
            execution = (await aws.call(transfer, "describe_execution", **ids))["Execution"]
            logging = execution.get("LoggingConfiguration", {})
            groups = upload.told(START)["log_groups"]
            assert logging.get("LogGroupName") == (groups[-1] if groups else None)
            assert ("LoggingRole" in logging) == (f"/aws/transfer/{upload.server_id}" in groups)
            seen.add(subject_of(upload))
    assert seen == set(BY_SUBJECT)


async def test_streams_name_the_execution_or_the_user(emulator: Emulator, world: World, aws: Any) -> None:
    """`workflowId/executionId` of a workflow, `user.workflowId.suffix` of a server, `user.sessionId` of a session."""
    for upload in ended(world):
        for name, mechanism in upload.destinations:
            prefix = {
                "workflow": f"{upload.workflow_id}/{upload.execution_id}",
                "server": f"{upload.user_name}.{upload.workflow_id}.",
                "sessions": f"{upload.user_name}.{upload.session_id}",
            }[mechanism]
            if upload.steps:
                assert await entries(aws, name, logStreamNamePrefix=prefix)
        if upload.steps and len(upload.destinations) == 3:
            return
    pytest.fail("no execution is logged by both")


async def test_the_logs_have_all_that_hinders_a_reader(emulator: Emulator, world: World, aws: Any) -> None:
    """Late, doubled and damaged entries, free text, an unknown type, sessions, connectors, dropped executions."""
    by_group = await all_entries(aws, world)
    events = [event for group in by_group.values() for event in group]
    assert len({event["eventId"] for event in events}) == len(events)
    kinds = Counter(read(event).get("type", read(event).get("activity-type")) for event in events)
    assert kinds.keys() == {
        *("ExecutionStarted", "StepStarted", "StepCompleted", "StepErrored", "StepProgressed"),
        *("ExecutionCompleted", "ExecutionErrored", "ExecutionThrottled"),
        *("CONNECTED", "OPEN", "CLOSE", "PARTIAL_CLOSE", "DISCONNECTED"),
        None,
    }
    messages = {event["message"] for event in events}
    assert "Service failure on starting workflow" in messages
    assert any('"w-w-' in message for message in messages)
    assert any(message.startswith("{") and not message.endswith("}") for message in messages)
    assert any('"backingStore":"EFS"' in message for message in messages)
    assert any('"backingStore":"S3"' in message for message in messages)
    throttled = [entry for event in events if (entry := read(event)).get("type") == "ExecutionThrottled"]
    assert any("connectorId" in entry and "workflowId" not in entry for entry in throttled)
    assert any("workflowId" in entry for entry in throttled)
    assert not any("executionId" in entry for entry in throttled)
    for group in by_group.values():
        doubled = Counter((event["timestamp"], event["logStreamName"], event["message"]) for event in group)
        assert max(doubled.values()) > 1
        lags = [event["ingestionTime"] - event["timestamp"] for event in group]
        assert min(lags) >= 200
        assert 5_000 < max(lags) <= 30_000
        assert max(event["ingestionTime"] for event in group) <= START * 1000


async def test_what_starts_no_execution(emulator: Emulator, world: World, aws: Any) -> None:
    """Empty files are in the session's log alone, dropped executions have no id, and one fails before any step."""
    by_group = await all_entries(aws, world)
    seen = Counter[Outcome]()
    for upload in ended(world):
        if upload.server_id == "" or not upload.told(START)["log_groups"]:
            continue
        name = upload.told(START)["log_groups"][-1]
        own = [
            entry
            for event in by_group[name]
            if (entry := read(event)).get("transferDetails", {}).get("sessionId") == upload.session_id
        ]
        closed = [
            entry
            for event in by_group[name]
            if (entry := read(event)).get("session-id") == upload.session_id
            and "CLOSE" in entry["activity-type"]
        ]
        kinds = {entry["type"] for entry in own}
        match upload.outcome:
            case Outcome.EMPTY_FILE:
                assert kinds == set()
                assert closed[0]["bytes-in"] == "0"
            case Outcome.THROTTLED:
                assert kinds == {"ExecutionThrottled"}
            case Outcome.NOTHING_RAN:
                assert kinds == {"ExecutionErrored"}
                assert own[0]["executionId"] == upload.execution_id
            case Outcome.SERVICE_FAILURE:
                assert kinds == set()
                assert closed[0]["bytes-in"] == str(upload.size_bytes)
        seen[upload.outcome] += 1
    assert seen.keys() == set(Outcome)


async def test_the_api_forgets_what_has_ended(emulator: Emulator, world: World, aws: Any) -> None:
    """The end is in the log some time before or after DescribeExecution knows nothing of it."""
    transfer = aws.client("transfer", await aws.session())
    orders = Counter[bool]()
    by_group = await all_entries(aws, world)
    for upload in ended(world):
        if not upload.steps or not upload.told(START)["log_groups"]:
            continue
        assert upload.ended_at <= upload.ends_at <= upload.ended_at + 1.5
        group = by_group[upload.told(START)["log_groups"][0]]
        readable_at = min(
            event["ingestionTime"] / 1000
            for event in group
            if is_intact(entry := read(event), upload.execution_id)
            and entry["type"] in {"ExecutionCompleted", "ExecutionErrored"}
        )
        assert world.end_readable_at(upload, upload.told(START)["log_groups"][0]) == readable_at
        orders[readable_at < upload.ends_at] += 1
    assert set(orders) == {True, False}
    ids = {"WorkflowId": upload.workflow_id, "ExecutionId": upload.execution_id or "0" * 36}
    assert (await aws.refused(transfer, "describe_execution", **ids))["Error"][
        "Code"
    ] == "ResourceNotFoundException"


async def test_without_quirks_each_entry_is_there_once_and_at_once(new_aws: Any) -> None:
    """For tests that need an exact log."""
    settings = ScenarioSettings(quirks=NO_QUIRKS)
    world = demo_world(3, 1, (REGION,), settings)
    async with Emulator(world, clock=Clock.frozen(START), log_settings=UNLIMITED) as emulator:
        by_group = await all_entries(new_aws(emulator), world)
    for group in by_group.values():
        assert all(event["ingestionTime"] == event["timestamp"] for event in group)
        rows = [(event["timestamp"], event["message"]) for event in group]
        assert len(set(rows)) == len(rows)


async def test_an_upload_on_request(new_aws: Any) -> None:
    """In a world where nothing happens by itself; its execution runs, fails and ends by the clock."""
    settings = ScenarioSettings(quirks=NO_QUIRKS, is_automatic=False)
    world = demo_world(3, 1, (REGION,), settings)
    clock = Clock.frozen(START)
    async with Emulator(world, clock=clock, log_settings=UNLIMITED) as emulator:
        aws = new_aws(emulator)
        assert not any((await all_entries(aws, world)).values())
        workflow_id = next(iter(world.target(ACCOUNT, REGION).workflows))
        upload = world.upload(ACCOUNT, REGION, workflow_id, START, duration_s=8.0, failing_step=1)
        transfer = aws.client("transfer", await aws.session())
        ids = {"WorkflowId": workflow_id, "ExecutionId": upload.execution_id}
        statuses = []
        for _ in range(4):
            clock.advance(2.5)
            if clock.now() < upload.ends_at:
                statuses.append(
                    (await aws.call(transfer, "describe_execution", **ids))["Execution"]["Status"]
                )
        assert statuses == ["IN_PROGRESS", "HANDLING_EXCEPTION", "HANDLING_EXCEPTION"]
        await aws.refused(transfer, "describe_execution", **ids)
        kinds = [read(event)["type"] for event in await entries(aws, SHARED_GROUP)]
        assert kinds == [
            "ExecutionStarted",
            *("StepStarted", "StepCompleted", "StepStarted", "StepErrored"),
            *("StepStarted", "StepCompleted", "StepStarted", "StepCompleted"),
            "ExecutionErrored",
        ]
        assert [found.key for found in world.history(START, clock.now())] == [upload.key]


@pytest.mark.thorough
async def test_history_over_http(emulator: Emulator, world: World) -> None:
    """What truly happened until now, newest first, and nothing of the future; invalid parameters name themselves."""
    async with aiohttp.ClientSession(f"{emulator.url}/_emulator/") as http:

        async def shown(query: str, status: int = 200) -> Any:
            async with http.get(f"history{query}") as response:
                assert response.status == status
                return await response.json()

        told = await shown("")
        since = START - 3600
        assert told["now"] == START
        assert told["count"] == len(told["uploads"]) == len(list(world.history(since, START)))
        starts = [
            upload.started_at for upload in sorted(world.history(since, START), key=lambda u: -u.started_at)
        ]
        assert [row["started_at"] for row in told["uploads"] if row["started_at"]] == [
            upload.started_at
            for upload in sorted(world.history(since, START), key=lambda upload: -upload.started_at)
            if upload.execution_id
        ]
        assert max(starts) <= START
        for row in told["uploads"]:
            assert (row["ended_at"] or 0) <= START
            assert all(step["started_at"] <= START for step in row["steps"])
        one = told["uploads"][-1]
        assert (await shown(f"?workflow_id={one['workflow_id']}&limit=1"))["uploads"][0][
            "workflow_id"
        ] == one["workflow_id"]
        assert (await shown(f"?execution_id={one['execution_id']}"))["uploads"] == [one]
        assert (await shown(f"?account_id={ACCOUNT}&region={REGION}&since={START - 60}"))["count"] < told[
            "count"
        ]
        for query in (
            "?limit=0",
            "?since=x",
            "?since=0",
            "?until=inf",
            "?account_id=1",
            "?region=x",
            "?colour=blue",
        ):
            error = (await shown(query, 400))["error"]
            assert error.startswith(f"{query[1:].partition('=')[0]}: ")


def test_history_may_begin_at_a_time() -> None:
    """Nothing happened before `history_from`, so that a demo has an hour of past, not more."""
    world = demo_world(7, 1, (REGION,), ScenarioSettings(history_from=START - 3600))
    starts = [upload.started_at for upload in world.history(START - 86_400, START)]
    assert START - 3600 <= min(starts) < START - 3500
    assert len(starts) > 400
    groups = world.target(ACCOUNT, REGION).log_groups.values()
    now_ms = int(START * 1000)
    times = [event.timestamp_ms for group in groups for event in group.between(0, now_ms, now_ms)]
    assert (START - 3600) * 1000 <= min(times) < (START - 3500) * 1000


def test_days_of_reading_take_no_more_memory() -> None:
    """Uploads and entries are computed again when they are needed again, and are the same."""
    world = demo_world(7, 1, (REGION,))
    target = world.target(ACCOUNT, REGION)

    def read_ten_minutes(now: float) -> list[Any]:
        now_ms = int(now * 1000)
        return [
            (event.event_id, event.message)
            for group in target.log_groups.values()
            for event in group.between(now_ms - 600_000, now_ms, now_ms)
        ]

    first = read_ten_minutes(START)
    for hour in range(0, 72, 6):
        read_ten_minutes(START + hour * 3600)
    for workflow in target.workflows.values():
        assert isinstance(workflow.scripted, ScriptedExecutions)
        assert len(workflow.scripted._slots) < 60
    assert read_ten_minutes(START) == first
    assert [row for row in read_ten_minutes(START + 60) if row in first] != []


def test_added_uploads_are_kept_as_long_as_the_logs() -> None:
    """Those older than the retention are dropped when the next is added."""
    world = demo_world(3, 1, (REGION,), ScenarioSettings(is_automatic=False, retention_s=60.0))
    workflow_id = next(iter(world.target(ACCOUNT, REGION).workflows))
    for second in range(1000):
        world.upload(ACCOUNT, REGION, workflow_id, START + second, duration_s=1.0)
    assert 60 < len(list(world.history(START, START + 1000))) < 300


def test_any_scripts_can_be_emulated() -> None:
    """Such as one that is logged by its server, with executions of five seconds, each second."""
    script = replace(BY_SUBJECT["orders"], every_s=1.0, logging=Logging.SERVER)
    settings = ScenarioSettings(duration_s=(4.0, 5.0, 6.0))
    world = demo_world(1, 2, (REGION,), settings, [script])
    assert 5 < len(world.running(START)) < 20
    assert len(world.target(ACCOUNT, REGION).log_groups) == 1
