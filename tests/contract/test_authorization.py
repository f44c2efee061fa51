"""Who sees what, through either door: by real tokens of a real issuer, and a policy file."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed

from command import started
from doors import Failed, both_doors, rpc
from issuer import AUDIENCE, LocalIssuer, SigningKey, Time
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_emulator import Fault, FaultKind
from transfer_gateway import server
from transfer_gateway.domain.errors import ErrorCode
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.settings import parse_policy
from wire import GUARDED, HOME, JSON, PLAIN, REGION, calling, place, socket, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from doors import Door
    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

UNKNOWN = "444444444444"
LEEWAY_S = 30  # the default
KEY = SigningKey("one")
POLICY = f"""
rules:
  - callers: {{ groups: [ops] }}
    accounts: {{ all: true }}
  - callers: {{ groups: [payments] }}
    accounts: {{ ids: ["{PLAIN}"] }}
    regions: [{REGION}]
  - callers: {{ subjects: [auditor] }}
    accounts: {{ aliases: ["payments-*"] }}
    hide: [executionRole, initialFileLocation, stepOutputs]
"""
CALLERS: dict[str, dict[str, Any]] = {
    "operator": {"sub": "olga", "groups": ["ops"]},
    "payments": {"sub": "paul", "groups": ["payments"]},
    "auditor": {"sub": "auditor"},
    "nobody": {"sub": "nina", "groups": ["others"]},
}
SEEN = {
    "operator": {PLAIN, GUARDED, HOME},
    "payments": {PLAIN},
    "auditor": {PLAIN},
    "nobody": set[str](),
}


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(Time(), KEY) as issuer:
        yield issuer


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
async def guarded(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path
) -> AsyncIterator[server.Service]:
    """The service, as it is by default: callers are asked who they are."""
    async with server.running(
        settings(
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy_file,
            accounts_reload_s=0.1,
            target_rate_per_s=1000,  # some tests here ask a lot
        )
    ) as service:
        yield service


@asynccontextmanager
async def doors_of(
    service: server.Service, issuer: LocalIssuer, caller: str
) -> AsyncIterator[tuple[Door, ...]]:
    async with both_doors(service, issuer.token(**CALLERS[caller])) as doors:
        yield doors


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("account_id", [PLAIN, GUARDED, UNKNOWN])
async def test_lookups(
    guarded: server.Service, issuer: LocalIssuer, world: World, aws: Emulator, caller: str, account_id: str
) -> None:
    """By key: what is visible is found; what is forbidden is what there is not, and AWS isn't asked for it."""
    key = to_input(place(world, account_id if account_id != UNKNOWN else PLAIN)) | {"accountId": account_id}
    workflow = {name: key[name] for name in ("accountId", "region", "workflowId")}
    visible = account_id in SEEN[caller]
    missing = {
        "code": "ACCOUNT_NOT_AVAILABLE",
        "message": f"Account {account_id} in region {REGION} is not available: "
        "not configured here, or not visible to you.",
        "retryable": False,
        "retryAfter": None,
        "accountId": account_id,
        "region": REGION,
        "awsRequestId": False,
    }
    async with doors_of(guarded, issuer, caller) as doors:
        for door in doors:
            for found in (
                await door.get(key),
                *await door.batch([key, key]),
                await door.get_workflow(workflow),
            ):
                if visible:
                    assert found["accountId"] == account_id
                else:
                    assert found == missing
    assert bool(aws.calls.count()) is visible


@pytest.mark.parametrize("caller", CALLERS)
async def test_searches(guarded: server.Service, issuer: LocalIssuer, world: World, caller: str) -> None:
    """Without a key: only what is visible is searched, listed and counted, whatever is asked for."""
    keys = [
        place(world, account_id, region)
        for account_id in (PLAIN, GUARDED)
        for region in (REGION, "us-east-1")
    ]
    seen = SEEN[caller]
    regions = {REGION} if caller == "payments" else {REGION, "us-east-1"}
    visible = {
        (key.account_id, key.region) for key in keys if key.account_id in seen and key.region in regions
    }
    async with doors_of(guarded, issuer, caller) as doors:
        for door in doors:
            accounts = await door.accounts() or []
            assert {account["accountId"] for account in accounts} == seen
            assert {region for account in accounts for region in account["regions"]} <= regions
            for listed in (await door.list_executions(), await door.list_workflows()):
                found = {(entry["node"]["accountId"], entry["node"]["region"]) for entry in listed["entries"]}
                assert found == visible
                assert listed["failures"] is None
            for key in keys:
                found = await door.find(key.execution_id)
                assert (found["execution"] is not None) is ((key.account_id, key.region) in visible)
                assert found["targetsAsked"] <= len(seen) * len(regions)
            for account_id in {PLAIN, GUARDED, UNKNOWN} - seen:
                with pytest.raises(Failed) as refused:
                    await door.find(keys[0].execution_id, accountIds=[account_id])
                assert refused.value.error["code"] == "ACCOUNT_NOT_AVAILABLE"


async def test_hidden_fields(guarded: server.Service, issuer: LocalIssuer, world: World) -> None:
    """What a policy hides is null by every way in, and can't be found out by filtering."""
    key = place(world)
    bucket = None
    async with doors_of(guarded, issuer, "operator") as doors:
        whole = [await door.get(to_input(key)) for door in doors]  # the snapshots are warm
        location = whole[0]["initialFileLocation"]
        bucket = location["s3FileLocation"]["bucket"]
        assert whole[0]["executionRole"] is not None
    async with doors_of(guarded, issuer, "auditor") as doors:
        for door in doors:
            for found in (
                await door.get(to_input(key)),
                *await door.batch([to_input(key)]),
                (await door.find(key.execution_id))["execution"],
                (await door.list_executions(details=True))["entries"][0]["node"],
            ):
                assert found["executionRole"] is None
                assert found["initialFileLocation"] is None
                steps = (found["results"] or {}).get("steps") or ()
                assert [step["outputs"] for step in steps] == [None] * len(steps)
                assert found["posixProfile"] == whole[0]["posixProfile"]
            assert (await door.list_executions(filter={"bucket": bucket}))["entries"] == []


async def test_kept_answers_are_of_one_scope(
    guarded: server.Service, issuer: LocalIssuer, world: World, aws: Emulator
) -> None:
    """Callers who see more and less take turns at one request, byte for byte: each is answered as it may see it."""
    key = to_input(place(world))
    async with (
        doors_of(guarded, issuer, "operator") as all_seen,
        doors_of(guarded, issuer, "auditor") as less_seen,
    ):
        for whole, hidden in zip(all_seen, less_seen, strict=True):
            for _ in range(3):
                assert (await whole.get(key, 3600))["executionRole"] is not None
                assert (await hidden.get(key, 3600))["executionRole"] is None
    assert aws.calls.count(operation="DescribeExecution") == 1


TOKENS: dict[str, Callable[[LocalIssuer], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "garbage": lambda _: "a.b.c",
    "expired": lambda issuer: issuer.token(exp=1, nbf=..., iat=...),
    "not-yet": lambda issuer: issuer.token(nbf=2**33),
    "audience": lambda issuer: issuer.token(aud="another"),
    "issuer": lambda issuer: issuer.token(iss="https://issuer.example.com"),
    "another-key": lambda issuer: issuer.token(key=SigningKey("one")),
}


@pytest.mark.parametrize("kind", TOKENS)
async def test_bad_tokens(
    guarded: server.Service, issuer: LocalIssuer, aws: Emulator, world: World, kind: str
) -> None:
    """Nobody comes in with less than a good token: UNAUTHENTICATED at both doors, and nothing is asked."""
    async with both_doors(guarded, TOKENS[kind](issuer)) as doors:
        for door in doors:
            for ask, *arguments in (
                (door.get, to_input(place(world))),
                (door.batch, []),
                (door.find, "00000000-0000-4000-8000-000000000000"),
                (door.list_executions,),
                (door.list_workflows,),
                (door.accounts,),
            ):
                with pytest.raises(Failed) as refused:
                    await ask(*arguments)
                assert refused.value.error["code"] == ErrorCode.UNAUTHENTICATED
                assert refused.value.status in {None, grpc.StatusCode.UNAUTHENTICATED}
    assert not aws.calls.count()


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        pytest.param(None, "required", id="nothing"),
        pytest.param("Basic b2xnYTpvbGdh", "`Bearer` and a token", id="password"),
        pytest.param("Bearer", "`Bearer` and a token", id="no-token"),
        pytest.param(f"Bearer {'x' * 20_000}", "longer than", id="20-kb"),
    ],
)
async def test_headers(guarded: server.Service, authorization: str | None, says: str) -> None:
    """A 401 says what is wrong, and how to ask; health is everybody's to know.

    A token may have 16 KB. Over HTTP that is for whoever keeps to HTTP_MAX_HEAD_BYTES: a larger head is 431, unread.
    """
    headers = JSON | ({"authorization": authorization} if authorization else {})
    async with calling(guarded.url) as gateway:
        answer = await gateway.send("POST", body=b'{"query":"{__typename}"}', headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        (error,) = answer.json()["errors"]
        assert says in error["message"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await gateway.send("GET", "/readyz")).status == 200


async def refusals(service: server.Service, token: str) -> list[tuple[str, str]]:
    """Code and message that each door refuses the token with."""
    found = []
    async with both_doors(service, token) as doors:
        for door in doors:
            with pytest.raises(Failed) as refused:
                await door.accounts()
            found.append((refused.value.error["code"], refused.value.error["message"]))
    return found


@pytest.mark.parametrize("characters", [9_000, 16_384, 16_385, 30_000])
async def test_long_tokens(guarded: server.Service, characters: int) -> None:
    """Up to 32 KB of headers both doors refuse a long token alike, and more than 16,384 characters for their number."""
    http, rpc = await refusals(guarded, "x" * characters)
    assert http == rpc
    says = (
        "The token is longer than 16384 characters."
        if characters > 16_384
        else "The token is not a signed JWT."
    )
    assert http == ("UNAUTHENTICATED", says)


async def test_a_head_that_is_too_large(guarded: server.Service) -> None:
    """More than 32 KB of headers are refused before a token is looked for: with 431, and RESOURCE_EXHAUSTED."""
    token = "x" * 40_000
    async with grpc.aio.insecure_channel(guarded.grpc) as channel:
        call: Any = ExecutionServiceStub(channel).ListAccounts(
            pb.ListAccountsRequest(), metadata=[("authorization", f"Bearer {token}")]
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with calling(guarded.url) as gateway:
        headers = JSON | {"authorization": f"Bearer {token}"}
        answer = await gateway.send("POST", body=b'{"query":"{__typename}"}', headers=headers)
        assert answer.status == 431


async def test_websocket(guarded: server.Service, issuer: LocalIssuer, world: World) -> None:
    """Over WebSocket the first message has the token; without a good one the connection is closed with 4403."""
    key = to_input(place(world, GUARDED))
    query = "query($key: ExecutionKey!) { executionOrError(key: $key) { __typename } }"
    for caller, expected in (("operator", "Execution"), ("payments", "AccountNotAvailable")):
        token = issuer.token(**CALLERS[caller])
        for payload, headers in (
            ({"authorization": f"Bearer {token}"}, {}),
            ({}, {"authorization": f"Bearer {token}"}),
        ):
            async with socket(guarded.url, init=False, additional_headers=headers) as client:
                await client.send({"type": "connection_init", "payload": payload})
                assert (await client.next())["type"] == "connection_ack"
                await client.subscribe("1", query, key=key)
                answer = await client.next()
                assert answer["payload"]["data"]["executionOrError"]["__typename"] == expected
    for refused in ({}, {"authorization": "Bearer a.b.c"}, {"authorization": 1}):
        async with socket(guarded.url, init=False) as client:
            await client.send({"type": "connection_init", "payload": refused})
            with pytest.raises(ConnectionClosed, match="4403"):
                await client.next()


async def test_open_websockets_are_judged_again(guarded: server.Service, issuer: LocalIssuer) -> None:
    """An open connection ends as soon as HTTP refuses its token: when that expires, or its issuer withdraws the key."""
    other = SigningKey("two", "ES256")
    issuer.publish(KEY, other)
    expired_soon = issuer.token(key=other, exp=int(time.time()) - LEEWAY_S + 4, **CALLERS["operator"])
    tokens = {
        "expired": expired_soon,
        "withdrawn": issuer.token(key=KEY, **CALLERS["operator"]),
        "stays": issuer.token(key=other, **CALLERS["operator"]),
    }
    async with AsyncExitStack() as stack:
        clients = {}
        for name, token in tokens.items():
            client = await stack.enter_async_context(socket(guarded.url, init=False))
            await client.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
            assert (await client.next())["type"] == "connection_ack"
            clients[name] = client
        third = SigningKey("three", "ES256")
        issuer.publish(third, other)
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as (graphql, _):
            await graphql.accounts()  # a key that is new has the keys fetched
        for name, says in (("withdrawn", "not signed with a key"), ("expired", "has expired")):
            with pytest.raises(ConnectionClosed, match="4403") as closed:
                await clients[name].next()
            assert says in str(closed.value)
        await clients["stays"].subscribe("1", "{ accounts { id } }")
        assert (await clients["stays"].next())["type"] == "next"


async def test_keys_rotate(guarded: server.Service, issuer: LocalIssuer, world: World) -> None:
    """Keys come and go, and the issuer with them: no request fails that has a good token."""
    keys = [KEY, SigningKey("two", "ES256"), SigningKey("three", "EdDSA")]
    request = to_input(place(world))
    for old, new in itertools.pairwise(keys):
        issuer.publish(new, old)
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        async with both_doors(guarded, issuer.token(key=old, **CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        issuer.down = True
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        issuer.down = False


async def test_the_policy_changes(
    guarded: server.Service, issuer: LocalIssuer, world: World, policy_file: Path
) -> None:
    """A new policy is followed, also where answers are at hand already; a bad one is refused and today's is kept."""
    key = to_input(place(world))
    async with doors_of(guarded, issuer, "payments") as doors:
        for door in doors:
            assert (await door.get(key, 3600))["accountId"] == PLAIN
        with capture_logs() as logged:
            policy_file.write_text("rules: [{}]")
            await until(lambda: any(entry["event"] == "policy_file_refused" for entry in logged))
        for door in doors:
            assert (await door.get(key, 3600))["accountId"] == PLAIN
        with capture_logs() as logged:
            policy_file.write_text("rules: []")
            await until(lambda: any(entry["event"] == "policy_file_reloaded" for entry in logged))
        for door in doors:
            assert (await door.get(key, 3600))["code"] == "ACCOUNT_NOT_AVAILABLE"
            assert await door.accounts() is None


accounts = st.fixed_dictionaries(
    {"ids": st.lists(st.sampled_from([PLAIN, GUARDED, HOME]), min_size=1, max_size=3, unique=True)}
)
rules = st.lists(
    st.fixed_dictionaries(
        {
            "callers": st.sampled_from(["ops", "payments", "others"]).map(lambda group: {"groups": [group]}),
            "accounts": accounts,
            "regions": st.lists(st.sampled_from([REGION, "us-east-1"]), min_size=1, max_size=2, unique=True),
            "hide": st.lists(st.sampled_from([*map(str, Hideable)]), max_size=2, unique=True),
        }
    ),
    max_size=4,
)


@hypothesis_settings(max_examples=15)
@given(rules=rules, order=st.permutations([*CALLERS]))
async def test_nothing_that_the_policy_denies(
    guarded: server.Service, issuer: LocalIssuer, world: World, rules: list[dict[str, Any]], order: list[str]
) -> None:
    """Whatever the policy, and whatever others have asked before: no answer has an account that it denies."""
    keys = [
        place(world, account_id, region)
        for account_id in (PLAIN, GUARDED)
        for region in (REGION, "us-east-1")
    ]
    guarded.admission.policy = parse_policy(json.dumps({"rules": rules}).encode(), name="policy.yaml")
    for caller in order:
        granted = {
            (account_id, region)
            for rule in rules
            if set(rule["callers"]["groups"]) & set(CALLERS[caller].get("groups", ()))
            for account_id in rule["accounts"]["ids"]
            for region in rule["regions"]
        }
        async with doors_of(guarded, issuer, caller) as doors:
            for door in doors:
                answers = [
                    await door.batch([to_input(key) for key in keys], 3600),
                    await door.list_executions(),
                    await door.list_workflows(),
                    await door.accounts(),
                    *[(await door.find(key.execution_id))["execution"] for key in keys],
                ]
                told = {
                    (at["accountId"], at["region"])
                    for at in objects(answers)
                    if "executionId" in at or "workflowId" in at
                }
                assert told <= granted
                assert {(key.account_id, key.region) for key in keys} & granted <= told
                regions = {
                    (at["accountId"], region)
                    for at in objects(answers)
                    if "alias" in at
                    for region in at["regions"]
                }
                assert regions <= granted


def objects(answer: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, however deep, but for errors, which name what was asked for."""
    if isinstance(answer, list):
        for item in answer:
            yield from objects(item)
    if isinstance(answer, dict) and "code" not in answer:
        yield answer
        yield from objects([*answer.values()])


async def test_the_audit(
    aws: Emulator, accounts_file: Path, issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """Every lookup, by either door, is one event: who, from where, what, and what came of it; and never a token."""
    key = place(world)
    forbidden = to_input(place(world, GUARDED))
    token = issuer.token(**CALLERS["payments"])
    environment = {
        "TRANSFER_GATEWAY_AUTH": "oidc",
        "TRANSFER_GATEWAY_OIDC_ISSUERS": issuer.url,
        "TRANSFER_GATEWAY_OIDC_AUDIENCES": AUDIENCE,
        "TRANSFER_GATEWAY_POLICY_FILE": str(policy_file),
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_LEVEL": "error",  # the audit has none
    }
    async with started("serve", "--http-port", "0", **environment) as serving:
        async with both_doors(serving, token) as doors:
            for door in doors:
                await door.get(to_input(key), 0)
                await door.get(to_input(key), 3600)
                await door.get(to_input(key), 3600)
                await door.get(forbidden)
                await door.batch([to_input(key), forbidden], 3600)
                await door.find(key.execution_id)
                await door.list_executions()
                await door.accounts()
        _, log = await serving.stop()
    events = [event for event in map(json.loads, log.splitlines()) if event["logger"] == "audit"]
    denied = "/".join(forbidden.values())
    for name in ("graphql", "grpc"):
        here = [event for event in events if event["door"] == name]
        assert all(
            (event["caller"], event["issuer"]) == ("paul", issuer.url)
            and "127.0.0.1" in event["remote"]
            and event["request_id"]
            for event in here
        )
        told = [(event["operation"], event["ids"], event["outcome"]) for event in here]
        assert told[:4] == [
            ("get_execution", [str(key)], "OK"),
            ("get_execution", [str(key)], "OK"),
            ("get_execution", [str(key)], "OK"),  # at GraphQL's door the same answer, given again
            ("get_execution", [denied], "ACCOUNT_NOT_AVAILABLE"),
        ]
        assert sorted(told[4:6]) == sorted(told[2:4])
        assert told[6:] == [
            ("find_execution", [str(key)], "OK"),
            ("list_executions", [str(key)], "OK"),
            ("list_accounts", [PLAIN], "OK"),
        ]
        assert [event["source"] for event in here[:3]] == ["aws", "snapshot", "snapshot"]
        assert here[0]["aws_request_id"] == here[1]["aws_request_id"] == here[2]["aws_request_id"] is not None
    assert token not in log


async def test_quotas(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """A caller that asks too much is THROTTLED, and told for how long; others are not."""
    limits = {
        "caller_requests_per_s": 1,
        "caller_requests_burst": 20,
        "caller_aws_calls_per_s": 0.1,
        "caller_aws_calls_burst": 3,
    }
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
    }
    keys = [to_input(place(world)) for _ in range(5)]
    async with server.running(settings(**oidc, **limits)) as service:
        async with doors_of(service, issuer, "operator") as (graphql, rpc):
            found = await graphql.batch(keys, 3600)
            assert sorted(item.get("code", "found") for item in found) == ["THROTTLED"] * 2 + ["found"] * 3
            assert all(0 < item["retryAfter"] <= 30 for item in found if "code" in item)
            assert aws.calls.count(operation="DescribeExecution") == 3
            served = [item for item in await rpc.batch(keys, 3600) if "code" not in item]
            assert len(served) == 3  # snapshots cost no calls
            for _ in range(17):  # and the batches above
                await graphql.accounts()
            with pytest.raises(Failed) as refused:
                await asyncio.gather(*(graphql.accounts() for _ in range(3)))
            assert refused.value.error["code"] == "THROTTLED"
            assert 0 < refused.value.error["retryAfter"] <= 1
        async with doors_of(service, issuer, "payments") as doors:
            for door in doors:
                assert "code" not in await door.get(keys[0], 3600)


async def test_requests_under_way_are_bounded(
    aws: Emulator,
    settings: Callable[..., Settings],
    issuer: LocalIssuer,
    policy_file: Path,
    world: World,
) -> None:
    """CALLER_MAX_CONCURRENT_REQUESTS at both doors together; places are free when requests end or are left."""
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
        "caller_max_concurrent_requests": 2,
    }
    keys = [to_input(place(world)) for _ in range(2)]
    aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=1))
    async with (
        server.running(settings(**oidc)) as service,
        doors_of(service, issuer, "operator") as doors,
        doors_of(service, issuer, "payments") as others,
    ):
        for number, left in enumerate((False, True)):
            under_way = [asyncio.create_task(door.get(key, 0)) for door, key in zip(doors, keys, strict=True)]
            async with asyncio.timeout(10):
                while aws.calls.count(operation="DescribeExecution") < 2 * (number + 1):
                    await asyncio.sleep(0.01)
            for door in doors:
                with pytest.raises(Failed) as refused:
                    await door.accounts()
                assert refused.value.error["code"] == "THROTTLED"
                assert refused.value.error["retryAfter"] == 1
            for door in others:
                assert await door.accounts()
            for task in under_way if left else ():
                task.cancel()
            await asyncio.wait(under_way)
            for door in doors:
                async with asyncio.timeout(10):
                    while True:
                        with suppress(Failed):
                            assert await door.accounts()
                            break
                        await asyncio.sleep(0.05)


@pytest.mark.parametrize("change", ["policy", "token"])
async def test_streams_are_judged_again(
    aws: Emulator,
    settings: Callable[..., Settings],
    issuer: LocalIssuer,
    policy_file: Path,
    world: World,
    change: str,
) -> None:
    """What a stream tells obeys the policy of the day and ends with the token, long before the stream's own end."""
    keys = [place(world) for _ in range(300)]
    request = pb.BatchGetExecutionsRequest(
        keys=[
            execution_pb2.ExecutionKey(
                account_id=key.account_id,
                region=key.region,
                workflow_id=key.workflow_id,
                execution_id=key.execution_id,
            )
            for key in keys
        ]
    )
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "oidc_leeway_s": 0,
        "policy_file": policy_file,
        "accounts_reload_s": 0.1,
    }
    lives_s = 60 if change == "policy" else 4
    token = issuer.token(**CALLERS["operator"], exp=int(time.time()) + lives_s)
    async with (
        server.running(settings(**oidc, target_rate_per_s=10, target_burst=10)) as service,
        rpc(service, token) as stub,
    ):
        outcomes: list[str | None] = []
        refused: grpc.StatusCode | None = None
        stream = stub.BatchGetExecutions(request)
        try:
            async with asyncio.timeout(20):  # 30 s are needed for all
                async for answer in stream:
                    outcomes.append(answer.WhichOneof("outcome"))
                    if change == "policy":
                        policy_file.write_text("rules: []")
                    if outcomes[-1] == "error":
                        break
        except grpc.aio.AioRpcError as error:
            refused = error.code()
    if change == "policy":
        assert (outcomes[0], outcomes[-1]) == ("execution", "error")
    else:
        assert refused is grpc.StatusCode.UNAUTHENTICATED
    assert len(outcomes) < 200


async def test_quota_of_rows(
    aws: Emulator, settings: Callable[..., Settings], issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """Snapshots cost rows: whoever asks for too many is THROTTLED at both doors, whatever field or method it uses."""
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "policy_file": policy_file,
    }
    key = to_input(place(world))
    async with (
        server.running(settings(**oidc, caller_rows_per_s=0.01, caller_rows_burst=40)) as service,
        doors_of(service, issuer, "operator") as (graphql, rpc),
    ):
        for door in (graphql, rpc):
            assert "code" not in await door.get(key, 3600)
            assert all("code" not in item for item in await door.batch([key] * 20, 3600))
        for ask in (
            graphql.accounts,
            rpc.accounts,
            lambda: graphql.batch([key], 3600),
            lambda: rpc.batch([key], 3600),
        ):
            with pytest.raises(Failed) as refused:
                await ask()
            assert refused.value.error["code"] == "THROTTLED"
            assert "rows" in refused.value.error["message"]
            assert refused.value.error["retryAfter"] > 0
        for door in (graphql, rpc):
            assert (await door.get(key, 3600))["code"] == "THROTTLED"
        assert aws.calls.count(operation="DescribeExecution") == 1
        async with doors_of(service, issuer, "payments") as doors:
            for door in doors:
                assert "code" not in await door.get(key, 3600)
