"""A process's memory, file descriptors and threads, and whether they stay constant."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass, field
from pathlib import Path

_REST_S = 40  # botocore keeps idle connections for 12


@dataclass(frozen=True)
class Vitals:
    """One sample of a process."""

    at_s: float
    rss_mb: float
    pss_mb: float
    descriptors: int
    threads: float


@dataclass(frozen=True)
class Growth:
    """One figure after warm-up: the medians of its second and last quarter, and the total growth of a fitted line."""

    first: float
    second_quarter: float
    last_quarter: float
    fitted: float

    def exceeds(self, bound: float) -> bool:
        """Both must agree: a spike bends the line, and a temporary step shifts the medians."""
        return self.fitted > bound and self.last_quarter - self.second_quarter > bound / 2


@dataclass
class Watch:
    """Takes a sample every second until stopped. Nothing is judged for `warm_up_s`."""

    pid: int
    warm_up_s: float
    seen: list[Vitals] = field(default_factory=list)

    async def look(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not stop.is_set():
            self.seen.append(vitals(self.pid, loop.time() - started))
            await asyncio.sleep(1)

    async def descriptors_left(self, bound: int) -> int:
        """How many more there are than at the start, once requests have stopped and idle connections have ended.

        Under load their number depends on how busy the machine is: callers, and the pool to AWS, open a connection for
        each request that finds no free one, and keep it for a while. Leaks show once these are closed.
        """
        for _ in range(2 * _REST_S):
            left = _descriptors(self.pid) - self.seen[0].descriptors
            if left <= bound:
                break
            await asyncio.sleep(0.5)
        return left

    def growth(self, name: str) -> Growth:
        judged = [one for one in self.seen if one.at_s >= self.warm_up_s]
        figures: list[float] = [getattr(one, name) for one in judged]
        times = [one.at_s for one in judged]
        quarter = len(judged) // 4
        slope = statistics.linear_regression(times, figures).slope
        return Growth(
            getattr(self.seen[0], name),
            statistics.median(figures[quarter : 2 * quarter]),
            statistics.median(figures[3 * quarter :]),
            slope * (times[-1] - times[0]),
        )


def vitals(pid: int, at_s: float) -> Vitals:
    of = Path(f"/proc/{pid}")
    kilobytes: dict[str, str] = {}
    for file in ("status", "smaps_rollup"):
        for line in (of / file).read_text(encoding="ascii").splitlines():
            name, _, figure = line.partition(":")
            kilobytes.setdefault(name, figure.split()[0] if figure.split() else "")
    return Vitals(
        at_s,
        int(kilobytes["VmRSS"]) / 1024,
        int(kilobytes["Pss"]) / 1024,
        _descriptors(pid),
        int(kilobytes["Threads"]),
    )


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
