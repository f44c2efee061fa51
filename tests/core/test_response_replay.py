"""Which responses are repeatable: none, unless each of their use cases declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from audited import Line, audited
from transfer_gateway.build import build_core
from transfer_gateway.core.access import Access
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.core.quota import Quota, QuotaLimits
from transfer_gateway.core.response_replay import counts_uses
from transfer_gateway.core.use_cases import Reader
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import Throttled
from transfer_gateway.domain.identity import ExecutionId
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls
from wire import GUARDED, HOME, PLAIN, REGION, place, to_input

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.core.gateway import Gateway
    from transfer_gateway.settings import Settings

AUDIT = AuditTrail(ANONYMOUS, "test", lambda: None)
UNKNOWN_ID = ExecutionId("00000000-0000-4000-8000-000000000000")
REPEATABLE = {"describe", "describe_all"}
# Only gRPC has these; tests/contract/test_audit.py asks for each twice.
OF_GRPC_ALONE = {"peek", "take_keys", "describe_each", "define_steps"}
OF_SUBSCRIPTIONS = {"watch_execution", "watch_executions", "cursor_of"}  # whose responses are never kept


class Part(NamedTuple):
    """A field selected beside a repeatable one, and the audit line of each of its lookups."""

    use_case: str
    selection: str
    line: Line


def unrepeatable(world: World) -> list[Part]:
    server_id = world.add_server(PLAIN, REGION)
    server = f"{PLAIN}/{REGION}/{server_id}"
    user = {"UserName": "bob", "ServerId": server_id, "SessionId": "0123456789abcdef"}
    steps = {"Steps": [{"StepType": "COPY"}]}
    key = place(world, execution={"Results": steps, "ServiceMetadata": {"UserDetails": user}})
    gone, fresh = key._replace(execution_id=UNKNOWN_ID), place(world)
    one, other, third = graphql(to_input(key)), graphql(to_input(gone)), graphql(to_input(fresh))
    workflow = graphql({name: to_input(key)[name] for name in ("accountId", "region", "workflowId")})
    definition = Line("get_workflow", (str(key.workflow),), "OK", "snapshot")
    missing = Line("get_execution", (str(gone),), "EXECUTION_NOT_FOUND", "aws")
    return [
        Part("list_accounts", "accounts { id }", Line("list_accounts", (PLAIN, GUARDED, HOME), "OK")),
        Part("get_account", f'node(id: "{PLAIN}") {{ id }}', Line("get_account", (PLAIN,), "OK")),
        Part(
            "find",
            f'findExecution(executionId: "{key.execution_id}") {{ targetsAsked }}',
            Line("find_execution", (str(key),), "OK"),
        ),
        Part(
            "in_progress",
            f'inProgressExecutions(filter: {{ workflowIds: ["{key.workflow_id}"] }}) {{ edges {{ cursor }} }}',
            Line("list_executions", (str(key),), "OK"),
        ),
        Part("describe_workflow", f"workflowOrError(key: {workflow}) {{ __typename }}", definition),
        Part(
            "list_workflows",
            f'workflows(first: 1, after: null, filter: {{ accountIds: ["{HOME}"] }}) {{ edges {{ cursor }} }}',
            Line("list_workflows", (), "OK"),
        ),
        Part(
            "define_step",
            f"execution(key: {one}, maxAge: 3600) {{ results {{ steps {{ definition {{ name }} }} }} }}",
            definition,
        ),
        Part(
            "workflow_of",
            f"execution(key: {one}, maxAge: 3600) {{ workflow {{ id }} }}",
            definition,
        ),
        Part(
            "server_of",
            f"execution(key: {one}, maxAge: 3600) {{ server {{ id }} }}",
            Line("get_server", (server,), "OK", "snapshot"),
        ),
        Part("get_server", f'node(id: "{server}") {{ id }}', Line("get_server", (server,), "OK", "snapshot")),
        Part("list_servers", "servers(first: 1) { edges { cursor } }", Line("list_servers", (server,), "OK")),
        Part(
            "list_events",
            f"execution(key: {one}, maxAge: 3600) {{ events {{ edges {{ cursor }} }} }}",
            Line("list_events", (str(key),), "OK", "history"),
        ),
        Part("get_event", f'node(id: "{key}/7") {{ id }}', Line("get_event", (f"{key}/7",), "OK", "history")),
        Part(
            "search",
            "searchExecutions(filter: {}) { edges { cursor } }",
            Line("search_executions", (), "HISTORY_OFF"),
        ),
        Part("list_coverage", "coverage { edges { cursor } }", Line("list_coverage", (), "HISTORY_OFF")),
        Part("get_viewer", "viewer { name }", Line("get_viewer", (PLAIN, GUARDED, HOME), "OK")),
        Part("describe", f"executionOrError(key: {other}, maxAge: 3600) {{ __typename }}", missing),
        Part("describe_all", f"executions(keys: [{other}], maxAge: 3600) {{ __typename }}", missing),
        Part(
            "describe",
            f"execution(key: {third}, maxAge: 0) {{ id }}",
            Line("get_execution", (str(fresh),), "OK", "aws"),
        ),
    ]


async def test_unrepeatable_responses_are_built_anew(
    aws: Emulator, world: World, accounts_file: Path
) -> None:
    """Requested twice beside a repeatable field, each is looked up twice."""
    repeatable = place(world)
    parts = unrepeatable(world)
    one = f"one: execution(key: {graphql(to_input(repeatable))}, maxAge: 3600) {{ rawStatus }}"
    async with audited(accounts_file) as service:
        for number, part in enumerate(parts):
            for time in ("first", "again", "third"):
                answer = await service.ask(f"{time}-{number}", f"{{ {one} part: {part.selection} }}")
                assert ("errors" in answer) is (part.line.outcome == "HISTORY_OFF"), part
    written = [
        [part.line in service.lines[f"{time}-{number}"] for time in ("again", "third")]
        for number, part in enumerate(parts)
    ]
    assert written == [[True, True]] * len(parts)


async def test_repeatable_responses_are_repeated(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Executions from snapshots alone are; the audit has those of a repeated response in one line."""
    keys = [place(world), place(world)]
    one, other = (graphql(to_input(key)) for key in keys)
    ids = tuple(sorted(map(str, keys)))
    by_key = f"{{ a: execution(key: {one}, maxAge: 3600) {{ id }} b: execution(key: {other}, maxAge: 3600) {{ id }} }}"
    together = f"{{ executions(keys: [{one}, {other}], maxAge: 3600) {{ __typename }} }}"
    async with audited(accounts_file) as service:
        for name in ("made", "again"):
            await service.ask(f"{name}-by-key", by_key)
        for name in ("made", "again"):
            await service.ask(f"{name}-together", together)
    snapshots = Line("get_execution", ids, "OK", "snapshot")
    assert len(service.lines["made-by-key"]) == 2
    for name in ("again-by-key", "made-together", "again-together"):
        # In the order in which AWS answered.
        assert [line._replace(ids=tuple(sorted(line.ids))) for line in service.lines[name]] == [snapshots], (
            name
        )


def test_every_use_case_declares_whether_it_is_repeatable(world: World) -> None:
    """A use case added to the Reader has to be added here, too."""
    counted = {name for name in dir(Reader) if hasattr(getattr(Reader, name), "__wrapped__")}
    use_cases = {name for name in counted if not name.startswith("_")} - set(dir(Access))
    assert use_cases == REPEATABLE | OF_GRPC_ALONE | OF_SUBSCRIPTIONS | {
        part.use_case for part in unrepeatable(world)
    }


@pytest.fixture
async def core(
    aws: Emulator, settings: Callable[..., Settings], accounts_file: Path
) -> AsyncIterator[Gateway]:
    async with build_core(settings(), AccountsFile(accounts_file).load(), AwsCalls()) as core:
        yield core.gateway


async def test_a_new_use_case_is_not_repeatable(core: Gateway, world: World) -> None:
    """A use case that declares nothing makes the response unrepeatable, even beside one that does."""

    @counts_uses
    class Newer(Reader):
        def count_all(self) -> int:
            return 3

    key = place(world)
    reader = Newer(AUDIT, core.reader(AUDIT).scope, None, core._sources)
    await reader.describe(key, max_age_s=60, deadline=float("inf"))
    assert reader.replay.replayable() is not None
    assert reader.count_all() == 3
    assert reader.replay.replayable() is None


async def test_what_the_quota_refuses_is_not_repeatable(core: Gateway, world: World) -> None:
    """A throttled use case makes the whole response unrepeatable."""
    key, quota = place(world), Quota(QuotaLimits(1, 1, 1, 0.001, 1, 1, 1, 1))
    reader = core.reader(AUDIT, quota=quota)
    await reader.describe(key, max_age_s=60, deadline=float("inf"))
    with pytest.raises(Throttled):
        await reader.describe(key, max_age_s=60, deadline=float("inf"))
    assert reader.replay.replayable() is None


async def test_rows_are_charged_again(core: Gateway, world: World) -> None:
    """As many as for the first response: a key requested three times counts three rows."""
    key = place(world)
    reader = core.reader(AUDIT)
    await reader.describe_all([key, key, key], max_age_s=60, deadline=float("inf"))
    answer = reader.replay.replayable()
    assert answer is not None
    assert (len(answer.parts), answer.rows) == (1, 3)


def test_what_can_not_be_counted_is_no_use_case() -> None:
    """A property would return data without being counted."""
    with pytest.raises(TypeError, match="accounts must be a plain method"):

        @counts_uses
        class Property:
            @property
            def accounts(self) -> Any:
                return None


def graphql(value: dict[str, str]) -> str:
    return "{" + ", ".join(f'{name}: "{text}"' for name, text in value.items()) + "}"
