"""Many accounts in one request: all healthy, some failing, and the cost of each further account."""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comparison.documents import MANY
from comparison.load import ask
from comparison.sides import (
    THREADS,
    apollo,
    apollo_partial,
    days_work,
    gateway,
    gateway_alone,
    threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comparison.aws import Aws, Key
    from comparison.processes import Running
    from comparison.sides import Start

ACCOUNTS, LATENCY_S = 1000, 0.05
SICK_ACCOUNTS = 271
GROWTH = (1, 10, 100, 1000, 10_000)
DAYS_WORK_UP_TO = 100  # beyond that it takes minutes
KEYS_A_REQUEST = 1000


@dataclass(frozen=True)
class Fanout:
    """One request's cost and its AWS calls. Cold: no account has been called yet. Warm: a later request."""

    cold_s: float
    cold_cpu_s: float
    warm_s: float
    warm_cpu_s: float
    peak_mb: float
    cold_calls: int
    warm_calls: int


def thousand(aws: Aws, runs: int) -> dict[str, Fanout]:
    """1,000 accounts, AWS at 50 ms. Each run restarts every program; warm is its third request."""
    starts = (gateway, gateway_alone, apollo, threads, days_work)
    found: dict[str, list[Fanout]] = {}
    for run in range(runs):
        for start in starts:
            if start is days_work and run:  # once: it takes most of a minute
                continue
            with start(aws) as side:
                figures = _cold_and_warm(aws, side, aws.keys[:ACCOUNTS])
            found.setdefault(side.name, []).append(figures)
            print(f"{side.name:22} {figures}", file=sys.stderr)
    return {name: _median(figures) for name, figures in found.items()}


def _cold_and_warm(aws: Aws, side: Running, keys: Sequence[Key]) -> Fanout:
    aws.reset()
    aws.fault(kind="latency", seconds=LATENCY_S)
    took: list[tuple[float, float]] = []
    calls = []
    for _ in range(3):
        before, cpu_s, started = _calls(aws), side.cpu_s(), time.perf_counter()
        described = look(side, keys)
        took.append((time.perf_counter() - started, side.cpu_s() - cpu_s))
        calls.append(_calls(aws) - before)
        assert described == len(keys), f"{side.name}: {described} of {len(keys)}"
    return Fanout(*took[0], *took[2], side.memory_mb("VmHWM"), calls[0], calls[2])


def _calls(aws: Aws) -> int:
    return aws.calls("AssumeRole") + aws.calls("DescribeExecution")


def _median(runs: Sequence[Fanout]) -> Fanout:
    return Fanout(*(statistics.median(figures) for figures in zip(*map(_figures, runs), strict=True)))


def _figures(run: Fanout) -> tuple[float, ...]:
    return tuple(vars(run).values())


def look(side: Running, keys: Sequence[Key]) -> int:
    """Returns: how many were described; none if the whole response failed."""
    if side.name == THREADS:
        told, answers = side.process.stdin, side.process.stdout
        assert told is not None
        assert answers is not None
        print(json.dumps(keys), file=told, flush=True)
        return int(answers.readline())
    answer = ask(side.url, MANY, {"keys": keys, "maxAge": 0})
    items = (answer["data"] or {}).get("executions") or []
    return sum(item["__typename"] == "Execution" for item in items)


@dataclass(frozen=True)
class Sick:
    """The outcome of a request for that many accounts, of which one hangs and one is throttled."""

    asked: int
    ill: int
    answered: int
    took_s: float


def sick(aws: Aws) -> dict[str, Sick]:
    """Every program has called all accounts before."""
    keys = aws.keys[:SICK_ACCOUNTS]
    starts: tuple[Start, ...] = (gateway, apollo, apollo_partial, threads, days_work)
    found = {}
    for start in starts:
        with start(aws) as side:
            aws.reset()
            assert look(side, keys) == len(keys), side.name
            ill = {"hang": keys[7], "throttle": keys[100]}
            for kind, key in ill.items():
                aws.fault(kind=kind, account_id=key["accountId"], service="transfer")
            started = time.perf_counter()
            answered = look(side, keys)
            found[side.name] = Sick(len(keys), len(ill), answered, time.perf_counter() - started)
            print(f"{side.name:22} {found[side.name]}", file=sys.stderr)
    aws.reset()
    return found


@dataclass(frozen=True)
class Cost:
    """The cost of that many accounts: memory beyond the idle process, wall and CPU time of the first lookup of all."""

    accounts: int
    memory_mb: float
    cold_s: float
    cold_cpu_s: float


def growth(aws: Aws) -> dict[str, list[Cost]]:
    """From one account to 10,000, with 1,000 keys per request; each figure is of a new process."""
    aws.reset()
    found: dict[str, list[Cost]] = {}
    for start in (gateway, apollo, days_work):
        for accounts in GROWTH:
            if start is days_work and accounts > DAYS_WORK_UP_TO:
                continue
            with start(aws) as side:
                cost = _cost(side, aws.keys[:accounts])
            found.setdefault(side.name, []).append(cost)
            print(f"{side.name:22} {cost}", file=sys.stderr)
    return found


def _cost(side: Running, keys: Sequence[Key]) -> Cost:
    idle_mb, cpu_s, started = side.memory_mb(), side.cpu_s(), time.perf_counter()
    for at in range(0, len(keys), KEYS_A_REQUEST):
        asked = keys[at : at + KEYS_A_REQUEST]
        described = look(side, asked)
        assert described == len(asked), f"{side.name}: {described} of {len(asked)}"
    return Cost(
        len(keys),
        side.memory_mb() - idle_mb,
        time.perf_counter() - started,
        side.cpu_s() - cpu_s,
    )
