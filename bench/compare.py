"""Compares this gateway with its alternatives: writes docs/benchmarks.md and its chart.

    uv run --group bench python bench/compare.py [--jobs hot,distinct] [--runs 3] [--quick]

All jobs take about a quarter of an hour; `--quick` runs only short jobs and prints the results. With `--jobs` the
report is printed, too. `--write` writes it in any case; `--results` completes an interrupted run.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from comparison.aws import emulated_aws
from comparison.fanout import ACCOUNTS as FANOUT_ACCOUNTS
from comparison.fanout import GROWTH, growth, sick, thousand
from comparison.load import check_tools
from comparison.plot import plot
from comparison.polling import poll
from comparison.processes import CORES, OTHER_CORE
from comparison.profile import profile
from comparison.rates import ACCOUNTS, EXECUTIONS, Pace, distinct, grpc_hot, hot, selected
from comparison.report import report
from comparison.results import Results
from comparison.sides import BENCH, install_apollo

if TYPE_CHECKING:
    from collections.abc import Callable

    from comparison.aws import Aws

JOBS: dict[str, Callable[[Aws, Pace], object]] = {
    "hot": hot,
    "selected": selected,
    "distinct": distinct,
    "grpc": grpc_hot,
    "profile": lambda aws, _: profile(aws),
    "poll": lambda aws, _: poll(aws),
    "fanout": lambda aws, pace: thousand(aws, min(pace.runs, 3)),
    "sick": lambda aws, _: sick(aws),
    "growth": lambda aws, _: growth(aws),
}
QUICK = ("hot", "selected", "distinct", "grpc")
WORLDS = {"fanout": (FANOUT_ACCOUNTS, 1), "sick": (FANOUT_ACCOUNTS, 1), "growth": (max(GROWTH), 1)}
DOCS = BENCH.parent / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", help=f"of {','.join(JOBS)}")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--results", type=Path, help="a file that keeps each job's figures for a later run")
    arguments = parser.parse_args()
    jobs = tuple(arguments.jobs.split(",")) if arguments.jobs else QUICK if arguments.quick else tuple(JOBS)
    if unknown := set(jobs) - set(JOBS):
        parser.error(f"no such job: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and with it all that it started
    check_tools()
    if len(CORES) < 2:
        sys.exit("needs two cores")
    os.sched_setaffinity(0, {OTHER_CORE})
    install_apollo()
    pace = Pace(min(arguments.runs, 2) if arguments.quick else arguments.runs, 3)
    kept: Path | None = arguments.results
    found = Results()
    if kept is not None and kept.exists():
        found = pickle.loads(kept.read_bytes())  # noqa: S301  our own
    for job, measure in JOBS.items():
        if job in jobs:
            print(f"{time.strftime('%H:%M:%S')} {job}", file=sys.stderr)
            with emulated_aws(*WORLDS.get(job, (ACCOUNTS, EXECUTIONS))) as aws:
                try:
                    setattr(found, job, measure(aws, pace))
                except (
                    AssertionError
                ) as error:  # a side that gave up: the other jobs are worth as much without
                    print(f"{job}: left out, for {error}", file=sys.stderr)
            if kept is not None:
                kept.write_bytes(pickle.dumps(found))
    text = report(found, pace.runs)
    if arguments.write or (jobs == tuple(JOBS) and not arguments.quick):
        (DOCS / "benchmarks.md").write_text(text)
        if found.growth:
            plot(found.growth, DOCS / "benchmarks-growth.svg")
    else:
        print(text)


if __name__ == "__main__":
    main()
