"""Prints the soak test's results, and its rules: each one's text, and whether it held."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from soak_plan import SICKNESSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soak_plan import Judge
    from soak_vitals import Watch

Rule: TypeAlias = tuple[str, bool]

MEMORY_BOUND_MB, THREADS_BOUND, DESCRIPTORS_BOUND = 6.0, 20.0, 10
_STALLED_AT_MOST = 0.01  # with more, another machine is needed to tell anything
_RELOADS = {f"{file}_file_{did}" for file in ("accounts", "policy") for did in ("reloaded", "refused")}


@dataclass(frozen=True)
class End:
    """The gateway's process, after SIGTERM."""

    exit_code: int
    took_s: float


def print_seen(judge: Judge) -> None:
    for (door, code), times in sorted(judge.outcomes.items()):
        print(f"  {door:14} {code:24} {times:7}")
    print("answers of accounts while sick, and until they had to be well:")
    for name, codes in judge.explained.items():
        print(f"  {name:18} {', '.join(f'{times} {code}' for code, times in codes.most_common())}")
    quantiles = [round(quantile * 1000) for quantile in statistics.quantiles(judge.healthy_s, n=100)]
    print(f"single lookups of healthy accounts: p50 {quantiles[49]} ms, p99 {quantiles[98]} ms")


def answer_rules(judge: Judge) -> Iterator[Rule]:
    yield f"{len(judge.unexplained)} answers that nothing explains", not judge.unexplained
    stalled, answers = sum(judge.stalled.values()), sum(judge.outcomes.values())
    yield (
        f"{stalled} of {answers} answers that only the machine's standing still explains: {dict(judge.stalled)}",
        stalled < _STALLED_AT_MOST * answers,
    )
    hidden = [
        one.name
        for one in SICKNESSES
        if one.codes and not judge.explained.get(one.name, {}).keys() & one.codes
    ]
    yield f"ways to fall sick that have not shown: {hidden}", not hidden


def log_rules(log: str, rewritten: Counter[str]) -> Iterator[Rule]:
    events = Counter(
        str(event["event"])
        for event in _events(log)
        if event["level"] in {"error", "critical"} or event["event"] in _RELOADS
    )
    expected = Counter(
        {
            f"{file}_file_{did}": rewritten[how]
            for file in ("accounts", "policy")
            for did, how in (("refused", "badly"), ("reloaded", "well"))
        }
    )
    yield f"log: {dict(events)}; files were rewritten {dict(rewritten)}", events == expected
    tokens = log.count("eyJ")
    yield f"tokens in the log: {tokens}", not tokens


def vital_rules(watch: Watch, descriptors_left: int) -> Iterator[Rule]:
    most = max(one.descriptors for one in watch.seen)
    yield (
        f"descriptors: {most} at most; at rest {descriptors_left} more than at first (bound {DESCRIPTORS_BOUND})",
        descriptors_left <= DESCRIPTORS_BOUND,
    )
    for name, bound in (
        ("rss_mb", MEMORY_BOUND_MB),
        ("pss_mb", MEMORY_BOUND_MB),
        ("threads", THREADS_BOUND),
    ):
        growth = watch.growth(name)
        said = (
            f"{name}: {growth.first:.1f} at first; after warm-up {growth.second_quarter:.1f} in the second quarter, "
            f"{growth.last_quarter:.1f} in the last, a fitted line grows by {growth.fitted:+.1f} (bound {bound:g})"
        )
        yield said, not growth.exceeds(bound)


def end_rules(end: End, log: str) -> Iterator[Rule]:
    yield f"SIGTERM: exit code {end.exit_code} after {end.took_s:.1f} s", end.exit_code == 0
    last = list(_events(log))[-1]
    left = last.get("tasks_left")
    yield f"last in the log: {last['event']}; tasks left: {left}", (last["event"], left) == ("stopped", [])


def _events(log: str) -> Iterator[dict[str, Any]]:
    """The log's lines. One that is not JSON is an error."""
    for line in log.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield {"level": "error", "event": f"no JSON: {line[:200]}"}
