"""Searches over everything that is known, through both servers. One service for all tests that only read."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from audited import Line, audited
from doors import Failed, RpcDoor, both_doors
from recorded import REMEMBERS, id_of, key_of, recorded_world, same, until_read, uploaded, workflow_of
from shared_service import SharedService, clear_environment, shared
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from transfer_gateway.settings import Settings
from wire import GUARDED, NOT_A_CURSOR, PLAIN, REGION, becomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from doors import Door, GraphQLDoor
    from transfer_emulator import Emulator, Upload, World

    Doors = tuple[GraphQLDoor, RpcDoor]
    Matches = Callable[[Upload], bool]

pytestmark = pytest.mark.early

UNKNOWN_ACCOUNT = "444444444444"
ACCOUNTS = f"""
defaults: {{ regions: [{REGION}, us-east-1] }}
accounts:
  - {{ id: "{PLAIN}", alias: payments-prod, tags: {{ team: payments, stage: prod }} }}
  - {{ id: "{GUARDED}", alias: Claims, external_id: "x-42", tags: {{ team: claims, stage: prod }} }}
"""
PLACES = ((PLAIN, REGION), (PLAIN, "us-east-1"), (GUARDED, REGION))


@dataclass(frozen=True)
class Recorded:
    """A world that is not changed any more, and the uploads in it that are logged, newest first."""

    world: World
    uploads: tuple[Upload, ...]
    now: float


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    world, scratch, now = recorded_world(), recorded_world(), time.time()
    uploads = []
    for number, (account_id, region) in enumerate(PLACES):
        place: dict[str, Any] = {"account_id": account_id, "region": region}
        uploads += [
            uploaded(world, "payments", ago_s=7200 + number, duration_s=60 + number, **place),
            uploaded(world, "payments", ago_s=3600 + number, duration_s=90, failing_step=1, **place),
            uploaded(world, "claims", ago_s=1800 + number, duration_s=30, **place),
            uploaded(world, "trades", ago_s=900 + number, duration_s=200, **place),
            *(
                steadily_running(scratch, world, now - ago_s - number, failing_step, **place)
                for ago_s, failing_step in ((300, None), (2000, 0))
            ),
        ]
        uploaded(world, "orders", ago_s=600, **place)  # nothing logs it
    by_start = sorted(uploads, key=lambda upload: upload.started_at, reverse=True)
    return Recorded(world, tuple(by_start), now)


def steadily_running(
    scratch: World, world: World, at: float, failing_step: int | None, account_id: str, region: str
) -> Upload:
    """An execution that changes in none of the next ten minutes; found by trying in a world of its own."""
    workflow_id, now = workflow_of(world, "payments", account_id, region), time.time()
    for seed in range(1000):
        tried, found = (
            partial(each.upload, account_id, region, workflow_id, at, duration_s=3000, seed=seed)
            for each in (scratch, world)
        )
        steps = tried(failing_step=failing_step).steps
        if not any(now - 60 < step.ended_at < now + 600 for step in steps) and (
            failing_step is None or steps[failing_step].ended_at < now
        ):
            return found(failing_step=failing_step)
    raise AssertionError("each seed has a step that ends soon")


@pytest.fixture
def world() -> World:
    """For tests with a service of their own."""
    return recorded_world()


@pytest.fixture(scope="module")
def remembering(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedService]:
    accounts_file = tmp_path_factory.mktemp("search") / "accounts.yaml"
    accounts_file.write_text(ACCOUNTS)
    with pytest.MonkeyPatch.context() as monkeypatch:

        def use(environment: Mapping[str, str]) -> None:
            clear_environment(monkeypatch)
            for name, value in environment.items():
                monkeypatch.setenv(name, value)

        def settings() -> Settings:
            here: dict[str, Any] = {"http_port": 0, "grpc_port": 0, "shutdown_delay_s": 0}
            return Settings.from_environment(
                accounts_file=accounts_file,
                request_timeout_s=90,
                history_timeout_s=30,  # however busy the machine is
                **REMEMBERS,
                **here,
            )

        with shared(recorded.world, use, settings) as service:
            yield service


@pytest.fixture
async def doors(
    remembering: SharedService, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Doors]:
    """Once everything has been read."""
    for name, value in remembering.environment.items():
        monkeypatch.setenv(name, value)
    async with both_doors(remembering, history=True) as doors:
        await until_read(doors[0])
        await becomes(
            lambda: counts(doors[0]),
            {"COMPLETED": 9, "EXCEPTION": 3, "HANDLING_EXCEPTION": 3, "IN_PROGRESS": 3},
        )
        yield doors


async def counts(door: Door) -> dict[str, int]:
    """By status; nothing while the store is busy with what is being read."""
    try:
        found = (await door.search({}, first=1, counts=True))["counts"]
    except Failed as failed:
        if not failed.error["retryable"]:
            raise
        return {}
    return {each["status"]: each["count"] for each in found["counts"] or ()}


async def ids(door: Door, wanted: dict[str, Any] | None = None, **options: Any) -> list[str]:
    found = await door.search(wanted, **options)
    return [execution["executionId"] for execution in found["executions"]]


async def same_search(doors: Doors, wanted: dict[str, Any] | None = None, **options: Any) -> Any:
    """What both doors answer. Their cursors differ: these have the time of the first page."""
    answers = [await door.search(wanted, **options) for door in doors]
    for answer in answers:
        answer |= {name: answer[name] is not None for name in ("next", "previous")}
        for place in answer["coverage"] or ():
            assert place.pop("completeUntil") > datetime.fromtimestamp(0, UTC)
    assert answers[0] == answers[1]
    return answers[0]


def is_running(upload: Upload) -> bool:
    return upload.ended_at > time.time()


def user(upload: Upload) -> str:
    return upload.user_name


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(round(seconds, 3), UTC).isoformat().replace("+00:00", "Z")


def failed_with(upload: Upload) -> str | None:
    return next((step["error"]["type"] for step in upload.told(time.time())["steps"] if step["error"]), None)


def duration_s(upload: Upload) -> float:
    return min(upload.ended_at, time.time()) - upload.started_at


@cache
def part_of_file(path: str) -> str:
    """Letters from inside of the name, in capitals."""
    return path.rpartition("/")[2][2:-3].upper()


# A filter for an upload, and which uploads match it.
FILTERS: dict[str, Callable[[Upload], tuple[dict[str, Any], Matches]]] = {
    "nothing": lambda _: ({}, lambda _: True),
    "account": lambda _: ({"accountIds": [GUARDED]}, lambda each: each.resources.account_id == GUARDED),
    "alias": lambda _: (
        {"accountAliases": ["PAYMENTS-prod"]},
        lambda each: each.resources.account_id == PLAIN,
    ),
    "tag": lambda _: (
        {"accountTags": [{"key": "team", "value": "claims"}]},
        lambda each: each.resources.account_id == GUARDED,
    ),
    "tags": lambda _: (
        {
            "accountTags": [
                {"key": "team", "value": "claims"},
                {"key": "team", "value": "payments"},
                {"key": "stage", "value": "prod"},
            ]
        },
        lambda _: True,
    ),
    "tag and alias of different accounts": lambda _: (
        {"accountAliases": ["claims"], "accountTags": [{"key": "team", "value": "payments"}]},
        lambda _: False,
    ),
    "region": lambda _: ({"regions": ["us-east-1"]}, lambda each: each.resources.region == "us-east-1"),
    "two regions": lambda _: ({"regions": ["us-east-1", REGION]}, lambda _: True),
    "workflow": lambda it: (
        {"workflowIds": [it.workflow_id]},
        lambda each: each.workflow_id == it.workflow_id,
    ),
    "id": lambda it: ({"executionIds": [it.execution_id.upper()]}, lambda each: each is it),
    "server": lambda it: ({"serverIds": [it.server_id]}, lambda each: each.server_id == it.server_id),
    "user": lambda it: ({"userNames": [user(it), "nobody"]}, lambda each: user(each) == user(it)),
    "session": lambda it: ({"sessionIds": [it.session_id]}, lambda each: each is it),
    "completed": lambda _: (
        {"statuses": ["COMPLETED"]},
        lambda each: not is_running(each) and not each.is_failed,
    ),
    "failed or failing": lambda _: (
        {"statuses": ["EXCEPTION", "HANDLING_EXCEPTION"]},
        lambda each: failed_with(each) is not None,
    ),
    "in progress": lambda _: (
        {"statuses": ["IN_PROGRESS"]},
        lambda each: is_running(each) and failed_with(each) is None,
    ),
    "running": lambda _: ({"running": True}, is_running),
    "ended": lambda _: ({"running": False}, lambda each: not is_running(each)),
    "result unknown": lambda _: ({"resultUnknown": True}, lambda _: False),
    "result known": lambda _: ({"resultUnknown": False}, lambda _: True),
    "error": lambda _: ({"errorTypes": ["BAD_REQUEST"]}, lambda each: failed_with(each) == "BAD_REQUEST"),
    "part of a file's name": lambda it: (
        {"fileName": f" {part_of_file(it.file.path)} "},
        lambda each: part_of_file(it.file.path).lower() in each.file.path,
    ),
    "kind of file": lambda _: ({"fileName": "Claims-"}, lambda each: "claims-" in each.file.path),
    "text in a file's name": lambda it: (
        {"text": part_of_file(it.file.path)},
        lambda each: part_of_file(it.file.path).lower() in each.file.path,
    ),
    "text in an id": lambda it: (
        {"text": it.execution_id[3:20]},
        lambda each: it.execution_id[3:20] in each.execution_id,
    ),
    "text in a user's name": lambda it: (
        {"text": user(it)[1:].upper()},
        lambda each: user(it)[1:] in user(each) or user(it)[1:] in each.file.path,
    ),
    "wildcards are letters": lambda _: ({"text": "%_%"}, lambda _: False),
    "started after": lambda it: (
        {"startedAfter": iso(it.started_at)},
        lambda each: each.started_at >= it.started_at,
    ),
    "started before": lambda it: (
        {"startedBefore": iso(it.started_at)},
        lambda each: each.started_at <= it.started_at,
    ),
    "ended after": lambda _: (
        {"endedAfter": iso(time.time() - 3000)},
        lambda each: not is_running(each) and each.ended_at > time.time() - 3000,
    ),
    "ended before": lambda _: (
        {"endedBefore": iso(time.time() - 3000)},
        lambda each: each.ended_at < time.time() - 3000,
    ),
    "long": lambda _: ({"minDurationS": 100.5}, lambda each: duration_s(each) > 100.5),
    "short": lambda _: ({"maxDurationS": 100.5}, lambda each: duration_s(each) < 100.5),
    "several": lambda _: (
        {"regions": [REGION], "running": False, "text": "inbound", "maxDurationS": 100},
        lambda each: each.resources.region == REGION and not is_running(each) and duration_s(each) < 100,
    ),
}


@pytest.mark.parametrize("name", FILTERS)
async def test_filters(doors: Doors, recorded: Recorded, name: str) -> None:
    """Exactly what matches is found, newest first, in either state, by both servers."""
    wanted, matches = FILTERS[name](recorded.uploads[-3])
    found = await same_search(doors, wanted, first=100)
    expected = [upload.execution_id for upload in recorded.uploads if matches(upload)]
    assert [execution["executionId"] for execution in found["executions"]] == expected
    assert (found["next"], found["previous"], found["hidden"]) == (False, False, [])


@pytest.mark.parametrize(
    ("order", "key", "reverse"),
    [
        ("NEWEST_FIRST", lambda upload: upload.started_at, True),
        ("OLDEST_FIRST", lambda upload: upload.started_at, False),
        ("LONGEST_FIRST", duration_s, True),
    ],
    ids=["newest", "oldest", "longest"],
)
async def test_orders_and_pages(
    doors: Doors,
    recorded: Recorded,
    order: str,
    key: Callable[[Upload], float],
    reverse: bool,  # noqa: FBT001  a case
) -> None:
    """Each order, read in pages to the end and back again, page by page the same."""
    expected = [upload.execution_id for upload in sorted(recorded.uploads, key=key, reverse=reverse)]
    for door in doors:
        pages, after = [], None
        while True:
            page = await door.search({}, order, first=7, after=after)
            pages.append(page)
            assert (page["previous"] is not None) is (after is not None)
            if (after := page["next"]) is None:
                break
        read = [execution["executionId"] for page in pages for execution in page["executions"]]
        if order == "LONGEST_FIRST":  # several lasted equally long
            assert sorted(read) == sorted(expected)
            lasted = {upload.execution_id: round(duration_s(upload)) for upload in recorded.uploads}
            assert [lasted[each] for each in read] == sorted(lasted.values(), reverse=True)
        else:
            assert read == expected
        before = pages[-1]["previous"]
        for page in reversed(pages[:-1]):
            back = await door.search({}, order, last=7, before=before)
            assert back["executions"] == page["executions"]
            assert back["next"] is not None
            before = back["previous"]
        assert before is None
        last = await door.search({}, order, last=4)
        assert [execution["executionId"] for execution in last["executions"]] == read[-4:]
        assert (last["next"], last["previous"] is not None) == (None, True)


async def test_an_ended_execution(doors: Doors, recorded: Recorded) -> None:
    """It is what a lookup of it answers."""
    for upload in (it for it in recorded.uploads if not is_running(it)):
        found = await same_search(doors, {"executionIds": [upload.execution_id]})
        assert found["executions"] == [await same(doors, "get", key_of(upload))]
        (execution,) = found["executions"]
        failed = next((step for step in upload.steps if step.error), None)
        assert execution["stepsDone"] == sum(not step.is_handler and not step.error for step in upload.steps)
        assert (execution["failedStep"] or {}).get("name") == (failed and failed.name)
        if failed is not None:
            assert execution["failedStep"]["error"]["type"] == failed_with(upload)


async def test_a_running_execution(doors: Doors, recorded: Recorded) -> None:
    """Its state is what its log tells."""
    for upload in filter(is_running, recorded.uploads):
        (execution,) = (await same_search(doors, {"executionIds": [upload.execution_id]}))["executions"]
        told = upload.told(recorded.now)
        assert (execution["status"], execution["rawStatus"]) == (told["status"], told["status"])
        # Before its log was read, AWS's list of what runs may have told of it.
        assert execution["recordedBy"] in (["LOG"], ["LOG", "OBSERVED"])
        assert (execution["ending"], execution["endedAt"]) == (False, None)
        assert execution["startedAt"].timestamp() == pytest.approx(upload.started_at, abs=0.001)
        assert execution["stepsDone"] == sum(
            step["ended_at"] is not None and step["error"] is None and not step["is_handler"]
            for step in told["steps"]
        )
        failed = next((step["name"] for step in told["steps"] if step["error"]), None)
        assert (execution["failedStep"] or {}).get("name") == failed


async def test_counts(doors: Doors, recorded: Recorded) -> None:
    """By status, of all that match and not of the page; nothing is counted unless asked for."""
    found = await same_search(doors, {"accountIds": [PLAIN]}, first=1, counts=True)
    by_status = {each["status"]: each["count"] for each in found["counts"]["counts"]}
    assert by_status == {"COMPLETED": 6, "EXCEPTION": 2, "HANDLING_EXCEPTION": 2, "IN_PROGRESS": 2}
    assert (found["counts"]["total"], found["counts"]["isExact"]) == (12, True)
    assert (await same_search(doors, {}))["counts"] is None


async def gaps(door: Door) -> set[str | None]:
    return {place["gap"] for place in (await door.coverage())["coverage"]}


async def test_coverage_of_an_answer(doors: Doors, recorded: Recorded) -> None:
    """The targets that the answer spans: here each has a workflow that nothing logs."""
    await becomes(lambda: gaps(doors[0]), {"NOT_LOGGED"})
    found = await same_search(doors, {"accountIds": [PLAIN]}, coverage=True)
    assert found["summary"] == {"covered": 0, "withGap": 2, "total": 2}
    assert [place["region"] for place in found["coverage"]] == [REGION, "us-east-1"]
    for place in found["coverage"]:
        orders = workflow_of(recorded.world, "orders", PLAIN, place["region"])
        assert place["account"] == {
            "accountId": PLAIN,
            "alias": "payments-prod",
            "regions": [REGION, "us-east-1"],
        }
        assert (place["gap"], place["unloggedWorkflows"], place["problem"]) == ("NOT_LOGGED", 1, None)
        assert orders in place["remedy"]
        assert place["since"].timestamp() < time.time() - 7200
        if place["server"] is not None:
            assert place["server"]["serverId"] in place["remedy"]


async def test_coverage_of_what_is_asked_for(doors: Doors, recorded: Recorded) -> None:
    """What nothing logs is no gap in an answer about other workflows."""
    await becomes(lambda: gaps(doors[0]), {"NOT_LOGGED"})
    for subject, with_gap in (("claims", 0), ("orders", 1)):
        workflow = workflow_of(recorded.world, subject, PLAIN, REGION)
        found = await same_search(doors, {"accountIds": [PLAIN], "workflowIds": [workflow]}, coverage=True)
        assert found["summary"] == {"covered": 2 - with_gap, "withGap": with_gap, "total": 2}
        assert [place["gap"] for place in found["coverage"]].count("NOT_LOGGED") == with_gap


async def test_coverage_in_pages(doors: Doors) -> None:
    """All targets in order, in pages of any size, and only those with a gap."""
    places = [(account_id, region) for account_id in (PLAIN, GUARDED) for region in (REGION, "us-east-1")]
    for gaps_only in (False, True):
        for door in doors:
            read, after = [], None
            while True:
                page = await door.coverage(filter={"gapsOnly": gaps_only}, first=3, after=after)
                read += [(each["account"]["accountId"], each["region"]) for each in page["coverage"]]
                if (after := page["next"]) is None:
                    break
            assert read == sorted(places)
            assert page["summary"] == {"covered": 0, "withGap": 4, "total": 4}
    here = await same(doors, "coverage", filter={"regions": ["us-east-1"], "accountIds": [GUARDED]})
    assert here["summary"] == {"covered": 0, "withGap": 1, "total": 1}


async def test_viewer(doors: Doors) -> None:
    """Without authentication everybody is anonymous, and sees everything."""
    found = await same(doors, "viewer")
    accounts = found.pop("accounts")
    assert found == {"name": "anonymous", "expiresAt": None, "hiddenFields": None}
    assert accounts == await same(doors, "accounts")


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("first-0", {"first": 0}, "page_size", "must be 1 to 1000; got 0."),
    ("first-1001", {"first": 1001}, "page_size", "must be 1 to 1000; got 1001."),
    ("last-0", {"last": 0}, "page_size", "must be 1 to 1000; got 0."),
    ("after", {"after": "bm9uc2Vuc2U="}, "page_token", NOT_A_CURSOR),
    ("before", {"before": "bm9uc2Vuc2U="}, "page_token", NOT_A_CURSOR),
    *(
        (f"{name}-{length}", {"wanted": {field: "x" * length}}, f"filter.{name}", "must have 1 to 256 characters")
        for name, field in (("text", "text"), ("file_name", "fileName"))
        for length in (0, 257, 10_240)
    ),
    ("text-blank", {"wanted": {"text": "  "}}, "filter.text", "must have 1 to 256 characters besides spaces"),
    *(
        (f"{name}-{length}", {"wanted": {field: ["x", "x" * length]}}, f"filter.{name}[1]", "must have 1 to 256")
        for name, field in (
            ("server_ids", "serverIds"),
            ("user_names", "userNames"),
            ("session_ids", "sessionIds"),
            ("account_aliases", "accountAliases"),
        )
        for length in (0, 257)
    ),
    *(
        (f"{name}-101", {"wanted": {field: ["x"] * 101}}, f"filter.{name}", "may contain at most 100 values; got 101.")
        for name, field in (("user_names", "userNames"), ("account_aliases", "accountAliases"))
    ),
    (
        "account_ids-101",
        {"wanted": {"accountIds": [PLAIN] * 101}},
        "filter.account_ids",
        "may contain at most 100 values; got 101.",
    ),
    ("account_ids", {"wanted": {"accountIds": ["12"]}}, "filter.account_ids[0]", "must match [0-9]{12}"),
    ("regions", {"wanted": {"regions": ["Mars"]}}, "filter.regions[0]", "must match"),
    (
        "region-elsewhere",
        {"wanted": {"regions": ["eu-west-2"]}},
        "filter.regions",
        "names eu-west-2, where you have no available account.",
    ),
    ("workflow_ids", {"wanted": {"workflowIds": ["w"]}}, "filter.workflow_ids[0]", "must match"),
    ("execution_ids", {"wanted": {"executionIds": ["e"]}}, "filter.execution_ids[0]", "must match"),
    (
        "tag-key",
        {"wanted": {"accountTags": [{"key": "", "value": "a"}]}},
        "filter.account_tags[0].key",
        "must have 1 to 256 characters",
    ),
    ("status", {"wanted": {"statuses": ["UNRECOGNIZED"]}}, "filter.statuses[0]", "must be one of"),
    ("error", {"wanted": {"errorTypes": ["UNRECOGNIZED"]}}, "filter.error_types[0]", "must be one of"),
    *(
        (
            f"{low}-range",
            {"wanted": {after: "2026-02-01T00:00:00Z", before: "2026-01-01T00:00:00Z"}},
            f"filter.{low}",
            "must not be later than filter.",
        )
        for low, after, before in (
            ("started_after", "startedAfter", "startedBefore"),
            ("ended_after", "endedAfter", "endedBefore"),
        )
    ),
    ("duration-negative", {"wanted": {"minDurationS": -1}}, "filter.min_duration_s", "must be 0 to 1000000000 seconds"),
    ("duration-huge", {"wanted": {"maxDurationS": 1e300}}, "filter.max_duration_s", "must be 0 to 1000000000 seconds"),
    (
        "duration-range",
        {"wanted": {"minDurationS": 2, "maxDurationS": 1}},
        "filter.min_duration_s",
        "must not be above filter.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("options", "field", "rule"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
@pytest.mark.variants(keep=12)
async def test_bad_input(doors: Doors, options: dict[str, Any], field: str, rule: str) -> None:
    """The same rule from both servers, with each API's name of the field."""
    for door in doors:
        with pytest.raises(Failed) as failed:
            await door.search(**options)
        assert failed.value.error["code"] == "BAD_USER_INPUT"
        assert rule in failed.value.error["message"]
        if isinstance(door, RpcDoor):
            assert failed.value.status is grpc.StatusCode.INVALID_ARGUMENT
            assert failed.value.error["field"] == field
            assert failed.value.error["message"].startswith(field)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        pytest.param(pb.SearchFilter(statuses=cast("Any", [99])), "filter.statuses[0]", id="status"),
        pytest.param(pb.SearchFilter(error_types=cast("Any", [0])), "filter.error_types[0]", id="error"),
        pytest.param(pb.SearchFilter(min_duration_s=float("nan")), "filter.min_duration_s", id="nan"),
        pytest.param(
            pb.SearchFilter(started_after=Timestamp(seconds=2**60)),
            "filter.started_after",
            id="time",
        ),
    ],
)
async def test_bad_input_of_grpc_alone(doors: Doors, wanted: pb.SearchFilter, field: str) -> None:
    """What GraphQL's types exclude."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await doors[1].stub.SearchExecutions(pb.SearchExecutionsRequest(filter=wanted))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(failed.value.details()).startswith(field)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await doors[1].stub.SearchExecutions(pb.SearchExecutionsRequest(order_by=99))  # type: ignore[arg-type]  # unknown
    assert str(failed.value.details()).startswith("order_by")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("first: 1, last: 1", "last must not be given together with `first`."),
        ('after: "a", before: "b"', "before must not be given together with `after`."),
        ('last: 1, after: "a"', "last goes with `before`, not with `after`."),
        ('first: 1, before: "a"', "first goes with `after`, not with `before`."),
    ],
)
async def test_directions_that_contradict_each_other(doors: Doors, arguments: str, rule: str) -> None:
    """Only GraphQL can ask for both; it is told which."""
    answer = await doors[0].gateway.ask(
        f"{{ searchExecutions(filter: {{}}, {arguments}) {{ edges {{ cursor }} }} }}"
    )
    assert answer["errors"][0]["message"] == rule
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_time_without_zone(doors: Doors) -> None:
    """It would mean different times to different people."""
    for text in ("2026-01-01T00:00:00", "2026-01-01", "yesterday", ""):
        with pytest.raises(Failed) as failed:
            await doors[0].search({"startedAfter": text})
        assert failed.value.error["code"] == "BAD_USER_INPUT"
        assert (
            f'DateTime must be ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z; got "{text}".'
            in (failed.value.error["message"])
        )


async def test_cursors_of_other_lists(doors: Doors) -> None:
    """A cursor of another order or of another list is refused, and so is a changed one."""
    for door in doors:
        cursor = (await door.search({}, first=1))["next"]
        with pytest.raises(Failed) as failed:
            await door.search({}, "OLDEST_FIRST", first=1, after=cursor)
        assert "is a cursor of a list with the order NEWEST_FIRST" in failed.value.error["message"]
        for bad in (cursor[:-1], cursor + "A", (await door.coverage(first=1))["next"]):
            with pytest.raises(Failed) as failed:
                await door.search({}, first=1, after=bad)
            assert NOT_A_CURSOR in failed.value.error["message"]
        with pytest.raises(Failed):
            await door.coverage(after=cursor)


@pytest.mark.parametrize(
    "wanted",
    [
        {"accountIds": [UNKNOWN_ACCOUNT]},
        {"accountAliases": ["payments-prod", "nothing"]},
        {"accountTags": [{"key": "team", "value": "nobody"}]},
        {"accountTags": [{"key": "nothing", "value": ""}]},
    ],
    ids=["id", "alias", "tag", "no-such-tag"],
)
async def test_accounts_that_are_not_available(doors: Doors, wanted: dict[str, Any]) -> None:
    """An account that is named and not visible is an error: an empty answer would say that nothing happened there."""
    for door in doors:
        with pytest.raises(Failed) as failed:
            await door.search(wanted)
        assert failed.value.error["code"] == "ACCOUNT_NOT_AVAILABLE"


async def test_an_account_in_a_region_that_it_lacks(doors: Doors) -> None:
    """The error is about the region: the caller sees the account elsewhere."""
    for door in doors:
        with pytest.raises(Failed) as failed:
            await door.search({"accountIds": [PLAIN], "regions": ["eu-west-2"]})
        assert failed.value.error["code"] == "ACCOUNT_NOT_AVAILABLE"
        assert failed.value.error["message"] == (
            f"Account {PLAIN} is not available in eu-west-2, only in other regions: not configured there, or "
            "not visible to you there."
        )


async def test_a_denied_and_a_hanging_account(
    world: World, aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """They delay nobody, and are named first, with why and what to do about it."""
    upload = uploaded(world, region=REGION)
    aws.faults.add(Fault(FaultKind.DENY, account_id=PLAIN, region="us-east-1"))
    aws.faults.add(Fault(FaultKind.HANG, operation="ListWorkflows", account_id=GUARDED, region=REGION))
    async with (
        server.running(settings(**REMEMBERS, request_timeout_s=5)) as service,
        both_doors(service) as doors,
    ):

        async def problems(door: Door = doors[0]) -> dict[tuple[str, str], str]:
            found = (await door.search({}, coverage=True))["coverage"]
            return {
                (each["account"]["accountId"], each["region"]): each["problem"]["code"]
                for each in found
                if each["problem"]
            }

        codes = {(PLAIN, "us-east-1"): "ACCESS_DENIED", (GUARDED, REGION): "DEADLINE_EXCEEDED"}
        await becomes(problems, codes)
        await becomes(lambda: ids(doors[0]), [upload.execution_id])
        for door in doors:
            started = time.monotonic()
            found = await door.search({}, coverage=True)
            assert time.monotonic() - started < 4  # not the deadline that the hanging account takes
            assert [each["executionId"] for each in found["executions"]] == [upload.execution_id]
            denied, hanging, *_ = sorted(found["coverage"], key=lambda each: each["gap"] != "UNREADABLE")
            for place, remedy in ((denied, "iam/"), (hanging, "network")):
                assert (place["gap"], place["problem"]["accountId"]) == (
                    "UNREADABLE",
                    place["account"]["accountId"],
                )
                assert remedy in place["remedy"]


async def test_history_off(doors: Doors, aws: Emulator, settings: Callable[..., Settings]) -> None:
    """A typed error says who can change it; you can still ask who you are."""
    async with server.running(settings(history_url="off")) as service, both_doors(service) as off:
        for door in off:
            for asked in (door.search({}), door.coverage()):
                with pytest.raises(Failed) as failed:
                    await asked
                assert failed.value.error["code"] == "HISTORY_OFF"
                assert failed.value.error["retryable"] is False
                assert "TRANSFER_GATEWAY_HISTORY_URL" in failed.value.error["remedy"]
            assert (await door.viewer())["name"] == "anonymous"


async def test_store_down(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """The store is named; the coverage still says what is known of each target."""
    down = {"history_url": "postgresql://gateway@127.0.0.1:1/history", "history_timeout_s": 1}
    async with server.running(settings(**down)) as service, both_doors(service) as doors:
        for door in doors:
            with pytest.raises(Failed) as failed:
                await door.search({}, counts=True)
            assert failed.value.error["code"] == "UPSTREAM_UNAVAILABLE"
            assert "history store" in failed.value.error["message"]
            assert (await door.coverage())["summary"]["total"] == 6


async def test_audit(world: World, aws: Emulator, accounts_file: Path) -> None:
    """Who searched, for which accounts and statuses, what was found; but not for which names or files."""
    newest = uploaded(world)
    secret = newest.file.path[3:-3]
    asked = {
        "found": "(filter: {}, first: 1) { edges { node { id } } }",
        "secret": f'(filter: {{ text: "{secret}" }}) {{ countsByStatus {{ total }} }}',
        "unavailable": f'(filter: {{ accountIds: ["{UNKNOWN_ACCOUNT}"] }}) {{ edges {{ cursor }} }}',
        "bad": "(filter: {}, first: 0) { edges { cursor } }",
    }
    async with audited(accounts_file, TRANSFER_GATEWAY_HISTORY_URL="sqlite://") as service:

        async def total() -> int:
            answer = await service.ask(
                "waiting", "{ searchExecutions(filter: {}) { countsByStatus { total } } }"
            )
            return int(answer["data"]["searchExecutions"]["countsByStatus"]["total"])

        await becomes(total, 1)
        for name, how in asked.items():
            await service.ask(name, f"{{ searchExecutions{how} }}")
        await service.ask("coverage", "{ coverage(first: 1) { edges { node { region } } } }")
        await service.call("rpc", "SearchExecutions", pb.SearchExecutionsRequest(page_size=1))
    found = Line("search_executions", (id_of(key_of(newest)),), "OK")
    assert {name: service.lines[name] for name in (*asked, "coverage", "rpc")} == {
        "found": [found],
        "secret": [found],
        "unavailable": [Line("search_executions", (), "ACCOUNT_NOT_AVAILABLE")],
        "bad": [],
        "coverage": [Line("list_coverage", (f"{PLAIN}/{REGION}",), "OK")],
        "rpc": [found],
    }
    assert secret not in json.dumps(service.lines)
