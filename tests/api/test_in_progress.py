"""All executions in progress, in pages, over the wire."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from wire import GUARDED, HOME, NOT_A_CURSOR, PLAIN, Gateway, becomes, calling, place, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings

pytestmark = pytest.mark.fast_time

PAGE = """
query Page($filter: ExecutionFilter, $first: Int, $after: String) {
  inProgressExecutions(filter: $filter, first: $first, after: $after) {
    edges { cursor node { id status } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    targetFailures { accountId region error { code } }
  }
}
"""
DETAILS = """
{ inProgressExecutions { edges { node { id results { steps { stepType } } ... on Execution { ...role } }
  detailsError { code } } } }
fragment role on Execution { executionRole }
"""


async def page(gateway: Gateway, **variables: Any) -> dict[str, Any]:
    answer = await gateway.ask(PAGE, **variables)
    assert "errors" not in answer, answer
    found: dict[str, Any] = answer["data"]["inProgressExecutions"]
    return found


async def walk(gateway: Gateway, first: int) -> list[str]:
    """The ids of all pages in order."""
    seen: list[str] = []
    after = None
    while True:
        found = await page(gateway, first=first, after=after)
        seen += [edge["node"]["id"] for edge in found["edges"]]
        if not found["pageInfo"]["hasNextPage"]:
            return seen
        after = found["pageInfo"]["endCursor"]


async def test_pages(gateway: Gateway, world: World) -> None:
    """All executions, ordered by id, page by page; `pageInfo` follows Relay."""
    keys = sorted(place(world, account) for account in (PLAIN, GUARDED, HOME) for _ in range(7))
    first = await page(gateway, first=5)
    assert [edge["node"]["id"] for edge in first["edges"]] == [str(key) for key in keys[:5]]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": first["edges"][0]["cursor"],
        "endCursor": first["edges"][-1]["cursor"],
    }
    second = await page(gateway, first=5, after=first["edges"][1]["cursor"])
    assert [edge["node"]["id"] for edge in second["edges"]] == [str(key) for key in keys[2:7]]
    assert second["pageInfo"]["hasPreviousPage"]
    for size in (1, 4, 21, 1000):
        assert await walk(gateway, size) == [str(key) for key in keys]


async def test_none(shared_gateway: Gateway) -> None:
    """Without executions the page is empty."""
    assert await page(shared_gateway) == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
        "targetFailures": [],
    }


async def test_a_workflow_that_is_new(gateway: Gateway, world: World) -> None:
    """Executions of a workflow created after the last list appear about five seconds later."""
    await page(gateway)
    key = place(world)

    async def ids() -> list[str]:
        return [edge["node"]["id"] for edge in (await page(gateway))["edges"]]

    await becomes(ids, [str(key)])


async def test_filters(gateway: Gateway, world: World) -> None:
    """Each filter alone finds its executions; several filters narrow the result."""

    def upload(user: str, server_id: str, **location: Any) -> dict[str, Any]:
        details = {"UserName": user, "ServerId": server_id, "SessionId": f"{user}-session"}
        return {
            "Status": "HANDLING_EXCEPTION" if user == "bob" else "IN_PROGRESS",
            "ServiceMetadata": {"UserDetails": details},
            "InitialFileLocation": location,
        }

    one, two = "s-" + "1" * 17, "s-" + "2" * 17
    s3 = {"S3FileLocation": {"Bucket": "landing", "Key": "in/acme/a.pgp"}}
    efs = {"EfsFileLocation": {"FileSystemId": "fs-12345678", "Path": "/in/b.pgp"}}
    a = place(world, PLAIN, "eu-west-1", upload("alice", one, **s3))
    b = place(world, PLAIN, "us-east-1", upload("bob", one, **efs))
    c = place(world, GUARDED, "eu-west-1", {"Status": "IN_PROGRESS"})
    cases: list[tuple[dict[str, Any], set[ExecutionKey]]] = [
        ({}, {a, b, c}),
        ({"accountIds": [PLAIN]}, {a, b}),
        ({"accountIds": ["123123123123"]}, set()),
        ({"regions": ["eu-west-1"]}, {a, c}),
        ({"workflowIds": [a.workflow_id, c.workflow_id]}, {a, c}),
        ({"statuses": ["HANDLING_EXCEPTION"]}, {b}),
        ({"serverId": one}, {a, b}),
        ({"serverId": two}, set()),
        ({"userName": "alice"}, {a}),
        ({"sessionId": "bob-session"}, {b}),
        ({"bucket": "landing"}, {a}),
        ({"keyPrefix": "in/acme/"}, {a}),
        ({"keyPrefix": "out/"}, set()),
        ({"fileSystemId": "fs-12345678"}, {b}),
        ({"pathPrefix": "/in/"}, {b}),
        ({"serverId": one, "regions": ["us-east-1"], "statuses": ["IN_PROGRESS", "HANDLING_EXCEPTION"]}, {b}),
    ]
    for wanted, keys in cases:
        found = await page(gateway, filter=wanted)
        assert {edge["node"]["id"] for edge in found["edges"]} == {str(key) for key in keys}, wanted


async def test_failed_targets_are_named(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A target, or one of its workflows, that fails is reported beside the edges of all others."""
    keys = [place(world, account, region) for account in (PLAIN, GUARDED, HOME) for region in world.regions]
    aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, operation="ListWorkflows"))
    aws.faults.add(
        Fault(FaultKind.DENY, account_id=HOME, region="us-east-1", operation="ListExecutions", times=1)
    )
    found = await page(gateway)
    assert {edge["node"]["id"] for edge in found["edges"]} == {
        str(key)
        for key in keys
        if key.account_id != GUARDED and (key.account_id, key.region) != (HOME, "us-east-1")
    }
    assert found["targetFailures"] == [
        {"accountId": account, "region": region, "error": {"code": "ACCESS_DENIED"}}
        for account, region in [(GUARDED, "eu-west-1"), (GUARDED, "us-east-1"), (HOME, "us-east-1")]
    ]


async def test_details_only_when_selected(gateway: Gateway, aws: Emulator, world: World) -> None:
    """Selecting fields that AWS's lists lack costs a call per execution, also through fragments; otherwise none."""
    keys = [place(world) for _ in range(3)]
    await page(gateway)
    assert aws.calls.count(operation="DescribeExecution") == 0
    answer = await gateway.ask(DETAILS)
    nodes = [edge["node"] for edge in answer["data"]["inProgressExecutions"]["edges"]]
    assert all(node["executionRole"] and node["results"]["steps"] for node in nodes)
    assert aws.calls.count(operation="DescribeExecution") == len(keys)


@pytest.mark.parametrize(
    ("node", "described"),
    [
        ("id executionRole @include(if: $no)", 0),
        ("id executionRole @skip(if: $yes)", 0),
        ("id executionRole @include(if: false)", 0),
        ("id ...details @skip(if: $yes)", 0),
        ("id ... @include(if: $no) { executionRole }", 0),
        ("id executionRole @include(if: $yes) @skip(if: $yes)", 0),
        ("id executionRole @include(if: $yes) @skip(if: $no)", 1),
        ("id executionRole @skip(if: $yes) ...details @include(if: $yes)", 1),
    ],
)
async def test_details_that_are_left_out(
    gateway: Gateway, aws: Emulator, world: World, node: str, described: int
) -> None:
    """Details under `@include` or `@skip` cost a call only if they are part of the response."""
    place(world)
    answer = await gateway.ask(
        "query($yes: Boolean = true, $no: Boolean!) { a: __typename @include(if: $yes) @skip(if: $no) "
        "inProgressExecutions { edges { node { "
        + node
        + " } } } }"
        + (" fragment details on Execution { executionRole }" if "...details" in node else ""),
        no=False,
    )
    (edge,) = answer["data"]["inProgressExecutions"]["edges"]
    assert ("executionRole" in edge["node"]) is bool(described)
    assert aws.calls.count(operation="DescribeExecution") == described


async def test_finished_in_between(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A listed execution whose details are gone is returned without them, with the reason."""
    keys = sorted([place(world), place(world)])
    aws.faults.add(
        Fault(FaultKind.ERROR, operation="DescribeExecution", code="ResourceNotFoundException", times=1)
    )
    edges = (await gateway.ask(DETAILS))["data"]["inProgressExecutions"]["edges"]
    assert [edge["node"]["id"] for edge in edges] == [str(key) for key in keys]
    assert sorted((edge["detailsError"] or {}).get("code", "") for edge in edges) == [
        "",
        "EXECUTION_NOT_FOUND",
    ]
    assert sorted(edge["node"]["executionRole"] is None for edge in edges) == [False, True]


async def test_long_lists_are_read_to_their_end(gateway: Gateway, world: World) -> None:
    """A workflow with more executions than fit on one of AWS's pages is listed completely."""
    where = (PLAIN, "eu-west-1", world.add_workflow(PLAIN, "eu-west-1"))
    ids = {"/".join((*where, world.place(*where, {"Status": "IN_PROGRESS"}))) for _ in range(2300)}
    assert set(await walk(gateway, 1000)) == ids


async def test_a_long_list_is_as_old_as_its_first_page(gateway: Gateway, aws: Emulator, world: World) -> None:
    """A request during a later page does not get a list whose first page is older than a second."""
    where = (PLAIN, "eu-west-1", world.add_workflow(PLAIN, "eu-west-1"))
    for _ in range(1001):
        world.place(*where, {"Status": "IN_PROGRESS"})
    await gateway.ask("{ workflows { edges { cursor } } }")  # assumes the roles
    aws.faults.add(Fault(FaultKind.LATENCY, operation="ListExecutions", seconds=1.2))
    early = asyncio.create_task(page(gateway, first=1000))
    await until(lambda: aws.calls.count(operation="ListExecutions") == 2)
    late = await page(gateway, first=1000)
    assert [late["pageInfo"]["hasNextPage"], (await early)["pageInfo"]["hasNextPage"]] == [True, True]
    assert aws.calls.count(operation="ListExecutions") == 4


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"first": 0}, "first must be 1 to 1000; got 0."),
        ({"first": 1001}, "first must be 1 to 1000; got 1001."),
        ({"first": -1}, "first must be 1 to 1000; got -1."),
        (
            {"after": ""},
            f"after {NOT_A_CURSOR}",
        ),
        (
            {"after": "bm9uc2Vuc2U="},
            f"after {NOT_A_CURSOR}",
        ),
        (
            {"after": "x" * 100_000},
            f"after {NOT_A_CURSOR}",
        ),
        ({"filter": {"accountIds": ["1"]}}, "AccountId must match"),
    ],
)
async def test_bad_input(shared_gateway: Gateway, variables: dict[str, Any], says: str) -> None:
    """An invalid page size, cursor or filter: BAD_USER_INPUT that names the rule."""
    (error,) = (await shared_gateway.ask(PAGE, **variables))["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert says in error["message"]


async def test_forged_and_truncated_cursors(gateway: Gateway, world: World) -> None:
    """A modified cursor is rejected."""
    place(world)
    place(world)
    cursor = (await page(gateway, first=1))["pageInfo"]["endCursor"]
    for at in range(0, len(cursor), 7):
        forged = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        for bad in (forged, cursor[:at]):
            (error,) = (await gateway.ask(PAGE, after=bad))["errors"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT", bad


async def test_cursors_survive_a_restart(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """With a secret, another process continues where the first stopped; with another secret it rejects the cursor."""
    keys = sorted(place(world) for _ in range(3))
    async with server.running(settings(cursor_secret="a" * 16)) as service, calling(service.url) as gateway:
        cursor = (await page(gateway, first=1))["pageInfo"]["endCursor"]
    async with server.running(settings(cursor_secret="a" * 16)) as service, calling(service.url) as gateway:
        found = await page(gateway, after=cursor)
        assert [edge["node"]["id"] for edge in found["edges"]] == [str(key) for key in keys[1:]]
    async with server.running(settings(cursor_secret="b" * 16)) as service, calling(service.url) as gateway:
        assert "errors" in await gateway.ask(PAGE, after=cursor)
