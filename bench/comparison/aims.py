"""The targets, as ratios of figures from the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from comparison.sides import (
    APOLLO,
    APOLLO_CACHED,
    DAYS_WORK,
    GATEWAY,
    GATEWAY_ALONE,
    GATEWAY_QUIET,
    GRPC_LIMIT,
    HTTP_LIMIT,
    THREADS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from comparison.results import Results


@dataclass(frozen=True)
class Aim:
    """`measured` must be at most `bound`, or at least that with `least`."""

    what: str
    measured: float
    bound: float
    least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.bound if self.least else self.measured <= self.bound


def aims(found: Results) -> Iterator[Aim]:
    """The targets of the jobs that ran.

    Rates are compared without the gateway's logs, and memory without its gRPC server, because no other program has
    these. The tables show both.
    """
    if hot := found.hot:
        ours, limit = hot[GATEWAY_QUIET], hot[HTTP_LIMIT]
        yield Aim("hot GraphQL: CPU, relative to Apollo", ours.cpu_us / hot[APOLLO].cpu_us, 1 / 3)
        yield Aim("the same, relative to Apollo with a cache", ours.cpu_us / hot[APOLLO_CACHED].cpu_us, 1 / 3)
        yield Aim("hot GraphQL: rate, relative to Starlette alone", ours.per_s / limit.per_s, 0.5, least=True)
    if selected := found.selected:
        ours = selected[GATEWAY_QUIET]
        what = "hot, another selection each time: CPU, relative to Apollo"
        yield Aim(what, ours.cpu_us / selected[APOLLO].cpu_us, 1)
        yield Aim(
            "the same, relative to Apollo with a cache", ours.cpu_us / selected[APOLLO_CACHED].cpu_us, 1
        )
    if distinct := found.distinct:
        ours, apollo = distinct[GATEWAY_QUIET], distinct[APOLLO]
        yield Aim("distinct: CPU, relative to Apollo", ours.cpu_us / apollo.cpu_us, 1)
    if fanout := found.fanout:
        mine, apollos = fanout[GATEWAY], fanout[APOLLO]
        yield Aim("fan-out cold: time, relative to Apollo", mine.cold_s / apollos.cold_s, 0.7)
        yield Aim(
            "fan-out cold: time, relative to boto3 threads", mine.cold_s / fanout[THREADS].cold_s, 1 / 5
        )
        yield Aim("fan-out warm: time, relative to Apollo", mine.warm_s / apollos.warm_s, 0.8)
        peak_mb, days_works = fanout[GATEWAY_ALONE].peak_mb, fanout[DAYS_WORK]
        yield Aim("fan-out: peak memory, relative to Apollo", peak_mb / apollos.peak_mb, 1 / 2)
        yield Aim("the same, with gRPC turned on", mine.peak_mb / apollos.peak_mb, 1 / 2)
        yield Aim(
            "fan-out: peak memory, relative to one client per account", peak_mb / days_works.peak_mb, 1 / 10
        )
        yield Aim("the same, with gRPC turned on", mine.peak_mb / days_works.peak_mb, 1 / 10)
    if sick := found.sick:
        mine_sick = sick[GATEWAY]
        healthy = mine_sick.asked - mine_sick.ill
        yield Aim(
            "faulted fan-out: share of healthy accounts answered", mine_sick.answered / healthy, 1, least=True
        )
        yield Aim("faulted fan-out: seconds, with a deadline of 10", mine_sick.took_s, 10.5)
    if grpc := found.grpc:
        ratio = grpc[GRPC_LIMIT].cpu_us / grpc[GATEWAY_QUIET].cpu_us
        yield Aim("gRPC hot: the echo's CPU, relative to the gateway", ratio, 0.8, least=True)
