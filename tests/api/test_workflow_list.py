"""All workflows, in pages, over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from wire import GUARDED, HOME, NOT_A_CURSOR, PLAIN, Gateway, calling, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from transfer_gateway.settings import Settings

DESCRIBE, LIST = "DescribeWorkflow", "ListWorkflows"
PAGE = """
query Page($filter: WorkflowFilter, $first: Int, $after: String) {
  workflows(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id accountId region account { alias } workflowId arn description } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    targetFailures { accountId region error { code } }
  }
}
"""
DETAILS = """
{ workflows { edges { node { id description ...more } detailsError { __typename code } } } }
fragment more on Workflow {
  steps { name } ... on Workflow { onExceptionSteps { name } tags { key } structuredLogDestinations }
}
"""


async def page(gateway: Gateway, **variables: Any) -> dict[str, Any]:
    answer = await gateway.ask(PAGE, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["workflows"]
    return found


async def walk(gateway: Gateway, first: int) -> list[str]:
    """The ids of all pages in order."""
    seen: list[str] = []
    after = None
    while True:
        found = await page(gateway, first=first, after=after)
        seen += ids(found)
        if not found["pageInfo"]["hasNextPage"]:
            return seen
        after = found["pageInfo"]["endCursor"]


def ids(found: dict[str, Any]) -> list[str]:
    return [edge["node"]["id"] for edge in found["edges"]]


def add(world: World, accounts: Iterable[str] = (PLAIN, GUARDED, HOME), each: int = 1) -> list[str]:
    """The ids of new workflows in each region of the accounts, in order."""
    return sorted(
        f"{account}/{region}/{world.add_workflow(account, region)}"
        for account in accounts
        for region in world.regions
        for _ in range(each)
    )


async def test_pages(gateway: Gateway, world: World) -> None:
    """All workflows, ordered by id, page by page; `pageInfo` follows Relay."""
    workflows = add(world, each=4)
    first = await page(gateway, first=5)
    assert ids(first) == workflows[:5]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": first["edges"][0]["cursor"],
        "endCursor": first["edges"][-1]["cursor"],
    }
    second = await page(gateway, first=5, after=first["edges"][1]["cursor"])
    assert ids(second) == workflows[2:7]
    assert second["pageInfo"]["hasPreviousPage"]
    for size in (1, 7, 24, 1000):
        assert await walk(gateway, size) == workflows


async def test_what_a_list_tells(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Id, target, ARN and description come from AWS's lists: no workflow is described for them."""
    workflow_id = world.add_workflow(PLAIN, "eu-west-1", definition={"Description": "Inbound payments"})
    (edge,) = (await page(gateway))["edges"]
    assert edge["node"] == {
        "id": f"{PLAIN}/eu-west-1/{workflow_id}",
        "accountId": PLAIN,
        "region": "eu-west-1",
        "account": {"alias": "payments-prod"},
        "workflowId": workflow_id,
        "arn": f"arn:aws:transfer:eu-west-1:{PLAIN}:workflow/{workflow_id}",
        "description": "Inbound payments",
    }
    assert (aws.calls.count(operation=LIST), aws.calls.count(operation=DESCRIBE)) == (6, 0)


async def test_none(shared_gateway: Gateway) -> None:
    """Without workflows the page is empty."""
    assert await page(shared_gateway) == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        "targetFailures": [],
    }


async def test_filters(gateway: Gateway, world: World) -> None:
    """By account, by region, by both."""
    workflows = add(world)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [""]),
        ({"accountIds": [], "regions": None}, [""]),
        ({"accountIds": [PLAIN, HOME]}, [PLAIN, HOME]),
        ({"accountIds": ["123123123123"]}, []),
        ({"regions": ["us-east-1"]}, ["us-east-1"]),
        ({"accountIds": [GUARDED], "regions": ["eu-west-1"]}, [f"{GUARDED}/eu-west-1"]),
    ]
    for wanted, parts in cases:
        expected = [workflow for workflow in workflows if any(part in workflow for part in parts)]
        assert ids(await page(gateway, filter=wanted)) == expected, wanted


async def test_failed_targets_are_named(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A target that fails is reported beside the edges of all others, on the page that includes it."""
    workflows = add(world)
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, region="us-east-1", operation=LIST))
    found = await page(gateway)
    assert ids(found) == [workflow for workflow in workflows if f"{GUARDED}/us-east-1" not in workflow]
    failure = {"accountId": GUARDED, "region": "us-east-1", "error": {"code": "ACCESS_DENIED"}}
    assert found["targetFailures"] == [failure]
    first = await page(gateway, first=2)
    assert first["targetFailures"] == []
    rest = await page(gateway, after=first["pageInfo"]["endCursor"])
    assert rest["targetFailures"] == [failure]


async def test_details_only_when_selected(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Fields that AWS's lists lack cost a call per workflow, also through fragments, and later none."""
    workflows = add(world)
    for _ in range(2):
        edges = (await gateway.ask(DETAILS))["data"]["workflows"]["edges"]
        assert [edge["node"]["id"] for edge in edges] == workflows
        assert all(edge["node"]["steps"] and edge["node"]["tags"] for edge in edges)
        assert [edge["detailsError"] for edge in edges] == [None] * len(workflows)
        assert aws.calls.count(operation=DESCRIBE) == len(workflows)


@pytest.mark.parametrize("field", ["steps { name }", "onExceptionSteps { name }", "tags { key }"])
async def test_each_detail_is_fetched(gateway: Gateway, world: World, field: str) -> None:
    """Each field that AWS's lists lack is returned even if it is the only one selected."""
    add(world, [PLAIN])
    answer = await gateway.ask(f"{{ workflows {{ edges {{ node {{ {field} }} }} }} }}")
    name = field.partition(" ")[0]
    assert all(edge["node"][name] for edge in answer["data"]["workflows"]["edges"])


async def test_without_details(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A workflow that can't be described is returned with the list's fields and the reason."""
    workflows = add(world, [PLAIN, HOME])
    aws.faults.add(Fault(FaultKind.DENY, account_id=HOME, operation=DESCRIBE))
    gone = Fault(
        FaultKind.ERROR, region="us-east-1", operation=DESCRIBE, code="ResourceNotFoundException", times=1
    )
    aws.faults.add(gone)
    edges = (await gateway.ask(DETAILS))["data"]["workflows"]["edges"]
    assert [edge["node"]["id"] for edge in edges] == workflows
    assert all(edge["node"]["description"] for edge in edges)
    assert [(edge["detailsError"] or {}).get("code") for edge in edges] == [
        None,
        "WORKFLOW_NOT_FOUND",
        "ACCESS_DENIED",
        "ACCESS_DENIED",
    ]
    assert [edge["node"]["steps"] is None for edge in edges] == [False, True, True, True]


IN_PROGRESS = "query($after: String) { inProgressExecutions(after: $after) { pageInfo { endCursor } } }"


async def test_cursors_of_another_list(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """Each list rejects the other's cursors, although the secret is the same; and modified ones."""
    place(world)
    says = f"after {NOT_A_CURSOR}"
    async with server.running(settings(cursor_secret="a" * 16)) as service, calling(service.url) as gateway:
        own = (await page(gateway))["pageInfo"]["endCursor"]
        others = (await gateway.ask(IN_PROGRESS))["data"]["inProgressExecutions"]["pageInfo"]["endCursor"]
        for query, bad in [
            (PAGE, others),
            (IN_PROGRESS, own),
            (PAGE, own[:-1]),
            (PAGE, f"x{own}"),
            (PAGE, ""),
        ]:
            (error,) = (await gateway.ask(query, after=bad))["errors"]
            assert (error["message"], error["extensions"]["code"]) == (says, "BAD_USER_INPUT")


@pytest.mark.parametrize("first", [0, -1, 1001])
async def test_page_sizes(shared_gateway: Gateway, first: int) -> None:
    """1 to 1,000; anything else is rejected."""
    (error,) = (await shared_gateway.ask(PAGE, first=first))["errors"]
    assert error["message"] == f"first must be 1 to 1000; got {first}."
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
