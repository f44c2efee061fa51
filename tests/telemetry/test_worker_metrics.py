"""`/metrics` of several workers: each answers for all, over their sockets."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from transfer_gateway.telemetry import Metrics, WorkerMetrics, counter, gauge
from transfer_gateway.temporary_folder import TemporaryFolder
from wire import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

    from prometheus_client.core import Metric

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Things:
    def __init__(self, number: int) -> None:
        self._number = number

    def collect(self) -> Iterator[Metric]:
        yield counter(
            "things", 'Of all kinds.\n# HELP "{}', ("kind",), {('a"{b} c\n# HELP d',): self._number}
        )
        yield gauge("level", "Without labels.", (), self._number)


@asynccontextmanager
async def workers(
    folder: Path, count: int, answering: int, timeout_s: float = 60
) -> AsyncIterator[WorkerMetrics]:
    """The first of so many workers, and so many that answer, it among them."""
    sockets = {number: folder / f"{number}.sock" for number in range(1, count + 1)}
    all_metrics = [
        WorkerMetrics(Metrics(Things(number)), number, sockets, TemporaryFolder(folder), timeout_s=timeout_s)
        for number in sockets
    ]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.answer_others()) for each in all_metrics[:answering]]
        await until(lambda: all(path.exists() for path in list(sockets.values())[:answering]))
        yield all_metrics[0]
        for task in running:
            task.cancel()


@pytest.mark.parametrize(("accept", "parsed"), [("", parse), (OPENMETRICS, parse_openmetrics)])
async def test_one_answers_for_all(
    tmp_path: Path, accept: str, parsed: Callable[[str], Iterable[Metric]]
) -> None:
    """In both formats, each family once, each sample with its worker, whatever its labels are."""
    async with workers(tmp_path, 3, 3) as metrics:
        text, media_type = await metrics.exposition(accept)
    assert media_type.startswith(accept.partition(";")[0] or "text/plain")
    families = list(parsed(text.decode()))
    assert len({family.name for family in families}) == len(families)
    values = {
        (sample.name, sample.labels.get("kind"), sample.labels["worker"]): sample.value
        for family in families
        for sample in family.samples
    }
    for number in range(1, 4):
        assert values["transfer_gateway_things_total", 'a"{b} c\n# HELP d', str(number)] == number
        assert values["transfer_gateway_level", None, str(number)] == number
        assert values["transfer_gateway_worker_up", None, str(number)] == 1


async def test_one_is_missing(tmp_path: Path) -> None:
    """It is left out, and the answer says so. What a killed one has left behind is no obstacle to the next."""
    async with workers(tmp_path, 2, 1) as metrics:
        assert await up(metrics) == {"1": 1, "2": 0}
    async with workers(tmp_path, 2, 2) as metrics:
        assert await up(metrics) == {"1": 1, "2": 1}


async def up(metrics: WorkerMetrics) -> dict[str, float]:
    text, _ = await metrics.exposition("")
    [family] = [each for each in parse(text.decode()) if each.name == "transfer_gateway_worker_up"]
    return {sample.labels["worker"]: sample.value for sample in family.samples}


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        pytest.param(b"", True, id="hangs"),
        pytest.param((2**40).to_bytes(8) + b"#", False, id="too-large"),
        pytest.param((10).to_bytes(8) + b"# HELP", False, id="cut-off"),
        pytest.param(b"1", False, id="no-length"),
    ],
)
async def test_one_does_not_answer_well(tmp_path: Path, answer: bytes, *, waits: bool) -> None:
    """It is left out, after a limited time."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "2.sock"))
        other.listen()
        async with (
            workers(tmp_path, 2, 1, timeout_s=0.2 if waits else 60) as metrics,
            asyncio.TaskGroup() as tasks,
        ):
            asked = tasks.create_task(up(metrics))
            connection, _ = await asyncio.to_thread(other.accept)
            with connection:
                connection.sendall(answer)
                if not waits:
                    connection.shutdown(socket.SHUT_WR)
                assert await asked == {"1": 1, "2": 0}


async def test_who_asks_meanwhile_shares_the_answer(tmp_path: Path) -> None:
    """Also if who asked first has gone. Other formats are collected afterwards; what nobody waits for is given up."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "2.sock"))
        other.listen()
        other.setblocking(False)  # noqa: FBT003  the library's
        async with workers(tmp_path, 2, 1) as metrics, asyncio.TaskGroup() as tasks:
            first, second, third = [tasks.create_task(metrics.exposition("")) for _ in range(3)]
            another_format = tasks.create_task(metrics.exposition(OPENMETRICS))
            connection, _ = await loop.sock_accept(other)
            first.cancel()
            with connection:
                await loop.sock_sendall(connection, (0).to_bytes(8))
                assert await second == await third
            assert first.cancelled()
            connection, _ = await loop.sock_accept(other)
            with connection:
                assert await loop.sock_recv(connection, 1024) == f"{OPENMETRICS}\n".encode()
                another_format.cancel()
                assert await loop.sock_recv(connection, 1024) == b""  # closed
        with pytest.raises(BlockingIOError):
            other.accept()
