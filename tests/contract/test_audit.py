"""Every request has exactly its audit lines, and no data is available without one."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf.json_format import ParseDict

from audited import Line, audited
from doors import GRAPHQL
from history_events import new_run
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_emulator import Fault, FaultKind
from transfer_gateway.domain.identity import ExecutionId
from transfer_gateway.history.store import open_store
from wire import GUARDED, HOME, PLAIN, REGION, place, to_input, until

if TYPE_CHECKING:
    from transfer_emulator import Emulator, World
    from transfer_gateway.domain.identity import ExecutionKey

SOURCE = Path(__file__).parents[2] / "src" / "transfer_gateway"
UNKNOWN_ACCOUNT = "444444444444"
NO_SERVER = "s-00000000000000000"
UNKNOWN_ID = ExecutionId("00000000-0000-4000-8000-000000000000")
OFF = "HISTORY_OFF"  # tests/contract/test_search.py has their lines with a history
ALL = (PLAIN, GUARDED, HOME)


class Asked(NamedTuple):
    """A request to one of the servers, and its expected audit lines."""

    what: str  # a root field, an RPC
    how: Any  # its selection with arguments; its request in JSON
    lines: list[Line]


def place_on_server(world: World) -> tuple[ExecutionKey, str]:
    """An execution, and the id of the server that started it."""
    server_id = world.add_server(PLAIN, REGION)
    user = {"UserName": "bob", "ServerId": server_id, "SessionId": "0123456789abcdef"}
    steps = {"Steps": [{"StepType": "COPY"}]}
    key = place(world, execution={"Results": steps, "ServiceMetadata": {"UserDetails": user}})
    return key, f"{PLAIN}/{REGION}/{server_id}"


def root_fields(world: World) -> list[Asked]:
    key, server = place_on_server(world)
    gone = key._replace(execution_id=UNKNOWN_ID)
    foreign = f"{UNKNOWN_ACCOUNT}/{REGION}/{key.workflow_id}"
    one, other = graphql(to_input(key)), graphql(to_input(gone))
    workflow = graphql({name: to_input(key)[name] for name in ("accountId", "region", "workflowId")})
    found = Line("get_execution", (str(key),), "OK", "aws")
    missing = Line("get_execution", (str(gone),), "EXECUTION_NOT_FOUND", "aws")
    definition = Line("get_workflow", (str(key.workflow),), "OK", "aws")
    not_available = "ACCOUNT_NOT_AVAILABLE"
    return [
        Asked("execution", f"(key: {one}, maxAge: 0) {{ id account {{ alias }} }}", [found]),
        Asked("execution", f"(key: {other}, maxAge: 0) {{ id }}", [missing]),
        Asked(
            "execution",
            f"(key: {one}, maxAge: 0) {{ results {{ steps {{ definition {{ name }} }} }} }}",
            [found, definition],
        ),
        Asked("executionOrError", f"(key: {one}, maxAge: 0) {{ __typename }}", [found]),
        Asked("executionOrError", f"(key: {other}, maxAge: 0) {{ __typename }}", [missing]),
        Asked("executions", f"(keys: [{one}, {other}], maxAge: 0) {{ __typename }}", [found, missing]),
        Asked(
            "findExecution",
            f'(executionId: "{key.execution_id}") {{ targetsAsked }}',
            [Line("find_execution", (str(key),), "OK")],
        ),
        Asked(
            "findExecution",
            f'(executionId: "{key.execution_id}", accountIds: ["{UNKNOWN_ACCOUNT}"]) {{ targetsAsked }}',
            [Line("find_execution", (), not_available)],
        ),
        Asked(
            "inProgressExecutions",
            "(first: 5) { edges { node { id } } }",
            [Line("list_executions", (str(key),), "OK")],
        ),
        Asked("workflowOrError", f"(key: {workflow}, maxAge: 0) {{ __typename }}", [definition]),
        Asked(
            "workflows",
            "(first: 5) { edges { node { id } } }",
            [Line("list_workflows", (str(key.workflow),), "OK")],
        ),
        Asked(
            "executions",
            f"(keys: [{one}, {one}], maxAge: 3600) {{ ... on Execution {{ workflow {{ id }} server {{ id }} }} }}",
            [
                found._replace(source="snapshot"),
                definition._replace(source="snapshot"),
                Line("get_server", (server,), "OK", "aws"),
            ],
        ),
        Asked(
            "execution",
            f"(key: {one}, maxAge: 3600) {{ events {{ edges {{ cursor }} }} }}",
            [found._replace(source="snapshot"), Line("list_events", (str(key),), "OK", "history")],
        ),
        Asked("servers", "{ edges { node { id } } }", [Line("list_servers", (server,), "OK")]),
        Asked("node", f'(id: "{server}") {{ id }}', [Line("get_server", (server,), "OK", "snapshot")]),
        Asked(
            "node",
            f'(id: "{PLAIN}/{REGION}/{NO_SERVER}") {{ id }}',
            [Line("get_server", (f"{PLAIN}/{REGION}/{NO_SERVER}",), "SERVER_NOT_FOUND")],
        ),
        Asked(
            "node",
            f'(id: "{UNKNOWN_ACCOUNT}/{REGION}/{NO_SERVER}") {{ id }}',
            [Line("get_server", (f"{UNKNOWN_ACCOUNT}/{REGION}/{NO_SERVER}",), not_available)],
        ),
        Asked("node", f'(id: "{key}/7") {{ id }}', [Line("get_event", (f"{key}/7",), "OK", "history")]),
        Asked(
            "node",
            f'(id: "{foreign}/{UNKNOWN_ID}/7") {{ id }}',
            [Line("get_event", (f"{foreign}/{UNKNOWN_ID}/7",), not_available)],
        ),
        Asked("searchExecutions", "(filter: {}) { edges { cursor } }", [Line("search_executions", (), OFF)]),
        Asked(
            "searchExecutions",
            f'(filter: {{ accountIds: ["{UNKNOWN_ACCOUNT}"] }}, first: 0) {{ edges {{ cursor }} }}',
            [],  # invalid
        ),
        Asked("coverage", "{ edges { cursor } }", [Line("list_coverage", (), OFF)]),
        Asked("viewer", "{ name }", [Line("get_viewer", ALL, "OK")]),
        Asked("accounts", "{ id }", [Line("list_accounts", ALL, "OK")]),
        Asked("node", f'(id: "{PLAIN}") {{ id }}', [Line("get_account", (PLAIN,), "OK")]),
        Asked(
            "node",
            f'(id: "{UNKNOWN_ACCOUNT}") {{ id }}',
            [Line("get_account", (UNKNOWN_ACCOUNT,), not_available)],
        ),
        Asked("node", f'(id: "{key.workflow}") {{ id }}', [definition._replace(source="snapshot")]),
        Asked("node", f'(id: "{foreign}") {{ id }}', [Line("get_workflow", (foreign,), not_available)]),
        Asked("node", f'(id: "{gone}") {{ id }}', [missing]),
        Asked(
            "node",
            f'(id: "{foreign}/{UNKNOWN_ID}") {{ id }}',
            [Line("get_execution", (f"{foreign}/{UNKNOWN_ID}",), not_available)],
        ),
        # What is no id is refused before anything is looked up.
        *(
            Asked("node", f'(id: "{text}") {{ id }}', [])
            for text in ("", "1", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/e", "a/b/c/d/e/f")
        ),
    ]


def rpcs(world: World) -> list[Asked]:
    key, server = place_on_server(world)
    gone = key._replace(execution_id=UNKNOWN_ID)
    one, other = to_input(key), to_input(gone)
    workflow = {name: one[name] for name in ("accountId", "region", "workflowId")}
    found = Line("get_execution", (str(key),), "OK", "aws")
    recalled = found._replace(source="snapshot")
    missing = Line("get_execution", (str(gone),), "EXECUTION_NOT_FOUND", "aws")
    definition = Line("get_workflow", (str(key.workflow),), "OK", "aws")
    return [
        Asked("GetExecution", {"key": one, "maxAge": "0s"}, [found]),
        Asked("GetExecution", {"key": one, "maxAge": "3600s"}, [recalled]),
        Asked("GetExecution", {"key": one, "maxAge": "3600s"}, [recalled]),
        Asked("GetExecution", {"key": other, "maxAge": "0s"}, [missing]),
        Asked(
            "GetExecution",
            {"key": one, "maxAge": "3600s", "withDefinitions": True},
            [recalled, definition],
        ),
        Asked("BatchGetExecutions", {"keys": [one, other], "maxAge": "0s"}, [found, missing]),
        Asked("BatchGetExecutions", {"keys": [one], "maxAge": "3600s"}, [recalled]),
        Asked(
            "BatchGetExecutions",
            {"keys": [one], "maxAge": "3600s", "withDefinitions": True},
            [recalled, definition._replace(source="snapshot")],
        ),
        Asked(
            "FindExecution", {"executionId": key.execution_id}, [Line("find_execution", (str(key),), "OK")]
        ),
        Asked(
            "FindExecution",
            {"executionId": key.execution_id, "accountIds": [UNKNOWN_ACCOUNT]},
            [Line("find_execution", (), "ACCOUNT_NOT_AVAILABLE")],
        ),
        Asked("ListExecutions", {}, [Line("list_executions", (str(key),), "OK")]),
        Asked("GetWorkflow", {"key": workflow, "maxAge": "0s"}, [definition]),
        Asked("ListWorkflows", {}, [Line("list_workflows", (str(key.workflow),), "OK")]),
        Asked("ListExecutionEvents", {"key": one}, [Line("list_events", (str(key),), "OK", "history")]),
        Asked(
            "ListExecutionEvents",
            {"key": one | {"accountId": UNKNOWN_ACCOUNT}},
            [Line("list_events", (str(key).replace(PLAIN, UNKNOWN_ACCOUNT),), "ACCOUNT_NOT_AVAILABLE")],
        ),
        Asked("SearchExecutions", {}, [Line("search_executions", (), OFF)]),
        Asked("SearchExecutions", {"pageSize": 0}, []),
        Asked("ListCoverage", {}, [Line("list_coverage", (), OFF)]),
        Asked("WatchExecution", {"key": one}, [Line("watch_execution", (str(key),), OFF)]),
        Asked(
            "WatchExecution",
            {"key": one | {"accountId": UNKNOWN_ACCOUNT}},
            [Line("watch_execution", (str(key).replace(PLAIN, UNKNOWN_ACCOUNT),), "ACCOUNT_NOT_AVAILABLE")],
        ),
        Asked("WatchExecution", {"key": one | {"region": "nowhere"}}, []),
        Asked("WatchExecutions", {}, [Line("watch_executions", (), OFF)]),
        Asked("WatchExecutions", {"filter": {"running": True}}, []),
        Asked("GetViewer", {}, [Line("get_viewer", ALL, "OK")]),
        Asked("ListServers", {}, [Line("list_servers", (server,), "OK")]),
        Asked("ListAccounts", {}, [Line("list_accounts", ALL, "OK")]),
    ]


def graphql(value: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}: "{text}"' for name, text in value.items()) + "}"


async def test_every_root_field_is_audited(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Each field of Query, and `node` of each type and of an invalid id, has exactly its lines."""
    assert GRAPHQL.query_type is not None
    asked = root_fields(world)
    assert {each.what for each in asked} == set(GRAPHQL.query_type.fields)
    async with audited(accounts_file) as service:
        for number, each in enumerate(asked):
            await service.ask(f"r{number}", f"{{ {each.what} {each.how} }}")
    written = [sorted(service.lines[f"r{number}"]) for number in range(len(asked))]
    assert written == [sorted(each.lines) for each in asked]


async def test_every_rpc_is_audited(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Each method of the service has exactly its lines."""
    methods = pb.DESCRIPTOR.services_by_name["ExecutionService"].methods_by_name
    asked = rpcs(world)
    assert {each.what for each in asked} == set(methods)
    async with audited(accounts_file) as service:
        for number, each in enumerate(asked):
            request = ParseDict(each.how, getattr(pb, methods[each.what].input_type.name)())
            await service.call(f"r{number}", each.what, request)
    written = [sorted(service.lines[f"r{number}"]) for number in range(len(asked))]
    assert written == [sorted(each.lines) for each in asked]


async def test_who_leaves_is_audited(aws: Emulator, world: World, accounts_file: Path) -> None:
    """A lookup, a search and a list whose caller leaves before AWS answers."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.HANG))
    requests = {
        "GetExecution": pb.GetExecutionRequest(key=ParseDict(to_input(key), execution_pb2.ExecutionKey())),
        "FindExecution": pb.FindExecutionRequest(execution_id=key.execution_id),
        "ListExecutions": pb.ListExecutionsRequest(),
        "ListWorkflows": pb.ListWorkflowsRequest(),
    }
    async with audited(accounts_file) as service:
        for method, request in requests.items():
            aws.calls.reset()
            asking = asyncio.create_task(service.call(method, method, request))
            await until(lambda: aws.calls.count() > 0)
            asking.cancel()
            await asyncio.wait([asking])
    written = {method: service.lines[method] for method in requests}
    assert written == {
        "GetExecution": [Line("get_execution", (str(key),), "CANCELLED")],
        "FindExecution": [Line("find_execution", (), "CANCELLED")],
        "ListExecutions": [Line("list_executions", (), "CANCELLED")],
        "ListWorkflows": [Line("list_workflows", (), "CANCELLED")],
    }


async def test_watches_are_audited_at_both_ends(
    aws: Emulator, world: World, accounts_file: Path, tmp_path: Path
) -> None:
    """Not at each delivery."""
    url = f"sqlite:///{tmp_path / 'history.db'}"
    run = new_run()
    key = str(run[0].key)
    one = ParseDict(to_input(run[0].key), execution_pb2.ExecutionKey())
    async with open_store(url) as store, audited(accounts_file, TRANSFER_GATEWAY_HISTORY_URL=url) as service:
        await store.append(run)
        await service.call("ends", "WatchExecution", pb.WatchExecutionRequest(key=one))
        request = pb.WatchExecutionRequest(key=one, after="x")
        await service.call("fails", "WatchExecution", request)
        leaving = service.stub.WatchExecutions(
            pb.WatchExecutionsRequest(), metadata=(("x-request-id", "leaves"),)
        )
        await leaving.initial_metadata()
        leaving.cancel()
    assert dict(service.lines) == {
        "ends": [Line("watch_execution", (key,), "BEGAN"), Line("watch_execution", (key,), "ENDED")],
        "leaves": [Line("watch_executions", (), "BEGAN"), Line("watch_executions", (), "CANCELLED")],
    }


def test_servers_reach_no_accounts() -> None:
    """`scope.accounts` and its like are read in the core only; import-linter checks the modules."""
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in (SOURCE / "api").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"accounts", "_accounts", "_sources", "_operations"}
    ]
    assert found == []
