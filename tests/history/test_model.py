"""Whatever happens to AWS, the gateway and its store: in the end it knows what was, and before it says nothing else.

Random scenarios, played on the wire to an emulated AWS that knows the truth. Hours pass in milliseconds.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from driven_time import DrivenTime
from examples import EXPLORING, examples
from history_model import (
    ACCOUNT,
    REGION,
    STARTS_AT,
    Database,
    PostgresDatabase,
    Scenario,
    SqliteFile,
    emulating,
    now,
    standing_still,
)
from transfer_emulator import (
    WORKFLOWS,
    Fault,
    FaultKind,
    LogQuirks,
    LogSettings,
    Outcome,
    SampleScenario,
    ScenarioSettings,
    World,
)
from transfer_gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from postgres import PostgresServer

pytestmark = pytest.mark.early

OPERATIONS = (
    "FilterLogEvents",
    "FilterLogEvents",
    "DescribeLogGroups",
    "ListServers",
    "DescribeServer",
    "ListWorkflows",
    "DescribeWorkflow",
    "DescribeExecution",
    "AssumeRole",
)
KINDS = (
    FaultKind.DENY,
    FaultKind.THROTTLE,
    FaultKind.HANG,
    FaultKind.SERVER_ERROR,
    FaultKind.RESET,
    FaultKind.NO_LOG_GROUP,
    FaultKind.TRUNCATED_BODY,
)
share = st.sampled_from([0.0, 0.05, 0.3])
quirks = st.builds(
    LogQuirks,
    lag_s=st.sampled_from([(0.0, 0.0), (0.2, 3.0), (1.0, 20.0)]),
    late_share=share,
    late_s=st.sampled_from([(5.0, 30.0), (30.0, 300.0)]),
    doubled_share=share,
    damaged_share=share,
    unknown_share=share,
    connector_share=share,
)
upload = st.tuples(
    st.just("upload"),
    st.integers(0, len(WORKFLOWS) - 1),
    st.floats(0, 20),
    st.sampled_from([Outcome.EXECUTED] * 6 + list(Outcome)),
    st.sampled_from([0.5, 5.0, 30.0, 200.0, 1500.0]),
    st.none() | st.integers(0, 4),
)
wait = st.tuples(st.just("wait"), st.sampled_from([0.3, 2.0, 10.0, 10.0, 60.0, 60.0, 300.0, 1000.0]))
ask = st.tuples(st.just("ask"), st.sampled_from([0.0, 0.0, 1.0, 5.0, 60.0]), st.booleans())
fault = st.tuples(
    st.just("fault"), st.sampled_from(KINDS), st.sampled_from(OPERATIONS), st.none() | st.integers(1, 5)
)
heal = st.just(("heal",))
restart = st.tuples(
    st.just("restart"),
    st.sampled_from([0.0, 5.0, 300.0, 3000.0, 30_000.0]),
    st.sampled_from(["kept", "kept", "wiped", "restored"]),
)
store = st.tuples(st.just("store"), st.sampled_from(["wiped", "copied", "copied", "restored"]))
happenings = st.lists(
    st.one_of(upload, upload, upload, wait, wait, ask, ask, fault, heal, restart, store),
    min_size=4,
    max_size=25,
)
EXAMPLES = 300 if settings.get_current_profile_name() == EXPLORING else examples(8)
PHASES = (Phase.explicit, Phase.generate)  # shrinking takes minutes
databases = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)]
)


async def do(scenario: Scenario, what: tuple[Any, ...]) -> None:
    match what:
        case ("upload", *how):
            scenario.upload(*how)
        case ("wait", seconds):
            await asyncio.sleep(seconds)  # in driven time
        case ("ask", max_age_s, with_records):
            await scenario.ask(max_age_s, with_records=with_records)
        case ("fault", kind, operation, times):
            scenario.emulator.faults.add(Fault(kind, operation=operation, times=times))
            scenario.is_sick = True
        case ("heal",):
            heal_all(scenario)
        case ("restart", down_for_s, then):
            await scenario.stop()
            await change(scenario, then)
            await asyncio.sleep(down_for_s)  # in driven time
            await scenario.start()
        case ("store", then):
            await change(scenario, then)


def heal_all(scenario: Scenario) -> None:
    scenario.emulator.faults.clear()
    if scenario.is_sick:
        scenario.is_sick, scenario.sick_until = False, now()


async def change(scenario: Scenario, how: str) -> None:
    with standing_still():
        match how:
            case "wiped":
                await scenario.database.wipe()
            case "copied":
                await scenario.database.copy()
            case "restored":
                await scenario.database.restore()
    if how in {"wiped", "restored"}:
        for truth in scenario.truths:
            truth.was_told = False  # only the store had it


async def play(
    database: Database,
    folder: Path,
    how: LogQuirks,
    empty_page_share: float,
    backfill_hours: float,
    happens: list[Any],
) -> None:
    scripted = ScenarioSettings(
        quirks=how, history_from=STARTS_AT - 60, is_automatic=False, retention_s=float("inf")
    )
    world = World("999999999999", (REGION,), SampleScenario(7, WORKFLOWS, scripted))
    world.add_account(ACCOUNT)
    accounts = folder / "accounts.yaml"
    accounts.write_text(f'defaults: {{ regions: [{REGION}] }}\naccounts:\n  - {{ id: "{ACCOUNT}" }}\n')
    log_settings = LogSettings(calls_per_s=float("inf"), empty_page_share=empty_page_share)
    if isinstance(database, PostgresDatabase):
        with standing_still():
            await database.wipe()
    async with emulating(world, log_settings) as emulator:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in emulator.environment().items():
                environment.setenv(name, value)
            configured = Settings.from_environment(
                accounts_file=accounts,
                history_url=database.url,
                history_backfill_hours=backfill_hours,
                history_interval_s=10,
                history_retention_days=36_500,
                history_timeout_s=60,
                request_timeout_s=10,
                aws_read_timeout_s=5,
            )
            scenario = Scenario(emulator, configured, accounts, database)
            scenario.indexed_since = STARTS_AT if backfill_hours >= 24 else float("inf")
            await scenario.start()
            try:
                for what in happens:
                    await do(scenario, what)
                heal_all(scenario)
                last = max((truth.upload.ends_at for truth in scenario.truths), default=0.0)
                await asyncio.sleep(max(0.0, last - now()))  # in driven time
                await scenario.check_end()
            finally:
                if scenario.gateway is not None:
                    await scenario.stop()


@databases
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    how=quirks,
    empty_page_share=st.sampled_from([0.0, 0.1, 0.5]),
    backfill_hours=st.sampled_from([0.1, 24.0, 24.0]),
    happens=happenings,
)
def test_in_the_end_it_knows_what_was(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    database: str,
    how: LogQuirks,
    empty_page_share: float,
    backfill_hours: float,
    happens: list[Any],
) -> None:
    folder = tmp_path_factory.mktemp("model")
    note(str(folder))
    with asyncio.Runner(loop_factory=DrivenTime) as runner:
        if database == "sqlite":
            used: Database = SqliteFile(folder)
        else:
            used = PostgresDatabase(request.getfixturevalue("model_database"))
        runner.run(play(used, folder, how, empty_page_share, backfill_hours, happens))


@pytest.fixture(scope="session")
def model_database(postgres: PostgresServer) -> str:
    return asyncio.run(postgres.create_database())
