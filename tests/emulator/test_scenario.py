"""Scripted executions start, progress, fail and end by the clock alone."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from transfer_emulator import Clock, Emulator, World, demo_world
from transfer_emulator.model import load_service
from transfer_emulator.request_parser import compile_parser
from transfer_emulator.scripted_executions import ScenarioSettings, ScriptedExecutions

REGIONS = ("eu-west-1", "us-east-1")
START = 1_767_225_600.0


@pytest.fixture
def world() -> World:
    """Three accounts in two regions."""
    return demo_world(seed=7, accounts=3, regions=REGIONS)


def executions(world: World, now: float) -> dict[str, dict[str, Any]]:
    """Every execution in progress, by its id."""
    return {
        execution_id: wire
        for account in world.accounts()
        for region in world.regions
        for workflow in world.target(account.account_id, region).workflows.values()
        for execution_id, wire in workflow.executions(now).items()
    }


def moments(minutes: int, every_s: int = 5) -> Iterator[float]:
    return (START + second for second in range(0, minutes * 60, every_s))


def test_accounts_where_all_is_logged() -> None:
    """Elsewhere one workflow isn't."""
    logged = ScenarioSettings(all_logged_in=frozenset({"222222222222"}))
    world = demo_world(seed=7, accounts=2, regions=REGIONS, settings=logged)
    for account in world.accounts():
        for region in REGIONS:
            scripted = [each.scripted for each in world.target(account.account_id, region).workflows.values()]
            without = [
                each
                for each in scripted
                if isinstance(each, ScriptedExecutions) and not each.routes[0].destinations
            ]
            assert len(without) == (account.account_id != "222222222222")


def test_the_same_seed_shows_the_same_at_the_same_time(world: World) -> None:
    """Regardless of when the world was created and read before; another seed gives other data."""
    for now in moments(5, every_s=20):
        world.running(now)
    later = START + 300
    again = demo_world(seed=7, accounts=3, regions=REGIONS)
    assert again.running(later) == world.running(later)
    assert executions(again, later) == executions(world, later)
    assert executions(again, START) == executions(world, START)
    other = demo_world(seed=8, accounts=3, regions=REGIONS)
    assert not executions(other, later).keys() & executions(world, later).keys()


def test_several_run_in_every_target_at_any_moment(world: World) -> None:
    """At least two in each account and region, at any time within ten minutes."""
    for now in moments(10, every_s=15):
        busy = [(account_id, region) for account_id, region, *_ in world.running(now)]
        for account in world.accounts():
            for region in REGIONS:
                assert busy.count((account.account_id, region)) >= 2


def test_all_features_occur_within_minutes(world: World) -> None:
    """S3 and EFS, all five step types, several error types, exceptions being handled."""
    stores: set[str] = set()
    types: set[str] = set()
    errors: set[str] = set()
    statuses: set[str] = set()
    for now in moments(5):
        for wire in executions(world, now).values():
            statuses.add(wire["Status"])
            stores.update(wire["InitialFileLocation"])
            for step in wire["Results"].get("Steps", []) + wire["Results"].get("OnExceptionSteps", []):
                types.add(step["StepType"])
                if "Error" in step:
                    errors.add(step["Error"]["Type"])
    assert stores == {"S3FileLocation", "EfsFileLocation"}
    assert types == {"COPY", "CUSTOM", "TAG", "DELETE", "DECRYPT"}
    assert statuses == {"IN_PROGRESS", "HANDLING_EXCEPTION"}
    assert len(errors) >= 5


def test_an_execution_progresses_and_disappears(world: World) -> None:
    """Results only grow, are empty before the first step, and end with an error if any; then it is gone for good."""
    lives: dict[str, list[dict[str, Any]]] = {}
    for now in moments(12):
        for execution_id, wire in executions(world, now).items():
            lives.setdefault(execution_id, []).append(wire)
    running_still = executions(world, START + 12 * 60)
    whole = [life for key, life in lives.items() if key not in running_still]
    assert len(whole) > 100
    for life in whole:
        for before, after in pairwise(life):
            for kind in ("Steps", "OnExceptionSteps"):
                done = before["Results"].get(kind, [])
                assert after["Results"].get(kind, [])[: len(done)] == done
        for wire in life:
            steps = wire["Results"].get("Steps", [])
            assert all("Error" not in step for step in steps[:-1])
            handling = bool(steps) and "Error" in steps[-1]
            assert wire["Status"] == ("HANDLING_EXCEPTION" if handling else "IN_PROGRESS")
            assert handling or "OnExceptionSteps" not in wire["Results"]
            assert wire["Results"].get("Steps") != []
    assert any(len(wire["Results"].get("OnExceptionSteps", [])) for life in whole for wire in life)


def test_executions_last_between_twenty_seconds_and_three_minutes(world: World) -> None:
    """By `running`, whose seconds left are accurate, also for executions that fail without handlers."""
    ends: dict[str, set[int]] = {}
    for now in moments(4):
        for *_, execution_id, _status, left in world.running(now):
            assert 0 < left <= 180
            ends.setdefault(execution_id, set()).add(round(now + left))
    assert all(len(told) == 1 for told in ends.values())


def test_results_match_the_workflows_definition(world: World) -> None:
    """The results' steps have the order and types of DescribeWorkflow's."""
    for now in moments(3, every_s=10):
        for account in world.accounts():
            for workflow in world.target(account.account_id, "eu-west-1").workflows.values():
                for wire in workflow.executions(now).values():
                    for kind in ("Steps", "OnExceptionSteps"):
                        defined = [step["Type"] for step in workflow.definition[kind]]
                        shown = [step["StepType"] for step in wire["Results"].get(kind, [])]
                        assert shown == defined[: len(shown)]
                        assert len(defined) <= 8


def test_all_data_satisfies_awss_constraints(world: World) -> None:
    """Lengths, patterns, enums and required members of the model hold for servers, definitions and executions."""
    model = load_service("transfer").model
    check_execution, check_workflow, check_server = (
        compile_parser(model.shape_for(name))
        for name in ("DescribedExecution", "DescribedWorkflow", "DescribedServer")
    )
    problems: list[str] = []
    for account in world.accounts():
        for workflow in world.target(account.account_id, "eu-west-1").workflows.values():
            assert check_workflow(workflow.definition, "", problems) == workflow.definition
        for server in world.target(account.account_id, "eu-west-1").servers.values():
            assert check_server(server, "", problems) == server
    workflow_id = world.add_workflow("111111111111", "eu-west-1")
    world.place("111111111111", "eu-west-1", workflow_id)
    for now in moments(3, every_s=30):
        for wire in executions(world, now).values():
            assert check_execution(wire, "", problems) == wire
    assert problems == []


def test_ended_executions_are_freed(world: World) -> None:
    """Memory depends on the running executions, not on the elapsed time."""
    world.running(START)
    for now in (START + 86_400, START + 10 * 86_400):
        world.running(now)
        for workflow in world.target("111111111111", "eu-west-1").workflows.values():
            assert isinstance(workflow.scripted, ScriptedExecutions)
            assert len(workflow.scripted._slots) < 40


async def test_a_driven_clock_moves_executions(world: World, new_aws: Any) -> None:
    """An execution is described while it runs, has progressed after `advance`, and is not found after its end."""
    clock = Clock.frozen(START)
    async with Emulator(world, clock=clock) as emulator:
        aws = new_aws(emulator)
        account_id, region, workflow_id, execution_id, _, left = max(
            (row for row in world.running(START) if row[0] == "111111111111"), key=lambda row: row[5]
        )
        transfer = aws.client("transfer", await aws.session(account_id), region)
        ids = {"WorkflowId": workflow_id, "ExecutionId": execution_id}
        early = (await aws.call(transfer, "describe_execution", **ids))["Execution"]["Results"]
        clock.advance(left - 0.1)
        late = (await aws.call(transfer, "describe_execution", **ids))["Execution"]["Results"]
        assert len(late["Steps"]) > len(early.get("Steps", []))
        listed = await aws.call(transfer, "list_executions", WorkflowId=workflow_id)
        assert execution_id in {execution["ExecutionId"] for execution in listed["Executions"]}
        clock.advance(0.2)
        answer = await aws.refused(transfer, "describe_execution", **ids)
    assert answer["Error"]["Code"] == "ResourceNotFoundException"


async def test_the_second_accounts_role_demands_its_external_id(world: World, new_aws: Any) -> None:
    """Without "x-42" there is no session."""
    first, second, third = world.accounts()
    assert [role.external_id for role in second.roles.values()] == ["x-42"]
    async with Emulator(world) as emulator:
        aws = new_aws(emulator)
        await aws.session(first.account_id)
        await aws.session(third.account_id)
        await aws.session(second.account_id, ExternalId="x-42")
        denied = await aws.refused(
            aws.client("sts"), "assume_role", RoleArn=second.role_arn(), RoleSessionName="tests"
        )
    assert denied["Error"]["Code"] == "AccessDenied"


def test_a_world_may_have_any_number_of_accounts() -> None:
    """Twelve digits each, all different, none the home account's."""
    ids = [account.account_id for account in demo_world(seed=1, accounts=300, regions=REGIONS).accounts()]
    assert ids[:3] == ["111111111111", "222222222222", "333333333333"]
    assert len(set(ids)) == 300
    assert "999999999999" not in ids
    assert all(len(account_id) == 12 and account_id.isdigit() for account_id in ids)
