"""Invalid input is BAD_USER_INPUT at both servers, and names the field and the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from doors import Door, Failed, GraphQLDoor, RpcDoor
from transfer_emulator import Emulator, World
from wire import NOT_A_CURSOR, PLAIN, REGION, place

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = {
    "accountId": PLAIN,
    "region": REGION,
    "workflowId": "w-1a2b3c4d5e6f7a8b9",
    "executionId": "3f2b1c4d-5e6f-4a8b-9c0d-1e2f3a4b5c6d",
}
WORKFLOW_KEY = {name: KEY[name] for name in ("accountId", "region", "workflowId")}
ID_RULES = {
    "accountId": "must match [0-9]{12}",
    "region": "must match",
    "workflowId": "must match w-([a-z0-9]{17})",
    "executionId": "must match",
}

# What is asked, the field in gRPC's and GraphQL's words, and what the message must say.
CASES: list[tuple[str, Callable[[Door], Any], str, str]] = [
    *(
        (f"get-{name}", lambda door, name=name: door.get(KEY | {name: "x" * 40}), f"key.{snake}", rule)
        for (name, rule), snake in zip(
            ID_RULES.items(), ("account_id", "region", "workflow_id", "execution_id"), strict=True
        )
    ),
    ("get-empty-id", lambda door: door.get(KEY | {"region": ""}), "key.region", "must match"),
    (
        "get-max-age",
        lambda door: door.get(KEY, max_age=-0.5),
        "max_age",
        "must be 0 or more seconds; got -0.5.",
    ),
    ("batch-1001", lambda door: door.batch([KEY] * 1001), "keys", "may contain at most 1000 keys; got 1001."),
    (
        "batch-third",
        lambda door: door.batch([KEY, KEY, KEY | {"executionId": "3"}]),
        "keys[2].execution_id",
        "must match",
    ),
    (
        "batch-max-age",
        lambda door: door.batch([KEY], max_age=-1),
        "max_age",
        "must be 0 or more seconds; got -1",
    ),
    ("find-id", lambda door: door.find("nothing"), "execution_id", "must match"),
    (
        "find-workflow",
        lambda door: door.find(KEY["executionId"], workflowId="w-1"),
        "workflow_id",
        "must match",
    ),
    (
        "find-accounts",
        lambda door: door.find(KEY["executionId"], accountIds=[PLAIN, "12"]),
        "account_ids[1]",
        "must match",
    ),
    (
        "find-regions",
        lambda door: door.find(KEY["executionId"], regions=["Mars"]),
        "regions[0]",
        "must match",
    ),
    *(
        (f"{name}-first-{first}", lambda door, n=name, f=first: getattr(door, n)(first=f), "page_size", rule)
        for name in ("list_executions", "list_workflows")
        for first, rule in (
            (0, "must be 1 to 1000; got 0."),
            (-1, "must be 1 to 1000; got -1."),
            (1001, "must be 1 to 1000; got 1001."),
        )
    ),
    *(
        (f"{name}-after", lambda door, n=name: getattr(door, n)(after="bm9uc2Vuc2U="), "page_token", rule)
        for name in ("list_executions", "list_workflows")
        for rule in (NOT_A_CURSOR,)
    ),
    (
        "list_executions-filter",
        lambda door: door.list_executions(filter={"workflowIds": [KEY["workflowId"], "w"]}),
        "filter.workflow_ids[1]",
        "must match",
    ),
    (
        "list_workflows-filter",
        lambda door: door.list_workflows(filter={"regions": ["Mars"]}),
        "filter.regions[0]",
        "must match",
    ),
    (
        "get_workflow-id",
        lambda door: door.get_workflow(WORKFLOW_KEY | {"workflowId": "w"}),
        "key.workflow_id",
        "must match",
    ),
    (
        "get_workflow-max-age",
        lambda door: door.get_workflow(WORKFLOW_KEY, max_age=-1),
        "max_age",
        "must be 0 or more seconds; got -1",
    ),
]


@pytest.mark.parametrize(("ask", "field", "rule"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
@pytest.mark.variants(keep=10)
async def test_bad_input(
    doors: tuple[GraphQLDoor, RpcDoor], aws: Emulator, ask: Callable[[Door], Any], field: str, rule: str
) -> None:
    """The same code and rule, with each API's field name; AWS is not called."""
    for door in doors:
        with pytest.raises(Failed) as failed:
            await ask(door)
        assert failed.value.error["code"] == "BAD_USER_INPUT"
        assert rule in failed.value.error["message"]
        if isinstance(door, RpcDoor):
            assert failed.value.status is grpc.StatusCode.INVALID_ARGUMENT
            assert failed.value.error["field"] == field
            assert failed.value.error["message"].startswith(field)
    assert aws.calls.by_call() == {}


async def test_tokens_of_another_list(doors: tuple[GraphQLDoor, RpcDoor], world: World) -> None:
    """Each list rejects the other's page tokens; both reject truncated or modified ones."""
    for _ in range(2):
        place(world)
    for door in doors:
        token = (await door.list_workflows(first=1))["next"]
        for bad in (token, token[:-1], token[1:], token + "A"):
            with pytest.raises(Failed) as failed:
                await door.list_executions(after=bad)
            assert failed.value.error["code"] == "BAD_USER_INPUT"
