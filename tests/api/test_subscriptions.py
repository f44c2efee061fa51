"""Subscriptions over both transports: what is told, how they resume and are refused, and that nothing is left."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from doors import GraphQLDoor
from recorded import REMEMBERS, id_of, key_of, recorded_world, until_read, uploaded
from streams import ALL_CHANGED, CHANGED, EVENTS, Messages, Refused, both, events, messages, rest_of
from wire import GUARDED, JSON, PLAIN, Gateway, becomes, calling, connected, socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from shared_service import SharedService
    from transfer_emulator import Upload, World

pytestmark = pytest.mark.early
CLOSELY = REMEMBERS | {"history_interval_s": 0.2}
KNOWN = (
    "query ($key: ExecutionKey!) { execution(key: $key) "
    "{ status events(first: 1000) { edges { node { kind occurredAt stepName } } } } }"
)
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
NEEDS_STREAM = "A subscription needs a stream"


@dataclass(frozen=True)
class Live:
    """A service that a module's tests share. `ended`, `running`: what it knows; others upload more."""

    world: World
    service: SharedService
    ended: Mapping[str, str]
    running: Mapping[str, str]

    @property
    def url(self) -> str:
        return self.service.url

    def upload(self, subject: str = "payments", **options: Any) -> dict[str, str]:
        return key_of(self.service.call(lambda: self._uploaded(subject, **options)))

    def _uploaded(self, subject: str, **options: Any) -> Upload:
        return uploaded(self.world, subject, **{"ago_s": 0.0, "duration_s": 1.5} | options)


@pytest.fixture(scope="module")
def module_live(share: Callable[..., SharedService]) -> Live:
    world = recorded_world()
    ended = key_of(uploaded(world, "payments"))
    running = key_of(uploaded(world, "trades", account_id=GUARDED, ago_s=100, duration_s=5000))
    return Live(world, share(world, **CLOSELY, live_max_subscriptions=60, grpc=False), ended, running)


@pytest.fixture
async def live(module_live: Live) -> Live:
    """Once it has read the logs."""
    async with calling(module_live.url) as gateway:
        await until_read(GraphQLDoor(gateway))
    return module_live


@pytest.fixture
async def gateway(live: Live) -> AsyncIterator[Gateway]:
    async with calling(live.url) as gateway:
        yield gateway


def told(changes: list[Any]) -> list[dict[str, str]]:
    """By their content: of an event that was logged twice, the record keeps one id, and may not have it at first."""
    return [event for change in changes for event in change["events"]]


async def events_of(gateway: Gateway, key: Mapping[str, str]) -> list[dict[str, str]]:
    found = await gateway.ask(KNOWN, key=key)
    return [edge["node"] for edge in found["data"]["execution"]["events"]["edges"]]


async def open_subscriptions(gateway: Gateway) -> int:
    lines = (await gateway.send("GET", "/metrics")).body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return int(float(values["transfer_gateway_live_subscribers"]))


async def test_one_execution_is_told_to_its_end(live: Live, gateway: Gateway) -> None:
    """Each event once and in order, then the end; both transports tell the same."""
    key = live.upload()
    async with both(live.url, CHANGED, key=key) as streams:
        changes = [[await stream.next()] for stream in streams]
        for stream, own in zip(streams, changes, strict=True):
            own.extend(await rest_of(stream))
    for own in changes:
        assert own[0]["execution"] == {"id": id_of(dict(key)), "status": "IN_PROGRESS"}
        assert own[-1]["execution"]["status"] == "COMPLETED"
        assert told(own) == await events_of(gateway, key)
    await becomes(lambda: open_subscriptions(gateway), 0)


async def test_one_that_has_ended_is_told_and_complete(live: Live, gateway: Gateway) -> None:
    async with both(live.url, CHANGED, key=live.ended) as streams:
        for stream in streams:
            (change,) = await rest_of(stream)
            assert told([change]) == await events_of(gateway, live.ended)


async def test_http_1_0_has_no_chunks(live: Live, gateway: Gateway) -> None:
    """Such a client, as many proxies are, reads to the connection's end."""
    asked = urlencode({"query": CHANGED, "variables": json.dumps({"key": live.ended})})
    async with connected(live.url) as (reader, writer):
        writer.write(f"GET /graphql?{asked} HTTP/1.0\r\naccept: {EVENTS['accept']}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert (b"transfer-encoding" in head, b"connection: close" in head) == (False, True)
    comment, change, end, rest = body.split(b"\n\n")
    assert (comment, end, rest) == (b":", b"event: complete\ndata:", b"")
    told_change = json.loads(change.partition(b"data: ")[2])["data"]["executionChanged"]
    assert told([told_change]) == await events_of(gateway, live.ended)


async def test_executions_that_match(live: Live) -> None:
    """First those in progress, then each change of what matches; of nothing else."""
    async with both(live.url, ALL_CHANGED, filter={"accountIds": [GUARDED]}) as streams:
        for stream in streams:
            first = await stream.next()
            assert (first["execution"]["id"], first["events"]) == (id_of(dict(live.running)), [])
        live.upload(account_id=PLAIN)
        new = live.upload(account_id=GUARDED)
        for stream in streams:
            kinds = []
            while "EXECUTION_COMPLETED" not in kinds:
                change = await stream.next()
                assert change["execution"]["id"].startswith(GUARDED)
                if change["execution"]["id"] == id_of(new):
                    kinds += [event["kind"] for event in change["events"]]
            assert kinds[0] == "EXECUTION_STARTED"


async def test_clients_go_on_where_they_were(live: Live, gateway: Gateway) -> None:
    """With `after`, or the header that `EventSource` sends by itself, which overrides it: nothing twice or missing."""
    key = live.upload(duration_s=0.8)
    changes: list[list[Any]] = [[], []]
    while not changes[0] or not changes[0][-1]["events"]:
        after = changes[0][-1]["cursor"] if changes[0] else None
        async with messages(live.url, CHANGED, key=key, after=after) as stream:
            changes[0].append(await stream.next())
    async with events(gateway, CHANGED, key=key) as stream:
        changes[1].append(await stream.next())
    for own, last_event_id in zip(changes, (None, changes[1][-1]["cursor"]), strict=True):
        after = own[-1]["cursor"] if last_event_id is None else "overridden"
        async with (
            messages(live.url, CHANGED, key=key, after=after)
            if last_event_id is None
            else events(gateway, CHANGED, key=key, after=after, last_event_id=last_event_id)
        ) as stream:
            own.extend(await rest_of(stream))
        assert told(own) == await events_of(gateway, key)
        async with events(gateway, CHANGED, key=key, after=own[-1]["cursor"]) as stream:
            assert await rest_of(stream) == []


async def test_executions_go_on_after_a_cursor(live: Live, gateway: Gateway) -> None:
    """What is in progress is not told again."""
    where = {"accountIds": [GUARDED]}
    async with messages(live.url, ALL_CHANGED, filter=where) as stream:
        while (change := await stream.next())["execution"]["id"] != id_of(dict(live.running)):
            pass
    key = live.upload(account_id=GUARDED)
    async with events(gateway, ALL_CHANGED, filter=where, after=change["cursor"]) as stream:
        while (change := await stream.next())["execution"]["id"] != id_of(key):
            assert change["execution"]["id"] != id_of(dict(live.running))


BAD: tuple[Any, ...] = (
    pytest.param(
        CHANGED, {"after": "nonsense"}, "BAD_USER_INPUT", "is not a cursor of this history", id="cursor"
    ),
    pytest.param(CHANGED, {"region": "Ireland"}, "BAD_USER_INPUT", "Region", id="key"),
    pytest.param(
        CHANGED, {"executionId": UNKNOWN_ID}, "EXECUTION_NOT_FOUND", "There never was", id="unknown"
    ),
    pytest.param(
        CHANGED, {"accountId": "123456789012"}, "ACCOUNT_NOT_AVAILABLE", "123456789012", id="account"
    ),
    pytest.param(ALL_CHANGED, {"filter": {"text": ""}}, "BAD_USER_INPUT", "filter.text", id="filter"),
    pytest.param(
        ALL_CHANGED, {"filter": {"running": True}}, "BAD_USER_INPUT", "filter.running", id="passing"
    ),
    pytest.param(ALL_CHANGED, {"filter": 1}, "BAD_USER_INPUT", "$filter", id="variable"),
    pytest.param("subscription {", {}, "GRAPHQL_PARSE_FAILED", "Syntax Error", id="syntax"),
    pytest.param(
        "subscription { a: executionsChanged { cursor } b: executionsChanged { cursor } }",
        {},
        "GRAPHQL_VALIDATION_FAILED",
        "must select only one top level field",
        id="two-fields",
    ),
    pytest.param(
        "subscription { executionsChanged { " + " ".join(f"c{n}: cursor" for n in range(60)) + " } }",
        {},
        "BAD_USER_INPUT",
        "max_aliases",
        id="limit",
    ),
)


@pytest.mark.parametrize(("query", "variables", "code", "says"), BAD)
async def test_refusals(
    live: Live, gateway: Gateway, query: str, variables: dict[str, Any], code: str, says: str
) -> None:
    """Both transports say the same. As events with status 200: clients of event streams retry any other status."""
    given = variables
    if query is CHANGED:
        key = {name: variables.get(name, value) for name, value in live.ended.items()}
        given = {"key": key, "after": variables.get("after")}
    refused = []
    async with messages(live.url, query, **given) as stream:
        with pytest.raises(Refused) as refusal:
            await stream.next()
        refused.append(refusal.value)
    async with events(gateway, query, **given) as stream:
        with pytest.raises(Refused) as refusal:
            await stream.next()
        assert await stream.next() is None
        refused.append(refusal.value)
    for each in refused:
        assert each.code == code
        assert says in each.error["message"]
        each.error["extensions"].pop("awsRequestId", None)
    assert refused[0].error == refused[1].error
    await becomes(lambda: open_subscriptions(gateway), 0)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        pytest.param("*/*", 400, id="anything"),
        pytest.param("application/json", 200, id="json"),
        pytest.param("application/graphql-response+json", 400, id="graphql"),
        pytest.param("text/event-stream;q=0, */*", 400, id="not-events"),
    ],
)
async def test_without_a_stream(live: Live, gateway: Gateway, accept: str, status: int) -> None:
    """By POST and GET, the refusal names the ways to subscribe."""
    query = "subscription { executionsChanged { cursor } }"
    for answer in (
        await gateway.post({"query": query}, accept=accept),
        await gateway.send("GET", "/graphql?" + urlencode({"query": query}), headers={"accept": accept}),
    ):
        assert answer.status == status
        (error,) = answer.json()["errors"]
        assert error["message"].startswith(NEEDS_STREAM)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_what_event_streams_are_like(live: Live, gateway: Gateway) -> None:
    """By GET, as from `EventSource`: headers and a comment at once, no cache, no proxy's buffer, no compression."""
    query = 'subscription { executionsChanged(filter: {userNames: ["nobody"]}) { cursor } }'
    headers = EVENTS | {"accept-encoding": "gzip"}
    async with gateway.open("GET", None, headers, "/graphql?" + urlencode({"query": query})) as response:
        assert response.status == 200
        given = dict(response.headers)
        assert given["Content-Type"] == "text/event-stream; charset=utf-8"
        assert given["Cache-Control"] == "no-store"
        assert given["x-accel-buffering"] == "no"
        assert "Content-Encoding" not in given
        assert await response.content.readline() == b":\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param("text/event-stream", "text/event-stream", id="events-only"),
        pytest.param("text/event-stream, application/json", "application/json", id="urql"),
    ],
)
async def test_queries_as_events(live: Live, gateway: Gateway, accept: str, kind: str) -> None:
    """One result and the end, for a client that accepts nothing else; a repeated one, too. A subscription streams."""
    query = {"query": "{ accounts { id } }"}
    expected = (await gateway.post(query)).body
    for _ in range(2):
        answer = await gateway.post(query, accept=accept)
        assert answer.headers["content-type"].partition(";")[0] == kind
        assert answer.body == (
            expected
            if kind == "application/json"
            else b"event: next\ndata: %b\n\nevent: complete\ndata:\n\n" % expected
        )
    body = json.dumps({"query": CHANGED, "variables": {"key": live.ended}}).encode()
    answer = await gateway.send("POST", body=body, headers=JSON | {"accept": accept})
    assert answer.body.endswith(b"event: complete\ndata:\n\n")


async def test_what_depends_on_the_caller_is_read_for_each(live: Live, gateway: Gateway) -> None:
    """Joined objects, variables below the root, directives and aliases work in a change as in a query."""
    fields = (
        "id ...More @include(if: $more) workflow { workflowId } server { serverId } first: events(first: $first) "
        "{ edges { node { kind } } } account { alias } results { steps { name definition { name } } }"
    )
    variables = "$key: ExecutionKey!, $first: Int!, $more: Boolean!"
    fragment = "fragment More on Execution { status startedAt }"
    given: dict[str, Any] = {"key": live.ended, "first": 2, "more": True}
    query = f"query ({variables}) {{ execution(key: $key) {{ {fields} }} }} {fragment}"
    changed = f"changed: executionChanged(key: $key) {{ execution {{ {fields} }} }}"
    subscription = f"subscription ({variables}) {{ {changed} }} {fragment}"
    expected = (await gateway.ask(query, **given))["data"]["execution"]
    async with both(live.url, subscription, **given) as streams:
        for stream in streams:
            (change,) = await rest_of(stream)
            assert change["execution"] == expected


async def test_clients_that_leave(live: Live, gateway: Gateway) -> None:
    """Nothing is left of a subscription that is completed, or whose connection is closed or lost."""
    key = dict(live.running)
    async with messages(live.url, CHANGED, key=key) as completed:
        await completed.next()
        await completed.client.send({"type": "complete", "id": "1"})
        await becomes(lambda: open_subscriptions(gateway), 0)
    async with both(live.url, CHANGED, key=key) as streams:
        for stream in streams:
            await stream.next()
        assert await open_subscriptions(gateway) == 2
    await becomes(lambda: open_subscriptions(gateway), 0)
    async with messages(live.url, CHANGED, key=key) as lost:
        await lost.next()
        lost.client.connection.transport.abort()
        await becomes(lambda: open_subscriptions(gateway), 0)


async def test_limits(live: Live, gateway: Gateway) -> None:
    """50 operations of a socket; and so many subscriptions in all, which a query is not."""
    where: dict[str, Any] = {"filter": {"userNames": ["nobody"]}}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(socket(live.url))
        for number in range(51):
            await client.subscribe(str(number), ALL_CHANGED, **where)
        message = await client.next()
        assert (message["id"], message["type"]) == ("50", "error")
        assert message["payload"][0]["message"] == "A connection may have 50 operations at a time."
        await becomes(lambda: open_subscriptions(gateway), 50)
        other = await stack.enter_async_context(socket(live.url))
        for number in range(50, 60):
            await other.subscribe(str(number), ALL_CHANGED, **where)
        await becomes(lambda: open_subscriptions(gateway), 60)
        await other.subscribe("60", CHANGED, key=live.running)
        with pytest.raises(Refused, match="At most 60 subscriptions are open at a time") as refusal:
            await Messages(other, "60").next()
        assert refusal.value.code == "THROTTLED"
        with pytest.raises(Refused, match="At most 60") as refusal:
            await stack.enter_async_context(events(gateway, ALL_CHANGED, **where))
        assert refusal.value.status == 429
        assert (await gateway.ask(KNOWN, key=live.ended))["data"]["execution"]["status"] == "COMPLETED"
    await becomes(lambda: open_subscriptions(gateway), 0)


async def test_subscriptions_of_one_text_share_what_is_rendered(live: Live) -> None:
    """And each gets what it selects itself, under another name too."""
    key, names = live.upload(duration_s=0.4), ("executionChanged", "renamed")
    texts = {name: CHANGED.replace("executionChanged", f"{name}: executionChanged") for name in names[1:]}
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(messages(live.url, texts.get(name, CHANGED), key=key))
            for name in names * 2
        ]
        everything = [await rest_of(stream) for stream in streams]
    for changes in everything[1:]:
        assert told(changes) == told(everything[0])
