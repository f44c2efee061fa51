"""How many more requests do several workers answer than one process? One execution again and again, from the cache.

    uv run python bench/workers.py [--workers 2] [--runs 5] [--for-s 5]

Needs `wrk`, which takes a part of the same cores, as do the emulated AWS and whatever else runs there: all of it is
printed. What they could do on cores of their own follows from their CPU time for a request; it is at most that, since a
process that waits for its turn reads more requests at once.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comparison.aws import emulated_aws
from comparison.documents import LOOKUP
from comparison.load import CONNECTIONS, ask
from comparison.processes import CORES, TICK_S
from comparison.sides import gateway_workers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comparison.processes import Running

# A constant request, so that the client costs little.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["accept"] = "application/json"
wrk.body = [==[{body}]==]
function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("\\nanswered %d failed %d\\n", summary.requests, failed))
end
"""


_QUIET_CORES = 0.15  # that others use, at most, in a run that counts as one without other load


@dataclass(frozen=True)
class Run:
    """Requests per second, and the cores that the gateway, wrk and everything else used."""

    per_s: float
    gateway: float
    wrk: float
    others: float

    @property
    def cpu_us(self) -> float:
        """The gateway's CPU time for a request."""
        return self.gateway / self.per_s * 1e6

    def __str__(self) -> str:
        return (
            f"{self.per_s:6.0f} a second, {self.cpu_us:4.0f} µs CPU each; cores: gateway {self.gateway:.2f}, "
            f"wrk {self.wrk:.2f}, others {self.others:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5, help="of each")
    parser.add_argument("--for-s", type=int, default=5, help="seconds of each")
    arguments = parser.parse_args()
    with emulated_aws(1, 1) as aws, ExitStack() as stack, tempfile.NamedTemporaryFile("w") as script:
        sides = [stack.enter_context(gateway_workers(aws, workers)) for workers in (1, arguments.workers)]
        variables = {"key": aws.keys[0], "maxAge": 3600}
        script.write(_SCRIPT.replace("{body}", json.dumps({"query": LOOKUP, "variables": variables})))
        script.flush()
        for side in sides:
            found = ask(side.url, LOOKUP, variables)["data"]["executionOrError"]
            assert found["__typename"] == "Execution", found
        runs: list[list[Run]] = [[], []]
        for turn in range(arguments.runs + 1):  # the first to warm up
            for side, measured in zip(sides, runs, strict=True):
                run = _run(side, script.name, arguments.for_s)
                print(f"{side.name}: {run}", file=sys.stderr)
                if turn:
                    measured.append(run)
    pairs = list(zip(*runs, strict=True))
    quiet = [pair for pair in pairs if max(run.others for run in pair) < _QUIET_CORES]
    print(f"{len(CORES)} cores, {CONNECTIONS} connections, runs of {arguments.for_s} s in turns")
    for name, chosen in ((f"all {len(pairs)}", pairs), (f"the {len(quiet)} without other load", quiet)):
        if chosen:
            print(f"medians of {name}:")
            _report(sides, chosen, arguments.workers)


def _report(sides: Sequence[Running], pairs: Sequence[tuple[Run, ...]], workers: int) -> None:
    for side, measured in zip(sides, zip(*pairs, strict=True), strict=True):
        print(f"  {side.name}: {_median(measured)}")
    ratios = [several.per_s / one.per_s for one, several in pairs]
    costs = [one.cpu_us / several.cpu_us for one, several in pairs]
    print(
        f"  rate: {statistics.median(ratios):.2f} times one worker's ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print(f"  by CPU time, on cores of their own: at most {statistics.median(costs) * workers:.2f} times")


def _run(side: Running, script: str, for_s: int) -> Run:
    began, busy, gateway, wrk = time.monotonic(), _busy_s(), side.cpu_s(), _wrk_s()
    command = (
        "wrk",
        "--threads=1",
        f"--connections={CONNECTIONS}",
        f"--duration={for_s}",
        "--timeout=30",
        "--script",
        script,
    )
    printed = subprocess.run((*command, side.url), check=True, capture_output=True, text=True).stdout
    took_s, busy, gateway, wrk = (
        time.monotonic() - began,
        _busy_s() - busy,
        side.cpu_s() - gateway,
        _wrk_s() - wrk,
    )
    told = re.search(r"answered (\d+) failed (\d+)", printed)
    assert told is not None, printed
    if int(told[2]):
        sys.exit(f"{side.name}: {told[2]} requests failed:\n{printed}")
    others = max(0.0, busy - gateway - wrk)
    return Run(int(told[1]) / took_s, gateway / took_s, wrk / took_s, others / took_s)


def _wrk_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _busy_s() -> float:
    """CPU time of everything on these cores. Source: proc_stat(5)."""
    lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    ours = {f"cpu{core}" for core in CORES}
    # User, nice, system; then idle and waiting; then interrupts.
    return sum(sum(map(int, (*line[1:4], *line[6:8]))) * TICK_S for line in lines if line[0] in ours)


def _median(runs: Sequence[Run]) -> Run:
    fields = ("per_s", "gateway", "wrk", "others")
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in fields))


if __name__ == "__main__":
    main()
