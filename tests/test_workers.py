"""`serve --workers`: several processes, as one to their callers, to Prometheus and to whoever ends them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from command import Started, run, started, started_with
from doors import RpcDoor, rpc
from forked import fork
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_emulator import Fault, FaultKind
from transfer_gateway.settings import Settings, share_of
from wire import becomes, calling, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from transfer_emulator import Emulator, World
    from transfer_gateway.domain.identity import ExecutionKey

pytestmark = pytest.mark.early

TWO = ("serve", "--http-port", "0", "--grpc-port", "0", "--workers", "2")
MANY = 20  # connections, of which each worker gets some: the kernel spreads them


@asynccontextmanager
async def two_workers(accounts_file: Path, **settings: str) -> AsyncIterator[Started]:
    environment = {f"TRANSFER_GATEWAY_{name}": value for name, value in settings.items()}
    environment |= {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    async with started(*TWO, **environment) as serving:
        yield serving


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files. Not `tmp_path`: the paths of sockets are short."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def by_worker(serving: Started, name: str, **labels: str) -> dict[str, float]:
    """A metric's sum in each worker, with these labels."""
    async with calling(serving.url) as gateway:
        answer = await gateway.send("GET", "/metrics")
    found: dict[str, float] = {}
    for family in parse(answer.body.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                worker = sample.labels["worker"]
                found[worker] = found.get(worker, 0) + sample.value
    return found


def events(log: str, name: str) -> list[dict[str, Any]]:
    return [event for event in map(json.loads, log.splitlines()) if event["event"] == name]


def described(aws: Emulator) -> int:
    return aws.calls.count(operation="DescribeExecution")


async def test_callers_see_one_service(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Both doors answer at one port each, both workers do, they share one history, and one SIGTERM drains both."""
    key, slow = place(world), place(world)
    async with two_workers(accounts_file, HISTORY_URL="sqlite://") as serving:
        assert serving.printed.count("GraphQL") == serving.printed.count("gRPC") == 1
        workers = children(serving.process.pid)
        assert len(workers) == 2
        for _ in range(MANY):
            own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
            async with grpc.aio.insecure_channel(serving.grpc, options=own) as channel:
                door = RpcDoor(ExecutionServiceStub(channel))
                assert (await door.get(to_input(key)))["id"] == str(key)
        calls = await by_worker(serving, "transfer_gateway_request_duration_seconds_count", door="grpc")
        assert set(calls) == {"1", "2"}
        assert sum(calls.values()) == MANY
        assert await by_worker(serving, "transfer_gateway_worker_up") == {"1": 1, "2": 1}
        assert set(await by_worker(serving, "process_start_time_seconds")) == {"1", "2"}
        # Each knows of the other, by the history that they share.
        await becomes(lambda: by_worker(serving, "transfer_gateway_replicas"), {"1": 2, "2": 2})
        await until(lambda: histories(workers[0]) == histories(workers[1]) != set())

        before = described(aws)
        aws.faults.add(Fault(FaultKind.LATENCY, operation="DescribeExecution", seconds=1))
        async with calling(serving.url) as gateway, asyncio.TaskGroup() as tasks:
            lookups = [tasks.create_task(gateway.look_up(slow, max_age=60)) for _ in range(MANY)]
            await until(lambda: described(aws) == before + 2)  # one by each worker, which all others join
            serving.signal()
        assert {lookup.result()["id"] for lookup in lookups} == {str(slow)}
        code, log = await serving.stop()
    assert code == 0
    assert {(event["worker"], *event["tasks_left"]) for event in events(log, "stopped")} == {(1,), (2,)}
    assert events(log, "worker_ended") == []


def histories(pid: int) -> set[str]:
    """The databases that a process has open."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(file.readlink()))
    return {name for name in found if name.endswith("history.db")}


async def test_wrong_configuration_is_said_once(tmp_path: Path) -> None:
    """With the message and the exit code of one process, whoever notices."""
    missing = tmp_path / "accounts.yaml"
    environment = {"TRANSFER_GATEWAY_AUTH": "none", "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(missing)}
    code, out, err = await run(*TWO, **environment)
    assert (code, out) == (2, "")
    assert [line for line in err.splitlines() if not line.startswith("{")] == [
        f"error: {missing}: cannot be read: No such file or directory",
        "hint: docs/accounts.md has an example of an accounts file; `transfer-gateway demo` needs none",
    ]


@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.variants(keep=1)
async def test_port_taken(accounts_file: Path, door: str) -> None:
    """As by one process, although the workers share their ports; by another's workers, too, before they listen."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        environment = {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
            "TRANSFER_GATEWAY_HTTP_PORT": port if door == "http" else "0",
            "TRANSFER_GATEWAY_GRPC_PORT": port if door == "grpc" else "0",
        }
        code, out, err = await run("serve", "--workers", "2", **environment)
    assert (code, out) == (1, "")
    [told] = err.splitlines()
    assert told.startswith(
        f"error: cannot listen on 127.0.0.1:{port}: Address already in use; choose another port"
    )


@pytest.mark.parametrize("number", ["0", "65", "two", "-1"])
@pytest.mark.variants(keep=1)
async def test_wrong_number(accounts_file: Path, number: str) -> None:
    """By the option or the setting: the bounds are named."""
    code, _, err = await run("serve", f"--workers={number}")
    assert code == 2
    assert f"argument --workers: must be 1 to 64; got {number!r}" in err
    environment = {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_WORKERS": number,
    }
    code, _, err = await run("serve", **environment)
    assert code == 2
    assert err.startswith("error: TRANSFER_GATEWAY_WORKERS: ")


def test_share_of_limits(settings: Callable[..., Settings]) -> None:
    """What callers may use is divided, and never nothing; the rest is of each worker."""
    whole = settings(workers=3, caller_requests_burst=4, caller_max_subscriptions=2)
    share = share_of(whole)
    assert share.caller_requests_per_s == pytest.approx(whole.caller_requests_per_s / 3)
    assert (share.caller_requests_burst, share.caller_max_subscriptions) == (2, 1)
    assert (share.http_max_connections, share.grpc_max_connections) == (1334, 334)
    assert share.snapshots_max_bytes == whole.snapshots_max_bytes
    assert share_of(settings()) == settings()


@pytest.mark.thorough
async def test_one_is_killed(aws: Emulator, world: World, accounts_file: Path) -> None:
    """The other goes on, at the same ports, and the killed one comes back; its death is logged."""
    key = place(world)
    async with two_workers(accounts_file) as serving:
        killed, other = children(serving.process.pid)
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in children(serving.process.pid))
        for _ in range(MANY):
            async with calling(serving.url) as gateway:
                assert (await gateway.look_up(key))["id"] == str(key)
        await becomes(lambda: by_worker(serving, "transfer_gateway_worker_up"), {"1": 1, "2": 1})
        now = children(serving.process.pid)
        assert other in now
        assert len(set(now) - {other, killed}) == 1
        async with rpc(serving) as stub:
            assert (await RpcDoor(stub).get(to_input(key)))["id"] == str(key)
        code, log = await serving.stop()
    assert code == 0
    ended = events(log, "worker_ended")
    assert [(event["exit_code"], event["level"]) for event in ended] == [(-signal.SIGKILL, "error")]
    assert ended[0]["restart_in_s"] < 1


@pytest.mark.thorough
async def test_one_cannot_start_again(accounts_file: Path) -> None:
    """It says why in the log, and is tried again until it can; the other goes on."""
    good = accounts_file.read_text()
    async with two_workers(accounts_file) as serving:
        accounts_file.write_text("accounts: [")
        os.kill(children(serving.process.pid)[0], signal.SIGKILL)
        await until(lambda: len(events(serving.log_so_far(), "worker_ended")) == 3)
        assert sorted((await by_worker(serving, "transfer_gateway_worker_up")).values()) == [0, 1]
        accounts_file.write_text(good)
        await becomes(lambda: by_worker(serving, "transfer_gateway_worker_up"), {"1": 1, "2": 1})
        code, log = await serving.stop()
    assert code == 0
    assert [event["exit_code"] for event in events(log, "worker_ended")[:3]] == [-signal.SIGKILL, 2, 2]
    refused = events(log, "worker_not_started")[0]
    assert (refused["worker"], refused["level"]) == (1, "error")
    assert refused["problems"][0].startswith(f"{accounts_file}:")


@pytest.mark.thorough
async def test_one_hangs(aws: Emulator, world: World, accounts_file: Path) -> None:
    """It is replaced after half a minute; meanwhile the other answers."""
    key = place(world)
    async with two_workers(accounts_file) as serving:
        stopped, other = children(serving.process.pid)
        os.kill(stopped, signal.SIGSTOP)
        async with asyncio.TaskGroup() as tasks:
            lookups = [tasks.create_task(answered(serving, key)) for _ in range(MANY)]
            await until(lambda: sum(lookup.done() for lookup in lookups) > 1)
            assert is_running(stopped)
            await until(lambda: not is_running(stopped), within_s=45)
        assert {lookup.result() for lookup in lookups} == {True, False}
        await becomes(lambda: by_worker(serving, "transfer_gateway_worker_up"), {"1": 1, "2": 1})
        assert other in children(serving.process.pid)
        async with calling(serving.url) as gateway:
            assert (await gateway.look_up(key))["id"] == str(key)
        code, log = await serving.stop()
    assert code == 0
    [hung] = events(log, "worker_hangs")
    assert (hung["silent_s"], hung["level"]) == (30, "error")
    assert [event["exit_code"] for event in events(log, "worker_ended")] == [-signal.SIGKILL]


async def answered(serving: Started, key: ExecutionKey) -> bool:
    """On a connection of its own. False: the connection broke."""
    try:
        async with calling(serving.url) as gateway:
            return bool((await gateway.look_up(key))["id"] == str(key))
    except aiohttp.ClientError:
        return False


@pytest.mark.thorough
async def test_all_are_stopped_for_long(accounts_file: Path) -> None:
    """As by Ctrl-Z, or a pause of their container: nobody is taken for one that hangs."""
    async with two_workers(accounts_file) as serving:
        all_pids = [serving.process.pid, *children(serving.process.pid)]
        for pid in all_pids:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(35)  # longer than a worker may be silent
        for pid in all_pids:
            os.kill(pid, signal.SIGCONT)
        await becomes(lambda: by_worker(serving, "transfer_gateway_worker_up"), {"1": 1, "2": 1})
        code, log = await serving.stop()
    assert (code, events(log, "worker_hangs"), events(log, "worker_ended")) == (0, [], [])


@pytest.mark.thorough
async def test_all_end_with_their_parent(accounts_file: Path, folder: Path) -> None:
    """Killed, it can tell nobody: they notice, and drain. Who starts next removes their temporary directory."""
    environment = in_folder(folder, accounts_file)
    async with started(*TWO, **environment) as serving:
        workers = children(serving.process.pid)
        (left,) = folder.iterdir()
        serving.process.kill()
        await until(lambda: not any(map(is_running, workers)))
        log = serving.log_so_far()
    assert {event["worker"] for event in events(log, "stopped")} == {1, 2}
    async with started("serve", "--http-port", "0", **environment) as serving:
        (now,) = folder.iterdir()
        assert now != left
        await serving.stop()
    assert list(folder.iterdir()) == []


def in_folder(folder: Path, accounts_file: Path) -> dict[str, str]:
    return {
        "TMPDIR": str(folder),
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_HISTORY_URL": "sqlite://",
    }


@pytest.mark.thorough
async def test_their_directory_is_removed(accounts_file: Path, folder: Path, tmp_path: Path) -> None:
    """As by a cleaner of temporary files: history and metrics work again, also of a worker that starts again."""
    async with started(*TWO, **in_folder(folder, accounts_file)) as serving:

        async def works() -> None:
            await becomes(lambda: by_worker(serving, "transfer_gateway_worker_up"), {"1": 1, "2": 1})
            await becomes(lambda: by_worker(serving, "transfer_gateway_replicas"), {"1": 2, "2": 2})
            first, second = children(serving.process.pid)
            await until(lambda: histories(first) == histories(second) != set())

        await works()
        (removed,) = folder.iterdir()
        removed.rename(tmp_path / "removed")  # at once, so that nobody makes it again meanwhile
        await until(removed.exists)
        await works()
        os.kill(children(serving.process.pid)[0], signal.SIGKILL)
        await until(lambda: events(serving.log_so_far(), "worker_ended"))
        await works()
        code, _ = await serving.stop()
    assert code == 0
    assert list(folder.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("to", ["parent", "group", "workers-first"])
async def test_second_signal_cancels(aws: Emulator, world: World, accounts_file: Path, to: str) -> None:
    """Not the first, though a terminal or service manager sends it to the workers, too, before or after the parent."""
    key = place(world)
    aws.faults.add(Fault(FaultKind.HANG, operation="DescribeExecution"))
    limits = {"REQUEST_TIMEOUT_S": "90", "SHUTDOWN_GRACE_S": "90", "AWS_READ_TIMEOUT_S": "80"}
    async with two_workers(accounts_file, **limits) as serving:
        parent, workers = serving.process.pid, children(serving.process.pid)
        told = {"parent": [parent], "group": [parent, *workers], "workers-first": [*workers, parent]}[to]
        async with calling(serving.url) as gateway, asyncio.TaskGroup() as tasks:
            lookups = [
                tasks.create_task(gateway.post({"query": LOOKUP, "variables": {"key": to_input(key)}}))
                for _ in range(MANY)
            ]
            await until(lambda: described(aws) == 2)
            for pid in told:
                os.kill(pid, signal.SIGINT)
            await until(lambda: len(events(serving.log_so_far(), "shutting_down")) == 2)
            await asyncio.sleep(0.5)  # in which nothing must be cancelled
            assert not any(lookup.done() for lookup in lookups)
            for pid in told:
                os.kill(pid, signal.SIGINT)
        code, _ = await serving.stop()
    assert code == 0
    assert {lookup.result().status for lookup in lookups} == {503}


LOOKUP = "query($key: ExecutionKey!) { executionOrError(key: $key, maxAge: 60) { __typename } }"


@pytest.mark.thorough
@pytest.mark.parametrize("moment_s", [0, 0.3, 1, 2, 3, 4])
async def test_ends_with_0_whenever_it_is_told(accounts_file: Path, moment_s: float) -> None:
    """While the first starts, while the second does, and after that."""
    async with two_workers_starting(accounts_file) as (pid, end):
        await asyncio.sleep(moment_s)  # the moment is what is tested
        os.kill(pid, signal.SIGTERM)
        code, err = await end()
    assert (code, "Traceback" in err) == (0, False), err


@asynccontextmanager
async def two_workers_starting(accounts_file: Path) -> AsyncIterator[tuple[int, Callable[[], Any]]]:
    environment = os.environ | {
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_SHUTDOWN_DELAY_S": "0",
    }
    process = await fork(*TWO, environment=environment)

    async def end() -> tuple[int | None, str]:
        _, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, err.decode()

    try:
        await until(lambda: children(process.pid))
        yield process.pid, end
    finally:
        process.kill()
        await process.wait()


@pytest.mark.thorough
async def test_lines_of_the_log_are_whole(aws: Emulator, world: World, accounts_file: Path) -> None:
    """Although both write to one pipe, more than it takes at once."""
    keys = [to_input(place(world)) for _ in range(100)]
    many = "query($keys: [ExecutionKey!]!) { executions(keys: $keys, maxAge: 60) { __typename } }"
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    read = asyncio.create_task(asyncio.to_thread(_read, reading))
    async with started_with(*TWO, environment=environment, stderr=writing) as serving:
        os.close(writing)
        async with calling(serving.url) as gateway:
            for _ in range(3):
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(MANY):
                        tasks.create_task(gateway.post({"query": many, "variables": {"keys": keys}}))
        serving.signal()
        await serving.process.wait()
    lines = [json.loads(line) for line in (await read).splitlines()]
    assert {line.get("worker") for line in lines if line["event"] == "http_request"} == {1, 2}


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as file:
        return file.read()
