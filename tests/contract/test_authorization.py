"""What each caller sees at both servers: with real tokens of a real issuer, and a policy file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from command import started
from doors import Failed, both_doors
from examples import examples
from issuer import AUDIENCE, LocalIssuer
from transfer_gateway import server
from transfer_gateway.domain.scope import Hideable
from transfer_gateway.settings import parse_policy
from wire import GUARDED, HOME, PLAIN, REGION, becomes, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transfer_emulator import Emulator, World
from callers import CALLERS, doors_of

UNKNOWN = "444444444444"


SEEN = {
    "operator": {PLAIN, GUARDED, HOME},
    "payments": {PLAIN},
    "auditor": {PLAIN},
    "nobody": set[str](),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("account_id", [PLAIN, GUARDED, UNKNOWN])
@pytest.mark.variants(keep=4)
async def test_lookups(
    guarded: server.Service, issuer: LocalIssuer, world: World, aws: Emulator, caller: str, account_id: str
) -> None:
    """By key: visible executions are found; others look nonexistent, and AWS is not called for them."""
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
        "reason": None,
        "remedy": None,
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
    """Without a key: only visible targets are searched, listed and counted, whatever the filter."""
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
    """Fields hidden by a policy are null everywhere, and can't be inferred by filtering."""
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
    """Callers with different scopes alternate with the same request bytes: each gets its own response."""
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


async def test_the_policy_changes(
    guarded: server.Service, issuer: LocalIssuer, world: World, policy_file: Path
) -> None:
    """A new policy applies at once, also to cached responses; an invalid one is rejected and the current one kept."""
    key = to_input(place(world))
    async with doors_of(guarded, issuer, "payments") as doors:
        for door in doors:
            assert (await door.get(key, 3600))["accountId"] == PLAIN
        with capture_logs() as logged:
            policy_file.write_text("rules: [{}]")
            await until(lambda: any(entry["event"] == "policy_file_refused" for entry in logged))
        for door in doors:
            assert (await door.get(key, 3600))["accountId"] == PLAIN
        policy_file.write_text("rules: []")

        async def codes() -> list[str | None]:
            return [(await door.get(key, 3600)).get("code") for door in doors]

        await becomes(codes, ["ACCOUNT_NOT_AVAILABLE"] * 2)
        for door in doors:
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


@hypothesis_settings(max_examples=examples(16))
@given(rules=rules, order=st.permutations([*CALLERS]))
async def test_nothing_that_the_policy_denies(
    guarded: server.Service, issuer: LocalIssuer, world: World, rules: list[dict[str, Any]], order: list[str]
) -> None:
    """For any policy and any previous requests, no response contains an account that is denied."""
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
    """Every object in it, at any depth, except errors, which repeat what was requested."""
    if isinstance(answer, list):
        for item in answer:
            yield from objects(item)
    if isinstance(answer, dict) and "code" not in answer:
        yield answer
        yield from objects([*answer.values()])


async def test_the_audit(
    aws: Emulator, accounts_file: Path, issuer: LocalIssuer, policy_file: Path, world: World
) -> None:
    """Every lookup at both servers is one event: who, from where, what, and the outcome; never a token."""
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
