"""FilterLogEvents, as AWS's own clients see it."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiobotocore.session import get_session

from transfer_emulator import Clock, Emulator, Fault, FaultKind, LogGroup, LogSettings, World

ACCOUNT = "111111111111"
REGION = "eu-west-1"
GROUP = "/aws/transfer/s-0123456789abcdef0"
ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"
NOW = 1_767_225_600.0
NOW_MS = int(NOW * 1000)
UNLIMITED = LogSettings(calls_per_s=math.inf, empty_page_share=0.0)


@pytest.fixture
def group(world: World) -> LogGroup:
    """An empty group of the account."""
    return world.add_log_group(ACCOUNT, REGION, GROUP)


@pytest.fixture
async def emulator(world: World) -> AsyncIterator[Emulator]:
    """With a clock that stands still, without quota and random empty pages."""
    async with Emulator(world, clock=Clock.frozen(NOW), log_settings=UNLIMITED) as emulator:
        yield emulator


@pytest.fixture
async def logs(aws: Any) -> Any:
    """A client of the account's logs."""
    return aws.client("logs", await aws.session())


def put(group: LogGroup, *ages_s: float, stream: str = "a", text: str = "{}") -> list[str]:
    """Put an event of each age. Returns: their ids."""
    return [group.put(stream, text, NOW_MS - round(age_s * 1000)).event_id for age_s in ages_s]


async def pages(aws: Any, logs: Any, **asked: Any) -> list[list[dict[str, Any]]]:
    """All pages of a call, by the tokens; at most 100."""
    asked = {"logGroupName": GROUP, "startTime": NOW_MS - 3_600_000} | asked
    found = []
    for _ in range(100):
        answer = await aws.call(logs, "filter_log_events", **asked)
        assert answer["searchedLogStreams"] == []
        found.append(answer["events"])
        if "nextToken" not in answer:
            return found
        asked["nextToken"] = answer["nextToken"]
    pytest.fail("more than 100 pages")


async def ids(aws: Any, logs: Any, **asked: Any) -> list[str]:
    return [event["eventId"] for page in await pages(aws, logs, **asked) for event in page]


async def test_an_event_has_its_times_stream_message_and_id(group: LogGroup, aws: Any, logs: Any) -> None:
    """As it was put; ids have 56 digits."""
    event = group.put("user.w-1/x", "räksmörgås 🚚", NOW_MS - 1000, NOW_MS - 500)
    assert await pages(aws, logs) == [
        [
            {
                "logStreamName": "user.w-1/x",
                "timestamp": NOW_MS - 1000,
                "message": "räksmörgås 🚚",
                "ingestionTime": NOW_MS - 500,
                "eventId": event.event_id,
            }
        ]
    ]
    assert len(event.event_id) == 56


async def test_aiobotocores_paginator_reads_all(emulator: Emulator, group: LogGroup, aws: Any) -> None:
    """The client that the gateway uses, over 2,500 events in pages of 1,000."""
    put(group, *[age / 100 for age in range(2500)])
    session = await aws.session()
    async with get_session().create_client(
        "logs",
        endpoint_url=emulator.url,
        region_name=REGION,
        aws_access_key_id=session.access_key,
        aws_secret_access_key=session.secret_key,
        aws_session_token=session.token,
    ) as client:
        paginator = client.get_paginator("filter_log_events")
        found = [
            event["eventId"]
            async for page in paginator.paginate(logGroupName=GROUP, startTime=NOW_MS - 60_000, limit=1000)
            for event in page["events"]
        ]
    assert found == sorted(found)
    assert len(set(found)) == 2500


async def test_both_ends_of_the_time_range_are_included(group: LogGroup, aws: Any, logs: Any) -> None:
    """A range of one millisecond has that millisecond's events."""
    put(group, 10.001, 9.999)
    same = put(group, 10.0)
    assert await ids(aws, logs, startTime=NOW_MS - 10_000, endTime=NOW_MS - 10_000) == same


async def test_oldest_come_first_unless_asked_otherwise(group: LogGroup, aws: Any, logs: Any) -> None:
    """By time, then ingestion, in every size of page; newest first is the exact reverse."""
    put(group, 5, 400, 3, 700, 3, 3, 0)
    oldest_first = await ids(aws, logs)
    assert oldest_first == sorted(oldest_first)
    for limit in (1, 2, 3, 7):
        by_page = await pages(aws, logs, limit=limit)
        assert max(len(page) for page in by_page) <= limit
        assert [event["eventId"] for page in by_page for event in page] == oldest_first
        assert await ids(aws, logs, limit=limit, startFromHead=False) == oldest_first[::-1]


async def test_the_tokens_direction_wins(group: LogGroup, aws: Any, logs: Any) -> None:
    """`startFromHead` beside a token is ignored."""
    first, second, third = put(group, 3, 2, 1)
    asked = {"logGroupName": GROUP, "startTime": NOW_MS - 60_000, "limit": 1}
    page = await aws.call(logs, "filter_log_events", **asked, startFromHead=False)
    token = page["nextToken"]
    more = await aws.call(
        logs, "filter_log_events", **asked | {"limit": 9}, startFromHead=True, nextToken=token
    )
    assert [event["eventId"] for event in page["events"] + more["events"]] == [third, second, first]


async def test_what_is_not_yet_ingested_is_not_there(
    emulator: Emulator, group: LogGroup, aws: Any, logs: Any
) -> None:
    """An event appears at its ingestion, at its own time, which may precede events read before."""
    late = group.put("a", "{}", NOW_MS - 5000, NOW_MS + 2000).event_id
    prompt = put(group, 1)
    assert await ids(aws, logs) == prompt
    emulator.clock.advance(2.0)
    assert await ids(aws, logs) == [late, *prompt]


async def test_retention(emulator: Emulator, world: World, aws: Any, logs: Any) -> None:
    """Events older than the group's retention are gone."""
    group = world.add_log_group(ACCOUNT, REGION, GROUP, retention_s=60.0)
    put(group, 61, 59)
    assert len(await ids(aws, logs)) == 1
    emulator.clock.advance(2.0)
    assert await ids(aws, logs) == []


async def test_streams_by_name_and_by_prefix(group: LogGroup, aws: Any, logs: Any) -> None:
    """Up to 100 names, or a prefix."""
    first, second, third = (put(group, 1, stream=stream)[0] for stream in ("w-1/x", "w-1/y", "w-2/x"))
    assert await ids(aws, logs, logStreamNames=["w-1/x", "w-2/x", "absent"]) == [first, third]
    assert await ids(aws, logs, logStreamNamePrefix="w-1/") == [first, second]
    assert await ids(aws, logs, logStreamNamePrefix="w-1/x") == [first]


async def test_a_page_has_at_most_a_megabyte(group: LogGroup, aws: Any, logs: Any) -> None:
    """Counted in bytes of UTF-8 and 26 more for each event; a bigger event comes alone."""
    put(group, 4, 3, 2, text="ö" * 200_000)
    put(group, 1, text="x" * 2_000_000)
    sizes = [len(page) for page in await pages(aws, logs)]
    assert sizes == [2, 1, 1]


async def test_a_page_has_at_most_ten_thousand_events(group: LogGroup, aws: Any, logs: Any) -> None:
    """And as many are searched for one: what matches later is behind empty pages."""
    put(group, *[30 + number / 1000 for number in range(20_500)])
    put(group, 1, text='{"type": "rare"}')
    assert [len(page) for page in await pages(aws, logs)] == [10_000, 10_000, 501]
    assert [len(page) for page in await pages(aws, logs, filterPattern='{ $.type = "rare" }')] == [0, 0, 1]


async def test_pages_may_be_empty_and_not_the_last(group: LogGroup, world: World, new_aws: Any) -> None:
    """The tokens of empty pages lead to all events, even if time stands still; without start time they are certain."""
    events = put(group, *range(50, 0, -1))
    settings = LogSettings(calls_per_s=math.inf, empty_page_share=0.9)
    async with Emulator(world, clock=Clock.frozen(NOW), log_settings=settings) as emulator:
        aws = new_aws(emulator)
        logs = aws.client("logs", await aws.session())
        by_page = await pages(aws, logs, limit=10)
    assert sum(not page for page in by_page) >= 3
    assert [event["eventId"] for page in by_page for event in page] == events
    async with Emulator(world, clock=Clock.frozen(NOW), log_settings=UNLIMITED) as emulator:
        aws = new_aws(emulator)
        answer = await aws.call(
            aws.client("logs", await aws.session()), "filter_log_events", logGroupName=GROUP
        )
    assert answer["events"] == []
    assert answer["nextToken"]


async def test_a_group_by_its_arn(group: LogGroup, aws: Any, logs: Any) -> None:
    """By name, by identifier, by ARN; the form that ends in `:*` is refused, as are other accounts' and regions'."""
    put(group, 1)

    async def asked(**by: str) -> str:
        answer = await aws.raw("logs", "FilterLogEvents", by, credentials=session)
        return answer.code if answer.status != 200 else "found"

    session = await aws.session()
    assert await asked(logGroupName=GROUP) == "found"
    assert await asked(logGroupIdentifier=GROUP) == "found"
    assert await asked(logGroupIdentifier=ARN) == "found"
    assert await asked(logGroupIdentifier=f"{ARN}:*") == "InvalidParameterException"
    assert await asked(logGroupIdentifier=ARN.replace(REGION, "us-east-1")) == "ResourceNotFoundException"
    assert await asked(logGroupIdentifier=ARN.replace(ACCOUNT, "222222222222")) == "ResourceNotFoundException"
    assert await asked(logGroupIdentifier=ARN.replace(":logs:", ":s3:")) == "InvalidParameterException"
    assert await asked(logGroupName="/absent") == "ResourceNotFoundException"
    assert await asked(logGroupName=GROUP, logGroupIdentifier=GROUP) == "InvalidParameterException"
    assert await asked() == "InvalidParameterException"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"logGroupName": "a b"}, id="name"),
        pytest.param({"logStreamNames": ["a"], "logStreamNamePrefix": "a"}, id="names and prefix"),
        pytest.param({"logStreamNames": []}, id="no names"),
        pytest.param({"logStreamNames": ["a"] * 101}, id="too many names"),
        pytest.param({"logStreamNamePrefix": "a:*"}, id="prefix"),
        pytest.param({"filterPattern": "x" * 1025}, id="long pattern"),
        pytest.param({"filterPattern": "{ $.a == b }"}, id="pattern"),
        pytest.param({"limit": 0}, id="limit 0"),
        pytest.param({"limit": 10_001}, id="limit 10,001"),
        pytest.param({"startTime": -1}, id="negative time"),
        pytest.param({"startTime": 2, "endTime": 1}, id="end before start"),
        pytest.param({"startFromHead": False}, id="newest first without start"),
        pytest.param({"startFromHead": False, "startTime": 1_704_067_199_999}, id="newest first before 2024"),
        pytest.param({"nextToken": "forged"}, id="token"),
        pytest.param({"nextToken": "Zm9yZ2Vk.00000000000000000000000000000000"}, id="signed token"),
    ],
)
async def test_invalid_input_is_refused(group: LogGroup, aws: Any, asked: dict[str, Any]) -> None:
    """InvalidParameterException, also for what breaks a constraint of the model, with a message."""
    answer = await aws.raw(
        "logs", "FilterLogEvents", {"logGroupName": GROUP} | asked, credentials=await aws.session()
    )
    assert (answer.status, answer.code) == (400, "InvalidParameterException")
    assert json.loads(answer.body)["message"]


async def test_a_token_belongs_to_its_request_for_a_day(
    emulator: Emulator, group: LogGroup, aws: Any, logs: Any
) -> None:
    """Refused with another range, pattern or group, and after 24 hours; another page size is allowed."""
    put(group, 3, 2, 1)
    asked = {"logGroupName": GROUP, "startTime": NOW_MS - 60_000, "limit": 1}
    token = (await aws.call(logs, "filter_log_events", **asked))["nextToken"]
    for change in ({"startTime": NOW_MS - 60_001}, {"endTime": NOW_MS}, {"filterPattern": "x"}):
        answer = await aws.refused(logs, "filter_log_events", **asked | change, nextToken=token)
        assert answer["Error"]["Code"] == "InvalidParameterException"
    emulator.clock.advance(86_400)
    await aws.call(logs, "filter_log_events", **asked | {"limit": 9}, nextToken=token)
    emulator.clock.advance(0.001)
    answer = await aws.refused(logs, "filter_log_events", **asked, nextToken=token)
    assert answer["Error"]["Code"] == "InvalidParameterException"
    assert "expired" in answer["Error"]["Message"]


@pytest.mark.parametrize(("region", "quota"), [("us-east-1", 25), (REGION, 10)])
async def test_the_quota_is_each_accounts_in_each_region(
    world: World, new_aws: Any, region: str, quota: int
) -> None:
    """ThrottlingException beyond AWS's calls a second, while other accounts and regions are served."""
    async with Emulator(world) as emulator:
        aws = new_aws(emulator)
        session = await aws.session()

        async def code(region: str) -> str:
            asked = {"logGroupName": GROUP}
            return str(
                (await aws.raw("logs", "FilterLogEvents", asked, credentials=session, region=region)).code
            )

        started_at = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(code(region)) for _ in range(4 * quota)]
        codes = [task.result() for task in asked]
        served = codes.count("ResourceNotFoundException")
        assert quota <= served <= quota * (1 + time.monotonic() - started_at)
        assert set(codes) == {"ResourceNotFoundException", "ThrottlingException"}
        other = "us-east-1" if region == REGION else REGION
        assert await code(other) == "ResourceNotFoundException"


async def test_another_quota(world: World, new_aws: Any) -> None:
    """`calls_per_s` sets it; AWS's is 5 a second in Frankfurt."""
    async with Emulator(world, log_settings=LogSettings(calls_per_s=1.0)) as emulator:
        aws = new_aws(emulator)
        session = await aws.session()
        codes = {
            (await aws.raw("logs", "FilterLogEvents", {"logGroupName": GROUP}, credentials=session)).code
            for _ in range(5)
        }
    assert "ThrottlingException" in codes


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(FaultKind.DENY, service="logs"), "AccessDeniedException"),
        (Fault(FaultKind.THROTTLE, operation="FilterLogEvents"), "ThrottlingException"),
        (Fault(FaultKind.NO_LOG_GROUP, account_id=ACCOUNT), "ResourceNotFoundException"),
        (Fault(FaultKind.SERVER_ERROR, status=503, service="logs"), "ServiceUnavailableException"),
    ],
)
async def test_faults_of_the_logs_alone(
    emulator: Emulator, group: LogGroup, aws: Any, logs: Any, fault: Fault, code: str
) -> None:
    """The account's other calls are served."""
    emulator.faults.add(fault)
    answer = await aws.refused(logs, "filter_log_events", logGroupName=GROUP)
    assert answer["Error"]["Code"] == code
    if code == "AccessDeniedException":
        assert f"logs:FilterLogEvents on resource: arn:aws:logs:{REGION}:{ACCOUNT}:log-group:" in str(answer)
    await aws.call(aws.client("transfer", await aws.session()), "list_workflows")


@pytest.mark.parametrize("kind", [FaultKind.REPEATED_TOKEN, FaultKind.FRESH_TOKENS, FaultKind.EMPTY_PAGES])
async def test_pages_without_end(
    emulator: Emulator, group: LogGroup, aws: Any, logs: Any, kind: FaultKind
) -> None:
    """The same page, or an empty one, with a token, again and again."""
    put(group, 1)
    emulator.faults.add(Fault(kind))
    asked = {"logGroupName": GROUP, "startTime": NOW_MS - 60_000}
    tokens = []
    for _ in range(3):
        answer = await aws.call(logs, "filter_log_events", **asked)
        assert len(answer["events"]) == (0 if kind is FaultKind.EMPTY_PAGES else 1)
        tokens.append(asked.setdefault("nextToken", answer["nextToken"]))
        asked["nextToken"] = answer["nextToken"]
    assert len(set(tokens)) == (1 if kind is FaultKind.REPEATED_TOKEN else 2)


async def test_a_signature_for_another_service_is_refused(group: LogGroup, aws: Any) -> None:
    """The scope must be `logs`."""
    answer = await aws.raw("logs", "FilterLogEvents", {"logGroupName": GROUP}, scope_service="transfer")
    assert answer.code == "InvalidSignatureException"


async def test_other_operations_of_the_service_are_not_emulated(aws: Any, logs: Any) -> None:
    """As with Transfer's."""
    answer = await aws.refused(logs, "describe_log_streams", logGroupName=GROUP)
    assert answer["Error"]["Code"] == "UnknownOperationException"


async def test_groups_are_described_by_the_beginning_of_their_names(
    world: World, aws: Any, logs: Any
) -> None:
    """Sorted, in pages; retention is in days."""
    for name, retention_s in (("b/2", 86_400.0), ("b/1", math.inf), ("a", 1.0)):
        world.add_log_group(ACCOUNT, REGION, name, retention_s)
    first = await aws.call(logs, "describe_log_groups", logGroupNamePrefix="b/", limit=1)
    second = await aws.call(
        logs, "describe_log_groups", logGroupNamePrefix="b/", nextToken=first["nextToken"]
    )
    assert "nextToken" not in second
    described = {
        it["logGroupName"]: it.get("retentionInDays") for it in first["logGroups"] + second["logGroups"]
    }
    assert list(described.items()) == [("b/1", None), ("b/2", 1)]
