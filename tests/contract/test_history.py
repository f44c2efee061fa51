"""Executions that have ended, through both servers: what is known of them, and why nothing is."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from doors import Failed, GraphQLDoor, both_doors, selection
from recorded import (
    DAY_S,
    REGION,
    REMEMBERS,
    at,
    id_of,
    key_of,
    recorded_world,
    same,
    until_read,
    uploaded,
    workflow_of,
)
from transfer_emulator import Fault, FaultKind, LogQuirks, Outcome
from transfer_gateway import server
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.history.store import open_store
from wire import NOT_A_CURSOR, PLAIN, becomes
from wire import REGION as OTHER_REGION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from doors import Door, RpcDoor
    from shared_service import SharedService
    from transfer_emulator import Emulator, LogEvent, Upload, World
    from transfer_gateway.settings import Settings

    Doors = tuple[GraphQLDoor, RpcDoor]

pytestmark = pytest.mark.early

SUBJECTS = ("payments", "claims", "trades")
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def quirks() -> dict[str, Any]:
    """How the world's logs differ from what happens there."""
    return {}


@pytest.fixture
def world(quirks: dict[str, Any]) -> World:
    return recorded_world(**quirks)


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    """One target, so that each service that a test starts has little to read."""
    path = tmp_path / "accounts.yaml"
    path.write_text(f'defaults: {{ regions: [{REGION}] }}\naccounts: [{{ id: "{PLAIN}" }}]')
    return path


@pytest.fixture
async def doors(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[Doors]:
    async with remembering(settings) as doors:
        yield doors


@asynccontextmanager
async def remembering(settings: Callable[..., Settings], **overrides: Any) -> AsyncIterator[Doors]:
    async with (
        server.running(settings(**REMEMBERS | overrides)) as service,
        both_doors(service, history=True) as doors,
    ):
        yield doors


@dataclass(frozen=True)
class Past:
    """What a service that a module's tests share has read of: uploads by subject and failing step, and others."""

    world: World
    service: SharedService
    uploads: Mapping[Any, Upload]


@pytest.fixture(scope="module")
def past(share: Callable[..., SharedService]) -> Past:
    """For tests that change nothing."""
    world = recorded_world()
    uploads: dict[Any, Upload] = {
        (subject, step): uploaded(world, subject, failing_step=step)
        for subject in SUBJECTS
        for step in (None, 1)
    }
    uploads |= {
        "nothing ran": uploaded(world, outcome=Outcome.NOTHING_RAN),
        "not logged": uploaded(world, "orders"),
        "failed late": uploaded(world, failing_step=2),
        "running": uploaded(world, "trades", ago_s=5, duration_s=5000),
    }
    return Past(world, share(world, **REMEMBERS), uploads)


@pytest.fixture
async def past_doors(past: Past) -> AsyncIterator[Doors]:
    async with both_doors(past.service, history=True) as doors:
        await until_read(doors[0])  # what is unknown, and why, changes until then
        yield doors


def never(world: World, subject: str = "payments") -> dict[str, str]:
    """The key of an execution that never existed."""
    return {
        "accountId": PLAIN,
        "region": REGION,
        "workflowId": workflow_of(world, subject),
        "executionId": UNKNOWN_ID,
    }


def steps_told(upload: Upload, *, handlers: bool) -> list[tuple[Any, ...]] | None:
    """Of each step: type, name, start, end, error."""
    steps = [step for step in upload.told(time.time())["steps"] if step["is_handler"] is handlers]
    return [
        (
            step["step_type"],
            step["name"],
            at(step["started_at"]),
            at(step["ended_at"]),
            step["error"] and (step["error"]["type"], step["error"]["message"]),
        )
        for step in steps
    ] or None


def steps_answered(steps: list[dict[str, Any]] | None) -> list[tuple[Any, ...]] | None:
    if steps is None:
        return None
    return [
        (
            step["stepType"],
            step["name"],
            step["startedAt"],
            step["endedAt"],
            step["error"] and (step["error"]["type"], step["error"]["message"]),
        )
        for step in steps
    ]


def path_of(location: dict[str, Any] | None) -> str | None:
    """The file's name in its store."""
    if location is None:
        return None
    on_s3, on_efs = location["s3FileLocation"], location["efsFileLocation"]
    return str(on_s3["key"] if on_s3 else on_efs["path"].removeprefix("/"))


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize(("failing_step", "status"), [(None, "COMPLETED"), (1, "EXCEPTION")])
@pytest.mark.variants(keep=2)
async def test_an_ended_execution(
    past: Past, past_doors: Doors, subject: str, failing_step: int | None, status: str
) -> None:
    """Status, times, file, user, and each step with its name, times, file and error, whoever logged it."""
    world, doors, upload = past.world, past_doors, past.uploads[subject, failing_step]
    key = key_of(upload)
    found = await same(doors, "get", key)
    told = upload.told(time.time())
    assert found["status"] == found["rawStatus"] == told["status"] == status
    assert (found["startedAt"], found["endedAt"]) == (at(told["started_at"]), at(told["ended_at"]))
    assert found["durationS"] == pytest.approx(told["ended_at"] - told["started_at"], abs=0.001)
    assert (found["ending"], found["recordedBy"]) == (False, ["LOG"])
    assert path_of(found["initialFileLocation"]) == upload.file.path
    assert found["serviceMetadata"]["userDetails"] == {
        "userName": upload.user_name,
        "serverId": upload.server_id,
        "sessionId": upload.session_id,
    }
    results = found["results"]
    assert steps_answered(results["steps"]) == steps_told(upload, handlers=False)
    assert steps_answered(results["onExceptionSteps"]) == steps_told(upload, handlers=True)
    assert [path_of(step["fileLocation"]) for step in results["steps"]] == [
        step.file.path for step in upload.steps if not step.is_handler
    ]
    definitions = await same(doors, "get", key, definitions=True)
    assert [step["definition"]["name"] for step in definitions["results"]["steps"]] == [
        step["name"] for step in results["steps"]
    ]
    assert await same(doors, "batch", [key]) == [found]
    searched = await same(doors, "find", upload.execution_id)
    assert searched == {"execution": found, "targetsAsked": 0, "targetFailures": None}
    for elsewhere in ({"regions": [OTHER_REGION]}, {"workflowId": workflow_of(world, "orders")}):
        searched = await same(doors, "find", upload.execution_id, **elsewhere)
        assert searched["execution"] is None


async def test_an_execution_that_failed_before_its_first_step(past: Past, past_doors: Doors) -> None:
    """It has an end and no steps."""
    upload = past.uploads["nothing ran"]
    found = await same(past_doors, "get", key_of(upload))
    assert (found["status"], found["endedAt"]) == ("EXCEPTION", at(upload.ended_at))
    assert found["results"] is None


async def test_an_execution_in_progress(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """AWS's answer with what the log adds, if it is wanted; the list of executions has it, too."""
    upload = uploaded(world, ago_s=100, duration_s=2000)  # its first step takes more than 150 s
    key = key_of(upload)
    async with (
        server.running(settings(**REMEMBERS)) as service,
        both_doors(service, history=True) as doors,
        both_doors(service) as plain,
    ):
        for door in doors:

            async def names(door: Door = door) -> list[str]:
                results = (await door.get(key, 0))["results"] or {}
                return [step["name"] for step in results.get("steps") or ()]

            started = [step["name"] for step in upload.told(time.time())["steps"]]
            await becomes(names, started)
        found = await same(doors, "get", key, 0)
        assert (found["status"], found["recordedBy"]) == ("IN_PROGRESS", ["AWS", "LOG"])
        assert (found["startedAt"], found["endedAt"], found["durationS"]) == (
            at(upload.started_at),
            None,
            None,
        )
        assert steps_answered(found["results"]["steps"]) == steps_told(upload, handlers=False)
        assert found["executionRole"] is not None
        listed = await same(doors, "list_executions", details=True, maxAge=0)
        assert [entry["node"] for entry in listed["entries"]] == [found]
        less = await same(plain, "get", key, 0)
        assert less == await same(plain, "get", key, 0, in_progress_only=True)
        assert less.keys() < found.keys()
        assert len(less["results"]["steps"] or ()) <= len(found["results"]["steps"])


SLOW_LOG = LogQuirks((20.0, 20.0), 0.0, (0.0, 0.0), 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("quirks", [{"quirks": SLOW_LOG}])
async def test_an_execution_that_is_ending(world: World, aws: Emulator, doors: Doors) -> None:
    """AWS has forgotten it, and its end is not in the log yet: neither in progress nor ended."""
    upload = uploaded(world, ago_s=63, duration_s=60)
    key = key_of(upload)
    found = await same(doors, "get", key)
    assert (found["status"], found["rawStatus"], found["ending"]) == (None, None, True)
    assert (found["startedAt"], found["endedAt"]) == (at(upload.started_at), None)
    aws.clock.advance(30)
    for door in doors:

        async def status(door: Door = door) -> Any:
            found = await door.get(key, 0)
            return found["status"], found["ending"]

        await becomes(status, ("COMPLETED", False))


async def test_an_id_that_never_existed(past: Past, past_doors: Doors) -> None:
    """Said only where the log keeps everything. There is nothing to be done about it."""
    doors, key = past_doors, never(past.world)
    found = await same(doors, "get", key)
    assert (found["code"], found["reason"], found["remedy"]) == ("EXECUTION_NOT_FOUND", "NEVER_EXISTED", None)
    assert found["message"].startswith(f"There never was an execution {UNKNOWN_ID} of workflow")
    assert (found["accountId"], found["region"], found["awsRequestId"]) == (PLAIN, REGION, True)
    assert await same(doors, "batch", [key]) == [found]
    searched = await same(doors, "find", UNKNOWN_ID)
    reasons = {failure["error"]["reason"] for failure in searched["targetFailures"]}
    assert (searched["execution"], reasons) == (None, {"NOT_LOGGED"})


SINCE = re.compile(r"since (\d{4}-\d\d-\d\d \d\d:\d\d) UTC")


def minute_before(seconds: float) -> str:
    return f"{datetime.fromtimestamp(time.time() - seconds, UTC):%Y-%m-%d %H:%M}"


@pytest.mark.parametrize("quirks", [{"retention_s": DAY_S}])
async def test_an_id_that_may_have_expired(world: World, doors: Doors) -> None:
    """Where the log keeps entries for a time only, an unknown id may be of before."""
    told = []
    for door in doors:
        earliest = minute_before(DAY_S)
        found = await door.get(never(world))
        since = SINCE.search(found["message"])
        assert since is not None
        assert earliest <= since[1] <= minute_before(DAY_S)
        assert found["reason"] == "EXPIRED"
        assert "Either it ended before, or it never existed." in found["message"]
        assert found["remedy"].startswith("Raise the retention of log group ")
        told.append(found | {"message": SINCE.sub("since then", found["message"])})
    assert told[0] == told[1]


async def test_a_workflow_that_logs_nothing(past: Past, past_doors: Doors) -> None:
    """Neither what ended nor what never existed is known, and how to change that is."""
    upload = past.uploads["not logged"]
    async with asyncio.TaskGroup() as tasks:
        asked = [
            tasks.create_task(same(past_doors, "get", key))
            for key in (key_of(upload), never(past.world, "orders"))
        ]
    for found in (task.result() for task in asked):
        assert found["reason"] == "NOT_LOGGED"
        assert f"Server {upload.server_id}" in found["message"]
        assert "logging role" in found["remedy"]


UNREADABLE = [
    pytest.param(Fault(FaultKind.DENY, service="logs"), "denied", True, id="denied"),
    pytest.param(Fault(FaultKind.DENY, operation="ListServers"), "denied", True, id="servers-denied"),
    pytest.param(Fault(FaultKind.NO_LOG_GROUP, service="logs"), "no log group", False, id="no-group"),
    pytest.param(
        Fault(FaultKind.ERROR, service="logs", code="ThrottlingException"), "", False, id="throttled"
    ),
    pytest.param(Fault(FaultKind.HANG, service="logs"), "", False, id="hangs"),
]


@pytest.mark.parametrize(("fault", "why", "has_remedy"), UNREADABLE)
@pytest.mark.variants(keep=2)
async def test_a_log_that_can_not_be_read(
    world: World,
    aws: Emulator,
    settings: Callable[..., Settings],
    fault: Fault,
    why: str,
    has_remedy: bool,  # noqa: FBT001  a case
) -> None:
    """What ended and what never existed are unknown; what runs is answered as ever."""
    aws.faults.add(fault)
    ended, running = key_of(uploaded(world)), key_of(uploaded(world, ago_s=5, duration_s=500))
    async with remembering(settings, request_timeout_s=4, aws_read_timeout_s=2) as doors:
        async with asyncio.TaskGroup() as tasks:  # each may take its time
            asked = [tasks.create_task(door.get(key)) for key in (ended, never(world)) for door in doors]
        for found in (task.result() for task in asked):
            assert (found["code"], found["reason"]) == ("EXECUTION_NOT_FOUND", "LOG_UNREADABLE"), found
            assert why in found["message"]
            assert (found["remedy"] is not None) is has_remedy
        found = await same(doors, "get", running)
        assert found["status"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.DENY, operation="DescribeExecution"),
        Fault(FaultKind.HANG, operation="DescribeExecution"),
        Fault(FaultKind.ERROR, operation="DescribeExecution", code="InternalServiceError"),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_recorded_end_outlives_access(
    world: World, aws: Emulator, settings: Callable[..., Settings], fault: Fault
) -> None:
    """What has ended is answered from the record, whatever AWS says or does not say; what runs is not."""
    ended, running = key_of(uploaded(world)), key_of(uploaded(world, ago_s=5, duration_s=500))
    async with remembering(settings, request_timeout_s=2, aws_read_timeout_s=1) as doors:
        await until_read(doors[0])
        aws.faults.add(fault)
        found = await same(doors, "get", ended)
        assert (found["status"], found["recordedBy"]) == ("COMPLETED", ["LOG"])
        searched = await same(doors, "find", ended["executionId"])
        assert searched == {"execution": found, "targetsAsked": 0, "targetFailures": None}
        assert await same(doors, "batch", [ended]) == [found]
        for door in doors:
            refused = await door.get(running)
            assert refused["code"] in {"ACCESS_DENIED", "DEADLINE_EXCEEDED", "UPSTREAM_UNAVAILABLE"}
        alone = await doors[0].get(ended, in_progress_only=True)
        assert alone["code"] != "EXECUTION_NOT_FOUND"


async def test_aws_view_alone(past: Past, past_doors: Doors) -> None:
    """On request what has ended is not found, by key, in a batch, or by a search."""
    doors, upload = past_doors, past.uploads["payments", None]
    key = key_of(upload)
    assert (await same(doors, "get", key))["status"] == "COMPLETED"
    found = await same(doors, "get", key, in_progress_only=True)
    assert (found["reason"], found["remedy"]) == ("HISTORY_OFF", None)
    assert await same(doors, "batch", [key], in_progress_only=True) == [found]
    searched = await same(doors, "find", upload.execution_id, in_progress_only=True)
    assert searched["execution"] is None


async def test_without_history(world: World, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """It says so, and who can change it; there are no events."""
    upload = uploaded(world)
    async with remembering(settings, history_url="off") as doors:
        found = await same(doors, "get", key_of(upload))
        assert found["reason"] == "HISTORY_OFF"
        assert "TRANSFER_GATEWAY_HISTORY_URL" in found["remedy"]
        running = key_of(uploaded(world, ago_s=5, duration_s=500))
        found = await same(doors, "get", running)
        assert (found["recordedBy"], found["startedAt"]) == (["AWS"], None)
        assert await same(doors, "events", running) == {"events": [], "next": None}
    assert aws.calls.count(operation="FilterLogEvents") == 0


async def test_what_is_older_than_the_history(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """The log is searched for that one id."""
    upload = uploaded(world, ago_s=5 * 3600)
    async with remembering(settings, history_backfill_hours=0.5) as doors:
        found = await same(doors, "get", key_of(upload))
        assert (found["status"], found["endedAt"]) == ("COMPLETED", at(upload.ended_at))


async def test_what_retention_has_deleted(
    world: World, aws: Emulator, settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """The log is searched for what was read once, but is no longer stored."""
    upload = uploaded(world, ago_s=23 * 3600)
    groups = set(upload.told(time.time())["log_groups"])
    url = f"sqlite://{tmp_path}/history.db"
    kept = {"history_url": url, "history_backfill_hours": 30}  # more than the log keeps
    async with remembering(settings, **kept) as doors:

        async def is_past_read() -> bool:
            """All of it, also as the next service will know it: that one reads nothing again."""
            try:
                async with open_store(url) as store:
                    logs = await store.progress(Target(AccountId(PLAIN), Region(REGION)))
            except UpstreamUnavailable:  # the service makes its tables
                return False
            return logs.keys() >= groups and all(log.backfilled for log in logs.values())

        await becomes(is_past_read, expected=True)
        assert len((await same(doors, "events", key_of(upload)))["events"]) == len(upload.steps) * 2 + 2
    async with open_store(url, retention_days=0.1) as store:
        assert await store.prune() == 1
    async with remembering(settings, **kept) as doors:
        found = await same(doors, "get", key_of(upload))
        assert (found["status"], found["endedAt"]) == ("COMPLETED", at(upload.ended_at))


async def test_entries_that_come_late(world: World, doors: Doors) -> None:
    """An answer about what ended gets what is read later, although its end was known before."""
    upload = uploaded(world, "trades", ago_s=4, duration_s=2)
    group = world.target(PLAIN, REGION).log_groups[f"/aws/transfer/{upload.server_id}"]
    *others, end = entries_of(world, upload, group.name)
    group.sources.clear()

    def put(event: LogEvent) -> None:
        group.put(event.stream, event.message, event.timestamp_ms)

    async def known() -> tuple[Any, ...]:
        found = await same(doors, "get", key_of(upload), 0)
        return found["status"], found["startedAt"]

    put(end)
    await becomes(known, ("COMPLETED", None))
    for event in others:
        put(event)
    await becomes(known, ("COMPLETED", at(upload.started_at)))


async def test_history_outlives_workflow_and_server(world: World, doors: Doors) -> None:
    """An execution of a workflow and a server that were deleted; `workflow` and `server` say that these are gone."""
    upload = uploaded(world)
    key = key_of(upload)
    found = await same(doors, "get", key)
    target = world.target(PLAIN, REGION)
    del target.workflows[upload.workflow_id], target.servers[upload.server_id]
    assert await same(doors, "get", key, 0) == found
    asked = "query($key: ExecutionKey!) { execution(key: $key) { status server { id } workflow { id } } }"
    answer = await doors[0].gateway.ask(asked, key=key)
    assert answer["data"]["execution"]["status"] == "COMPLETED"


async def test_a_batch_of_all_kinds(past: Past, past_doors: Doors) -> None:
    """Each key has its own answer, in the order of the keys."""
    ended, running, unlogged = (
        key_of(past.uploads[name]) for name in (("payments", None), "running", "not logged")
    )
    found = await same(past_doors, "batch", [ended, never(past.world), running, unlogged, ended])
    assert [item.get("reason") or item["status"] for item in found] == [
        "COMPLETED",
        "NEVER_EXISTED",
        "IN_PROGRESS",
        "NOT_LOGGED",
        "COMPLETED",
    ]


def entries_of(world: World, upload: Upload, group_name: str) -> list[LogEvent]:
    """What a log has about the upload's execution, oldest first."""
    entries = world.target(PLAIN, REGION).log_groups[group_name].between(0, 2**62, 2**62)
    return [entry for entry in entries if upload.execution_id in entry.message]


async def event_ids(door: Door, key: dict[str, str]) -> list[str]:
    return [event["id"] for event in (await door.events(key))["events"]]


async def test_events(past: Past, past_doors: Doors) -> None:
    """All of them in order, in pages of any size; the same through both servers, and one by one as nodes."""
    doors, upload = past_doors, past.uploads["failed late"]
    key = key_of(upload)
    await same(doors, "get", key)
    groups = upload.told(time.time())["log_groups"]
    copies = past.service.call(lambda: [entries_of(past.world, upload, name) for name in groups])
    assert len(copies) == 2
    await becomes(
        lambda: event_ids(doors[0], key),
        [f"{id_of(key)}/{min(entry.event_id for entry in pair)}" for pair in zip(*copies, strict=True)],
    )
    page = await same(doors, "events", key)
    events = page["events"]
    assert page["next"] is None
    assert [event["kind"] for event in events] == [
        "EXECUTION_STARTED",
        *["STEP_STARTED", "STEP_COMPLETED"] * 2,
        "STEP_STARTED",
        "STEP_ERRORED",
        *["STEP_STARTED", "STEP_COMPLETED"] * 2,
        "EXECUTION_ERRORED",
    ]
    assert [event["occurredAt"] for event in events] == sorted(event["occurredAt"] for event in events)
    assert {event["source"] for event in events} == {"LOG"}
    (failure,) = [event["error"] for event in events if event["error"]]
    assert failure["message"] == upload.steps[2].error[1]  # type: ignore[index]  # it failed
    for door in doors:
        for first in (1, 3, 11):
            paged: list[Any] = []
            after = None
            while True:
                page = await door.events(key, first, after)
                paged += page["events"]
                assert len(page["events"]) == first or page["next"] is None
                after = page["next"]
                if after is None:
                    break
            assert paged == events
    for event in (events[0], events[-1]):
        answer = await doors[0].gateway.ask(
            f"query($id: ID!) {{ node(id: $id) {{ ... on ExecutionEvent {{ {selection('ExecutionEvent')} }} }} }}",
            id=event["id"],
        )
        assert doors[0]._even(answer["data"]["node"]) == event
    answer = await doors[0].gateway.ask(
        "query($id: ID!, $event: ID!) { a: node(id: $id) { id } b: node(id: $event) { id } }",
        id=id_of(key),
        event=f"{id_of(key)}/7",
    )
    assert answer == {"data": {"a": {"id": id_of(key)}, "b": None}}


async def test_bad_pages_of_events(past: Past, past_doors: Doors) -> None:
    """Sizes and cursors that are not ones, and cursors of other lists and executions."""
    doors = past_doors
    one, other = key_of(past.uploads["payments", None]), key_of(past.uploads["trades", None])
    for key in (one, other):
        await same(doors, "get", key)
    servers = (await doors[0].list_servers(first=1))["next"]
    for door in doors:
        foreign = (await door.events(other, 1))["next"]
        first, after = ("first", "after") if isinstance(door, GraphQLDoor) else ("page_size", "page_token")
        for size, cursor, says in (
            (0, None, f"{first} must be 1 to 1000; got 0."),
            (1001, None, f"{first} must be 1 to 1000; got 1001."),
            (
                1,
                "nonsense",
                f"{after} {NOT_A_CURSOR}",
            ),
            (
                1,
                servers,
                f"{after} {NOT_A_CURSOR}",
            ),
            (1, foreign, f"{after} must be a cursor of this execution's events."),
        ):
            with pytest.raises(Failed) as refused:
                await door.events(one, size, cursor)
            assert refused.value.error["code"] == "BAD_USER_INPUT"
            assert refused.value.error["message"] == says


async def test_servers(past: Past, past_doors: Doors) -> None:
    """All of them in pages, with their workflows and log groups; by account and region; each is a node."""
    doors, world = past_doors, past.world
    everything = (await same(doors, "list_servers", first=1000))["entries"]
    assert len(everything) == 2 * 2 * 5
    for door in doors:
        paged: list[Any] = []
        after = None
        while True:
            page = await door.list_servers(first=7, **({"after": after} if after else {}))
            paged += page["entries"]
            after = page["next"]
            if after is None:
                break
        assert paged == everything
    where = {"accountIds": [PLAIN], "regions": [REGION]}
    here = (await same(doors, "list_servers", filter=where))["entries"]
    assert here == [e for e in everything if (e["node"]["accountId"], e["node"]["region"]) == (PLAIN, REGION)]
    starts = {detail["workflowId"]: e["node"] for e in here for detail in e["node"]["onUpload"] or ()}
    by_subject = {
        name: starts[workflow_of(world, name)] for name in ("payments", "claims", "trades", "orders")
    }
    assert {name: node["logGroup"] is not None for name, node in by_subject.items()} == {
        "payments": True,
        "claims": False,
        "trades": True,
        "orders": False,
    }
    upload = past.uploads["payments", None]
    answer = await doors[0].gateway.ask(
        "query($key: ExecutionKey!, $id: ID!) { execution(key: $key) { server { id logGroup } workflow { id } } "
        "node(id: $id) { ... on Server { logGroup onUpload { workflowId } } } }",
        key=key_of(upload),
        id=by_subject["payments"]["id"],
    )
    server_id = by_subject["payments"]["id"]
    log_group = f"/aws/transfer/{upload.server_id}"
    assert answer["data"] == {
        "execution": {
            "server": {"id": server_id, "logGroup": log_group},
            "workflow": {"id": f"{PLAIN}/{REGION}/{upload.workflow_id}"},
        },
        "node": {"logGroup": log_group, "onUpload": [{"workflowId": upload.workflow_id}]},
    }
