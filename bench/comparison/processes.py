"""Processes pinned to cores, and their resource usage."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CORES = sorted(os.sched_getaffinity(0))
SIDE_CORE, OTHER_CORE = CORES[0], CORES[-1]  # the measured program; the emulated AWS and the clients
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A process, with its children, and the lines that it printed until it was ready."""

    name: str
    process: subprocess.Popen[str]
    lines: tuple[str, ...]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """Its GraphQL URL."""
        return self.lines[0].split()[-1].rstrip("/")

    @property
    def address(self) -> str:
        """Its gRPC address."""
        return self.lines[-1].split()[-1]

    def cpu_s(self) -> float:
        """CPU seconds used so far, in user and kernel mode."""
        return sum(map(_cpu_s, self._tree()))

    def memory_mb(self, which: str = "VmRSS") -> float:
        """Resident memory now, or at its peak (`VmHWM`)."""
        return sum(_memory_mb(pid, which) for pid in self._tree())

    def _tree(self) -> list[int]:
        found = [self.pid]
        for pid in found:  # it grows
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, children.read_text().split())
        return found


@contextmanager
def running(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, core: int | str, lines: int = 1
) -> Iterator[Running]:
    """Start it on that core, or those, wait for that many lines, and end it afterwards. Its log goes to a file."""
    pinned = ["taskset", "--cpu-list", str(core), *command]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            pinned, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            yield Running(name, process, tuple(_line(process, log) for _ in range(lines)))
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line.strip()
    log.seek(0)
    sys.exit(f"{process.args!r} did not start:\n{log.read()}")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _memory_mb(pid: int, which: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(which)
