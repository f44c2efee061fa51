"""This gateway beside what one would use instead, in one go: writes docs/benchmarks.md and its picture.

    uv run --group bench python bench/compare.py [--jobs hot,distinct] [--runs 3] [--quick]

With all jobs it takes about a quarter of an hour; `--quick` is for a look in between, prints what it finds, and keeps
to jobs that are soon done. With `--jobs` the report is printed, too. `--write` writes it in any case.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
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
    from comparison.aws import Aws

JOBS = ("hot", "selected", "distinct", "grpc", "profile", "poll", "fanout", "sick", "growth")
QUICK = ("hot", "selected", "distinct", "grpc")
DOCS = BENCH.parent / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", help=f"of {','.join(JOBS)}")
    parser.add_argument("--runs", type=int, default=5, help="of which the median is taken")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    jobs = arguments.jobs.split(",") if arguments.jobs else QUICK if arguments.quick else JOBS
    if unknown := set(jobs) - set(JOBS):
        parser.error(f"no such job: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and with it all that it started
    check_tools()
    if len(CORES) < 2:
        sys.exit("needs two cores")
    os.sched_setaffinity(0, {OTHER_CORE})
    install_apollo()
    pace = Pace(min(arguments.runs, 2), 3) if arguments.quick else Pace(arguments.runs, 3)
    found = Results()
    with emulated_aws(ACCOUNTS, EXECUTIONS) as aws:
        _throughput(found, jobs, aws, pace)
    if {"fanout", "sick"} & set(jobs):
        with emulated_aws(FANOUT_ACCOUNTS, 1) as aws:
            if _begins("fanout", jobs):
                found.fanout = thousand(aws, min(pace.runs, 3))
            if _begins("sick", jobs):
                found.sick = sick(aws)
    if _begins("growth", jobs):
        with emulated_aws(max(GROWTH), 1) as aws:
            found.growth = growth(aws)
    text = report(found, pace.runs)
    if arguments.write or (jobs == JOBS and not arguments.quick):
        (DOCS / "benchmarks.md").write_text(text)
        if found.growth:
            plot(found.growth, DOCS / "benchmarks-growth.svg")
    else:
        print(text)


def _throughput(found: Results, jobs: tuple[str, ...], aws: Aws, pace: Pace) -> None:
    if _begins("hot", jobs):
        found.hot = hot(aws, pace)
    if _begins("selected", jobs):
        found.selected = selected(aws, pace)
    if _begins("distinct", jobs):
        found.distinct = distinct(aws, pace)
    if _begins("grpc", jobs):
        found.grpc = grpc_hot(aws, pace)
    if _begins("profile", jobs):
        found.profile = profile(aws)
    if _begins("poll", jobs):
        found.poll = poll(aws)


def _begins(job: str, jobs: tuple[str, ...]) -> bool:
    if job in jobs:
        print(f"{time.strftime('%H:%M:%S')} {job}", file=sys.stderr)
    return job in jobs


if __name__ == "__main__":
    main()
