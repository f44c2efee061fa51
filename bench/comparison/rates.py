"""hot, selections, distinct and gRPC: as many requests as the program can answer, 64 at a time."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import ParseDict

from comparison.documents import LOOKUP, MANY, selections
from comparison.load import CONNECTIONS, Rate, ask, grpc_rate, http_rate, median
from comparison.processes import SIDE_CORE
from comparison.sides import (
    AWS_LIMIT,
    BENCH,
    GRPC_LIMIT,
    HTTP_LIMIT,
    apollo,
    apollo_cached,
    days_work,
    gateway,
    gateway_quiet,
    limit,
)
from transfer_api.v1 import execution_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from comparison.aws import Aws, Key
    from comparison.processes import Running

ACCOUNTS, EXECUTIONS = 200, 50
SELECTIONS, SELECTED = 200, 2_001  # documents, executions: no common divisor, so that each pair comes up once
GET = "/transfer_api.v1.ExecutionService/GetExecution"
Rates = dict[str, Rate]


@dataclass(frozen=True)
class Pace:
    """The number of runs, and the duration of each."""

    runs: int
    for_s: float


def hot(aws: Aws, pace: Pace) -> Rates:
    """One execution, from the cache."""
    variables = _variables(aws.keys[:1], max_age=3600)
    with ExitStack() as sides:
        ours = sides.enter_context(gateway(aws))
        others = (
            gateway_quiet(aws),
            apollo_cached(aws),
            apollo(aws),
            days_work(aws),
            limit(aws, HTTP_LIMIT, json.dumps(ask(ours.url, LOOKUP, variables[0])).encode()),
        )
        running = [ours, *map(sides.enter_context, others)]
        _check(running, [LOOKUP], variables)
        return _http_in_turns(running, pace, [LOOKUP], variables)


def selected(aws: Aws, pace: Pace) -> Rates:
    """Also cached, but each request has another selection of another execution: no response can be reused."""
    documents, variables = selections(SELECTIONS), _variables(aws.keys[:SELECTED], max_age=3600)
    with ExitStack() as sides:
        started = (
            gateway(aws),
            gateway_quiet(aws),
            apollo_cached(aws),
            apollo(aws),
        )
        running = list(map(sides.enter_context, started))
        for side in running[:-1]:
            _fill(side, aws.keys[:SELECTED])
        _check(running, documents, variables)
        return _http_in_turns(running, pace, documents, variables)


def distinct(aws: Aws, pace: Pace) -> Rates:
    """Each request is for another execution, and causes an AWS call."""
    variables = _variables(random.Random(7).sample(aws.keys, len(aws.keys)), max_age=0)
    with ExitStack() as sides:
        started = (
            gateway(aws),
            gateway_quiet(aws),
            apollo(aws),
            days_work(aws),
        )
        running = list(map(sides.enter_context, started))
        for side in running:
            for key in aws.keys[:ACCOUNTS]:  # each account's session, one after the other
                ask(side.url, LOOKUP, {"key": key, "maxAge": 0})
        _check(running, [LOOKUP], variables)
        measured = _http_in_turns(running, pace, [LOOKUP], variables, aws)
    return measured | {AWS_LIMIT: _aws_limit(aws, pace)}


def grpc_hot(aws: Aws, pace: Pace) -> Rates:
    """One execution, from the cache, over gRPC."""
    asked = ParseDict({"key": aws.keys[0], "maxAge": "3600s"}, pb.GetExecutionRequest()).SerializeToString()
    with ExitStack() as sides:
        ours = sides.enter_context(gateway(aws))
        quiet = sides.enter_context(gateway_quiet(aws))
        answers: list[bytes] = []
        for side in (ours, quiet):
            with grpc.insecure_channel(side.address) as channel:
                get: Any = channel.unary_unary(GET)
                answers.append(get(asked))
                assert pb.GetExecutionResponse.FromString(answers[-1]).execution.execution_id, side.name
        echo = sides.enter_context(limit(aws, GRPC_LIMIT, answers[0]))
        return _in_turns(
            [ours, quiet, echo],
            pace,
            lambda side, _, for_s: grpc_rate(side, side.address, GET, asked, for_s),
        )


def _http_in_turns(
    sides: Sequence[Running],
    pace: Pace,
    documents: Sequence[str],
    variables: Sequence[dict[str, Any]],
    aws: Aws | None = None,
) -> Rates:
    """With `aws`: check that every request caused an AWS call."""

    def measure(side: Running, turn: int, for_s: float) -> Rate:
        if aws is not None:
            aws.reset()
        rate, requests = http_rate(side, documents, variables, for_s, turn * 1_000_003)
        if aws is not None:
            calls = aws.calls("DescribeExecution")
            # More: what was under way when the time was up, this side's and the one's before.
            assert 0 <= calls - requests <= 2 * CONNECTIONS, (
                f"{side.name}: {requests} requests, {calls} calls"
            )
        return rate

    return _in_turns(sides, pace, measure)


def _in_turns(sides: Sequence[Running], pace: Pace, measure: Callable[[Running, int, float], Rate]) -> Rates:
    """One round to warm up, then rounds in which the programs alternate. Returns: the medians."""
    rates: dict[str, list[Rate]] = {side.name: [] for side in sides}
    for turn in range(pace.runs + 1):
        for side in sides:
            rate = measure(side, turn, pace.for_s if turn else 2)
            print(
                f"{side.name:22} {rate.per_s:7.0f} a second, {rate.cpu_us:6.0f} µs CPU each", file=sys.stderr
            )
            if turn:
                rates[side.name].append(rate)
    return {name: median(runs) for name, runs in rates.items()}


def _aws_limit(aws: Aws, pace: Pace) -> Rate:
    """AWS calls alone, hand-written."""
    calls, runs = 5_000, []
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(aws.keys, file)
        file.flush()
        command = (sys.executable, BENCH / "limits.py", "aws", file.name, str(calls))
        for _ in range(pace.runs):
            pinned = ("taskset", "--cpu-list", str(SIDE_CORE), *command)
            told = subprocess.run(pinned, env=aws.environment, check=True, capture_output=True)
            cpu_s, took_s = json.loads(told.stdout)
            runs.append(Rate(calls / took_s, math.nan, math.nan, cpu_s / calls * 1e6))
    return median(runs)


def _variables(keys: Sequence[Key], max_age: float) -> list[dict[str, Any]]:
    return [{"key": key, "maxAge": max_age} for key in keys]


def _fill(side: Running, keys: Sequence[Key]) -> None:
    """Make the program cache all of them."""
    for at in range(0, len(keys), 200):
        found = ask(side.url, MANY, {"keys": keys[at : at + 200], "maxAge": 3600})["data"]["executions"]
        failed = [item for item in found if item["__typename"] != "Execution"]
        assert not failed, f"{side.name}: {failed[0]}"


def _check(sides: Sequence[Running], documents: Sequence[str], variables: Sequence[dict[str, Any]]) -> None:
    """All programs must return the same."""
    for document, values in zip(documents, cycle(variables), strict=False):
        first, *others = [ask(side.url, document, values) for side in sides]
        for side, answer in zip(sides[1:], others, strict=True):
            for told in (first, answer):
                told["data"]["executionOrError"].pop("observedAt", None)
            assert answer == first, f"{side.name} answers {answer}, and {sides[0].name} {first}"
