"""`/metrics` of several workers: the one that is asked answers for all, with a label `worker` on each sample."""

from __future__ import annotations

import asyncio
import re
import socket
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from transfer_gateway.telemetry.log import get_logger
from transfer_gateway.telemetry.metrics import gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from transfer_gateway.telemetry.metrics import Metrics
    from transfer_gateway.temporary_folder import TemporaryFolder

_log = get_logger(__name__)
_ANSWER_S = 5.0  # for one worker; Prometheus waits for 10 s
_ALL_MAX_BYTES = 128 * 2**20  # of the others' answers together
_REST_S = 0.5
_LOOK_S = 2.0  # whether the socket is still there
_LENGTH_BYTES = 8  # before an answer, so that one that is cut off is noticed
_ACCEPT_MAX_BYTES = 1024
_PIECE_BYTES = 2**20
# What prometheus_client writes: families, each of comments and samples.
_FAMILY = re.compile(rb"^# HELP ", re.MULTILINE)
_COMMENTS = re.compile(rb"[^\n]*\n(?:#[^\n]*\n)*")
_LABELS = re.compile(rb"^(\w[\w:]*)\{", re.MULTILINE)
_NO_LABELS = re.compile(rb"^(\w[\w:]*) ", re.MULTILINE)
_END = b"# EOF\n"  # of OpenMetrics


@dataclass(slots=True)
class _Collection:
    """In progress, for all who have asked for this format meanwhile."""

    task: asyncio.Task[bytes]
    waiting: int = 0


class WorkerMetrics:
    """The metrics of all workers. `sockets`: where each answers the others, by its number, in `folder`.

    One that does not answer in 5 s, or with more than its part of 128 MiB, is left out.
    `transfer_gateway_worker_up` says which.

    Who asks during a collection gets its answer, begun up to 5 s before: the next one could take longer than Prometheus
    waits. Formats are collected one after the other, for the sake of memory.
    """

    def __init__(
        self,
        own: Metrics,
        number: int,
        sockets: Mapping[int, Path],
        folder: TemporaryFolder,
        *,
        timeout_s: float = _ANSWER_S,
    ) -> None:
        self._own = own
        self._number = number
        self._sockets = sockets
        self._folder = folder
        self._timeout_s = timeout_s
        self._max_bytes = _ALL_MAX_BYTES // (len(sockets) - 1)
        self._collections: dict[str, _Collection] = {}
        self._one_at_a_time = asyncio.Lock()

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """As that of Metrics."""
        accept = accept[:_ACCEPT_MAX_BYTES].replace("\n", " ")
        encode, media_type = choose_encoder(accept)
        shared = self._collections.get(media_type)
        if shared is None:
            task = asyncio.create_task(self._collect(accept, encode), context=Context())
            shared = self._collections[media_type] = _Collection(task)
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task), media_type
        finally:
            shared.waiting -= 1
            if shared.waiting == 0:
                del self._collections[media_type]
                shared.task.cancel()

    async def _collect(self, accept: str, encode: Callable[[Collector], bytes]) -> bytes:
        async with self._one_at_a_time:
            async with asyncio.TaskGroup() as tasks:
                asked = {number: tasks.create_task(self._ask(number, accept)) for number in self._sockets}
            texts = {number: task.result() for number, task in asked.items()}
            registry = CollectorRegistry()
            registry.register(
                WorkersUp({(str(number),): float(text is not None) for number, text in texts.items()})
            )
            answered = [text for text in texts.values() if text is not None]
            return await asyncio.to_thread(_merged, [*answered, encode(registry)])

    async def answer_others(self) -> None:
        """Answer other workers until cancelled, also after the directory has been removed."""
        path = self._sockets[self._number]
        while True:
            try:
                self._folder.hold()
                path.unlink(missing_ok=True)  # that of the process before, which was killed
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.setblocking(False)  # noqa: FBT003  the library's
                    listener.bind(str(path))
                    listener.listen()
                    async with asyncio.TaskGroup() as tasks:
                        answering = tasks.create_task(self._answer_all(listener))
                        while path.exists():  # noqa: ASYNC110  nobody says when it is removed
                            await asyncio.sleep(_LOOK_S)
                        answering.cancel()
            except OSError:  # no descriptor is left, or others have made the directory
                await asyncio.sleep(_REST_S)

    async def _answer_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as answers:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError:  # no descriptor is left
                    await asyncio.sleep(_REST_S)
                    continue
                answers.create_task(self._answer(connection))

    async def _answer(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            try:
                async with asyncio.timeout(self._timeout_s):
                    accept = b""
                    while not accept.endswith(b"\n"):
                        if not (piece := await loop.sock_recv(connection, _ACCEPT_MAX_BYTES)):
                            return
                        accept += piece
                    text = await self._labelled(accept.decode(errors="replace").strip())
                    await loop.sock_sendall(connection, len(text).to_bytes(_LENGTH_BYTES))
                    await loop.sock_sendall(connection, text)
            except OSError:  # a TimeoutError among them: the other has given up, and says so
                return
            except Exception:  # noqa: BLE001  a fault ends this answer, not the service, as at the HTTP server
                _log.exception("metrics_not_answered")

    async def _labelled(self, accept: str) -> bytes:
        text, _ = await self._own.exposition(accept)
        return await asyncio.to_thread(_with_label, text, self._number)

    async def _ask(self, number: int, accept: str) -> bytes | None:
        """That worker's metrics. None: they did not come in time, or are too large."""
        if number == self._number:
            return await self._labelled(accept)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.setblocking(False)  # noqa: FBT003  the library's
                    await loop.sock_connect(connection, str(self._sockets[number]))
                    await loop.sock_sendall(connection, f"{accept}\n".encode())
                    length = int.from_bytes(await _read(connection, _LENGTH_BYTES))
                    return await _read(connection, length) if length <= self._max_bytes else None
        except OSError:  # a TimeoutError among them
            return None


class WorkersUp:
    def __init__(self, up: Mapping[tuple[str], float]) -> None:
        self._up = up

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "worker_up",
            "Of several workers: 0 for each whose metrics are missing here; else 1.",
            ("worker",),
            self._up,
        )


async def _read(connection: socket.socket, length: int) -> bytes:
    """Raises: OSError, if there is less."""
    loop, read = asyncio.get_running_loop(), bytearray()
    while len(read) < length:
        piece = await loop.sock_recv(connection, min(_PIECE_BYTES, length - len(read)))
        if not piece:
            raise ConnectionResetError
        read += piece
    return bytes(read)


def _with_label(text: bytes, number: int) -> bytes:
    label = b'worker="%d"' % number
    return _NO_LABELS.sub(rb"\1{" + label + b"} ", _LABELS.sub(rb"\1{" + label + b",", text))


def _merged(texts: list[bytes]) -> bytes:
    """One text, with each family once."""
    families: dict[bytes, list[bytes]] = {}
    for text in texts:
        for family in _FAMILY.split(text.removesuffix(_END))[1:]:
            comments = _COMMENTS.match(family)
            assert comments is not None  # noqa: S101  a family begins with a line
            families.setdefault(comments[0], []).append(family[comments.end() :])
    merged = [b"# HELP " + comments + b"".join(samples) for comments, samples in families.items()]
    return b"".join([*merged, _END] if texts[0].endswith(_END) else merged)
