"""Writes docs/benchmarks.md."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from comparison.aims import aims
from comparison.sides import BENCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from comparison.load import Rate
    from comparison.results import Results

PYTHON = (
    "strawberry-graphql",
    "graphql-core",
    "uvicorn",
    "uvloop",
    "aiobotocore",
    "aiohttp",
    "grpcio",
    "boto3",
)
NODE = ("@apollo/server", "graphql", "@aws-sdk/client-transfer")
INTRODUCTION = """# Benchmarks

CPU, latency and memory of the gateway, compared with the alternatives. For everybody who decides whether to use it.

Written by `{command}`, on {date}, at commit {commit}. Anyone can run it: it
needs two cores, Node 20 or newer, and `wrk` and `h2load` (Debian's packages wrk and nghttp2-client).

The measured program has one core to itself; the clients and the emulated AWS share the other. Programs are measured in
turns, and a figure is the median of {runs} runs. Trust the ratios more than the figures: on a
shared machine rates and latencies suffer most, and 20 % is noise. **CPU** is user and kernel time of the whole process
per request.

Machine: {machine}; load average at the end of this run: {load:.1f}, of which the run itself causes about two. Versions:
{versions}.

These programs are compared; all of them are in [bench/](../bench/README.md):

- **gateway**: `transfer-gateway serve` as shipped, with its audit log, but with auth `none`, because the others don't
  authenticate callers. **No logs**: with `TRANSFER_GATEWAY_AUDIT_LOG=false` and `…_LOG_LEVEL=warning`, because the
  others log no requests. **GraphQL alone**: with `TRANSFER_GATEWAY_GRPC=false`, because the others have no gRPC server.
- **Apollo**: Apollo Server 5 with the gateway's schema and the AWS SDK for JavaScript v3, with a client and cached
  credentials per account. **With a cache**: it caches executions for as long as `maxAge` allows. **For partial
  results**: it returns an account's failure as data.
- **a day's work**: Strawberry and aiobotocore, as a developer would write it in a day, with a client per account.
- **boto3, 64 threads**: a script's fan-out, with reused clients.
- the lower bounds: **Starlette alone** parses the request's JSON and writes the response's, **grpc.aio echo** returns
  the same bytes, **signed aiohttp calls alone** call AWS with hand-written requests.

All programs' answers are compared field by field before the measurement.
"""
AIMS = """\
CPU and rates of the gateway are those without logs, and memory is that without gRPC, because the others have neither.
Apollo itself caches no executions, so each of its hot requests calls AWS; the targets were set for that one. The rows
"the same" are stricter.
"""
FANOUT = """## Fan-out

One request for 1,000 executions in 1,000 accounts, with AWS taking 50 ms per call. Cold: a new process, which assumes
every role first. Warm: its third request. The day's work was measured once.
"""
SICK = """## Faulted fan-out

One request for 271 accounts looked up before. AWS never answers for one of them, and throttles every call of another.
"""
POLL = """## Mixed poll

5,000 connections each request one of 500 executions once per second, with the default `maxAge` of a second. That
freshness needs 500 AWS calls per second. A client that is still waiting skips a request.
"""
GROWTH = """## Cost against the number of accounts

The first lookup of one execution in each account, 1,000 per request, by a new process: memory beyond that of the idle
process, and time.

![Memory and CPU against the number of accounts](benchmarks-growth.svg)
"""
PROFILE = """## Where the gateway's CPU goes: {job}

Shares of stack samples by the function on top, including the C code that it calls, and by package. Names are those of
commit {commit}; later versions may have renamed or moved them.
"""


def report(found: Results, runs: int) -> str:
    return "\n".join(_sections(found, runs)) + "\n"


def _sections(found: Results, runs: int) -> Iterator[str]:
    yield INTRODUCTION.format(
        command="uv run --group bench python bench/compare.py",
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=_output("git", "rev-parse", "--short", "HEAD"),
        runs=runs,
        machine=_machine(),
        load=os.getloadavg()[1],
        versions=_versions(),
    )
    yield "## Targets\n"
    yield _table(
        ("", "target", "measured", "met"),
        (
            (
                aim.what,
                f"{'at least' if aim.least else 'at most'} {aim.bound:.3g}",
                f"{aim.measured:.3g}",
                "yes" if aim.met else "**no**",
            )
            for aim in aims(found)
        ),
    )
    yield AIMS
    yield from _rates(
        "Hot",
        found.hot,
        "64 connections request one execution with 48 fields and a `maxAge` of an hour. Apollo and the day's work have "
        "no cache, so each of their requests calls AWS.",
    )
    yield from _rates(
        "Hot, another selection each time",
        found.selected,
        "200 documents with different selections, and 2,001 cached executions: no combination occurs twice in a run, "
        "so no answer can be reused.",
    )
    yield from _rates(
        "Distinct",
        found.distinct,
        "Each request is for another of 10,000 executions in 200 accounts, with `maxAge: 0`: each causes an AWS call, "
        "which the emulator counts.",
    )
    yield from _rates(
        "gRPC",
        found.grpc,
        "`GetExecution` of one execution, 64 concurrent calls over 8 connections, each with the same bytes. The echo "
        "parses no request, authenticates nobody, and counts and logs nothing: it is what grpc.aio alone costs.",
    )
    yield from _fanout(found)
    yield from _poll(found)
    yield from _growth(found)
    yield from _profile(found)


def _rates(title: str, rates: dict[str, Rate], what: str) -> Iterator[str]:
    if not rates:
        return
    yield f"## {title}\n\n{what}\n"
    yield _table(
        ("", "CPU, µs", "requests per second", "p50, ms", "p99, ms"),
        (
            (name, f"{rate.cpu_us:,.0f}", f"{rate.per_s:,.0f}", _ms(rate.p50_ms), _ms(rate.p99_ms))
            for name, rate in rates.items()
        ),
    )


def _fanout(found: Results) -> Iterator[str]:
    if found.fanout:
        yield FANOUT
        yield _table(
            (
                "",
                "cold, s",
                "its CPU, s",
                "warm, s",
                "its CPU, s",
                "peak memory, MB",
                "AWS calls cold",
                "warm",
            ),
            (
                (
                    name,
                    f"{run.cold_s:.2f}",
                    f"{run.cold_cpu_s:.2f}",
                    f"{run.warm_s:.2f}",
                    f"{run.warm_cpu_s:.2f}",
                    f"{run.peak_mb:,.0f}",
                    f"{run.cold_calls:,.0f}",
                    f"{run.warm_calls:,.0f}",
                )
                for name, run in found.fanout.items()
            ),
        )
    if found.sick:
        yield SICK
        yield _table(
            ("", "executions answered", "seconds"),
            (
                (name, f"{sick.answered} of {sick.asked - sick.ill} healthy", f"{sick.took_s:.1f}")
                for name, sick in found.sick.items()
            ),
        )


def _poll(found: Results) -> Iterator[str]:
    if found.poll:
        yield POLL
        yield _table(
            (
                "",
                "answers per second",
                "failures",
                "AWS calls per second",
                "CPU, of one core",
                "p50, ms",
                "p99, ms",
            ),
            (
                (
                    name,
                    f"{polled.answers_per_s:,.0f}",
                    f"{polled.failures_per_s:,.0f}",
                    f"{polled.aws_calls_per_s:,.0f}",
                    f"{polled.cpu_share:.0%}",
                    _ms(polled.p50_ms),
                    _ms(polled.p99_ms),
                )
                for name, polled in found.poll.items()
            ),
        )


def _growth(found: Results) -> Iterator[str]:
    if found.growth:
        yield GROWTH
        yield _table(
            ("", "accounts", "memory, MB", "KB per account", "seconds", "CPU, s", "CPU ms per account"),
            (
                (
                    name,
                    f"{cost.accounts:,}",
                    f"{cost.memory_mb:,.1f}",
                    f"{cost.memory_mb * 1024 / cost.accounts:,.0f}",
                    f"{cost.cold_s:.2f}",
                    f"{cost.cold_cpu_s:.2f}",
                    f"{cost.cold_cpu_s * 1000 / cost.accounts:,.1f}",
                )
                for name, costs in found.growth.items()
                for cost in costs
            ),
        )


def _profile(found: Results) -> Iterator[str]:
    for job, spent in found.profile.items():
        yield PROFILE.format(job=job, commit=_output("git", "rev-parse", "--short", "HEAD"))
        yield _table(
            ("function", "share", "package", "share"),
            (
                (f"`{function}`", f"{share:.1%}", f"`{package}`", f"{its:.1%}")
                for (function, share), (package, its) in zip(spent.functions, spent.packages, strict=False)
            ),
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _ms(figure: float) -> str:
    return "" if math.isnan(figure) else f"{figure:,.1f}"


def _machine() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")), "")
    return f"{os.cpu_count()} cores, {model or platform.machine()}, Linux {platform.release()}"


def _versions() -> str:
    told = [f"Python {platform.python_version()}"]
    told += [f"{name} {version(name)}" for name in PYTHON]
    told += [f"Node {_output('node', '--version')}"]
    for name in NODE:
        manifest = BENCH / "apollo" / "node_modules" / name / "package.json"
        told.append(f"{name} {orjson.loads(manifest.read_bytes())['version']}")
    return ", ".join(told)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=BENCH).stdout.strip()
