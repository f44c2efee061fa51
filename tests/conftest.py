"""An emulated AWS on the wire, and the service in front of it. No part of either is mocked."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import bytecode  # noqa: F401  makes the imports below quick
from driven_time import loop_factory
from examples import register_profiles
from pages import WRITE_TABLES
from quick_libraries import make_quick
from shared_service import SharedService, clear_environment, shared
from transfer_emulator import Emulator, Role, World
from transfer_gateway import server
from transfer_gateway.settings import Settings
from wire import GUARDED, HOME, PLAIN, REGION, Gateway, calling

register_profiles()

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
    from pathlib import Path

NO_SKIPS = "--no-skips"
_COLLECT_GARBAGE_AT = 20_000  # new objects; each service that a test starts makes as many


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(WRITE_TABLES, action="store_true", help="write the generated tables in docs/")
    parser.addoption(
        NO_SKIPS, action="store_true", help="fail if a test is skipped, as CI must have every tool"
    )


def pytest_configure(config: pytest.Config) -> None:
    make_quick()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collect garbage rarely, and never look through modules and tests: that took a quarter of all time."""
    gc.freeze()
    gc.set_threshold(_COLLECT_GARBAGE_AT, 10, 10)
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The reasons are in pytest's summary (-ra)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter is not None and reporter.stats.get("skipped")
    if skipped and session.exitstatus == pytest.ExitCode.OK and session.config.getoption(NO_SKIPS):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if (skipped := terminalreporter.stats.get("skipped")) and config.getoption(NO_SKIPS):
        terminalreporter.write_line(f"{NO_SKIPS}: {len(skipped)} skipped", red=True)


def pytest_xdist_auto_num_workers() -> int:
    """Three workers for a core, since tests wait for two thirds of their time."""
    return min(12, 3 * len(os.sched_getaffinity(0)))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Mark what is left to `.ci/run thorough`, before tests are selected by their marks; order those that are left."""
    leave_variants(items)
    yield
    begin_early(config, items)


def leave_variants(items: list[pytest.Item]) -> None:
    """Of tests marked `variants(keep=N)`, mark all but N parameter sets of each as `thorough`."""
    variants: dict[tuple[str, int], list[pytest.Item]] = {}
    for item in items:
        mark = item.get_closest_marker("variants")
        if mark is not None and not item.get_closest_marker("thorough"):
            variants.setdefault((item.nodeid.partition("[")[0], mark.kwargs["keep"]), []).append(item)
    for (_, keep), alike in variants.items():
        kept = {number * len(alike) // keep for number in range(keep)}
        for number, item in enumerate(alike):
            if number not in kept:
                item.add_marker("thorough")


def begin_early(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker begin with some of the modules that are marked `early`: nobody steals tests from there.

    Each worker is first given an equal part of the list, and steals from the end of another's when it has none left.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1:
        return
    modules: dict[object, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("early"):
            modules.setdefault(item.getparent(pytest.Module), []).append(item)
    rest = [item for item in items if not item.get_closest_marker("early")]
    early = list(modules.values())
    left, items[:] = len(items), []
    for worker in range(workers):
        size, left = left // (workers - worker), left - left // (workers - worker)
        first = [item for module in early[worker::workers] for item in module]
        others = max(0, size - len(first))
        items += first + rest[:others]
        rest = rest[others:]
    items += rest


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    return {"loop": loop_factory(item)}


@pytest.fixture(autouse=True)
def no_aws_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees credentials, profiles, proxies or settings of the machine that runs it."""
    clear_environment(monkeypatch)


@pytest.fixture
def world() -> World:
    """PLAIN's role requires nothing, GUARDED's an external id."""
    return _world()


def _world() -> World:
    world = World(home_account_id=HOME, regions=(REGION, "us-east-1"))
    world.add_account(PLAIN)
    trusted = (f"arn:aws:iam::{HOME}:root",)
    world.add_account(GUARDED, roles=[Role("TransferGatewayReader", trusted, external_id="x-42")])
    return world


@pytest.fixture
async def aws(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """The emulator, with AWS's own variables pointing to it."""
    async with Emulator(world, port=0) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    return _accounts_file(tmp_path)


def _accounts_file(folder: Path) -> Path:
    path = folder / "accounts.yaml"
    path.write_text(
        f"""
defaults: {{ regions: [{REGION}, us-east-1] }}
accounts:
  - {{ id: "{PLAIN}", alias: payments-prod }}
  - {{ id: "{GUARDED}", alias: claims, external_id: "x-42" }}
  - {{ id: "{HOME}", alias: home, role_arn: null }}
"""
    )
    return path


@pytest.fixture
def request_timeout_s() -> float:
    """Long enough that no request reaches it, even on a busy machine; tests of timeouts pass a shorter one."""
    return 90


@pytest.fixture
def with_grpc() -> bool:
    """Whether services that a test starts have a gRPC server, which takes a fifth of a start. Overridden in places."""
    return True


@pytest.fixture
def settings(accounts_file: Path, request_timeout_s: float, *, with_grpc: bool) -> Callable[..., Settings]:
    """Settings with the accounts file, free ports, long timeouts, and the test's own values."""

    def build(**overrides: object) -> Settings:
        return _settings(accounts_file, request_timeout_s, {"grpc": with_grpc} | overrides)

    return build


def _settings(accounts_file: Path, request_timeout_s: float, overrides: Mapping[str, object]) -> Settings:
    here: dict[str, object] = {
        "accounts_file": accounts_file,
        "http_port": 0,
        "grpc_port": 0,
        "shutdown_delay_s": 0,
        "request_timeout_s": request_timeout_s,
        "aws_connect_timeout_s": 30,
        "aws_read_timeout_s": request_timeout_s * 2 / 3,
    }
    return Settings.from_environment(**{**here, **overrides})


@pytest.fixture
async def service(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[server.Service]:
    async with server.running(settings()) as service:
        yield service


@pytest.fixture
async def gateway(service: server.Service) -> AsyncIterator[Gateway]:
    async with calling(service.url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., SharedService]]:
    """Starts a service for a module's tests, with the accounts file and the module's own settings."""
    accounts_file = _accounts_file(tmp_path_factory.mktemp("shared"))
    with pytest.MonkeyPatch.context() as monkeypatch, ExitStack() as stack:

        def use(environment: Mapping[str, str]) -> None:
            clear_environment(monkeypatch)
            for name, value in environment.items():
                monkeypatch.setenv(name, value)

        def start(world: World, **overrides: object) -> SharedService:
            return stack.enter_context(shared(world, use, lambda: _settings(accounts_file, 90, overrides)))

        yield start


@pytest.fixture(scope="module")
def module_service(share: Callable[..., SharedService]) -> SharedService:
    """`service` without gRPC, started once per module."""
    return share(_world(), grpc=False)


@pytest.fixture
def shared_service(module_service: SharedService, monkeypatch: pytest.MonkeyPatch) -> SharedService:
    """For tests that change nothing in it, so that a module's tests can share one service."""
    for name, value in module_service.environment.items():
        monkeypatch.setenv(name, value)
    return module_service


@pytest.fixture
async def shared_gateway(shared_service: SharedService) -> AsyncIterator[Gateway]:
    async with calling(shared_service.url) as gateway:
        yield gateway
