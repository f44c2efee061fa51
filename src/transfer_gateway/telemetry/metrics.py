"""Metrics in Prometheus's formats. Names: `transfer_gateway_`, the subject, the unit, and `_total` for counters."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

Of = TypeVar("Of", bound="tuple[str, ...]")

_LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LOOK_EVERY_S = 0.25


class Metrics:
    """The metrics at `/metrics`: those of the collectors, the process, and the event loop."""

    def __init__(self, *collectors: Collector) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # an extra series for each, which is not used
        self._registry = CollectorRegistry()
        self._one_at_a_time = asyncio.Lock()  # the metrics of 10,000 accounts are tens of megabytes
        ProcessCollector(registry=self._registry)
        self._lag = Histogram(
            "transfer_gateway_event_loop_lag_seconds",
            "Delay of the event loop's timers. A request waits this long several times.",
            buckets=_LAG_BUCKETS_S,
            registry=self._registry,
        )
        self._registry.register(_Build())
        for collector in collectors:
            self._registry.register(collector)

    async def measure_loop_lag(self) -> None:
        """Measure the event loop's lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + _LOOK_EVERY_S
            await asyncio.sleep(_LOOK_EVERY_S)
            self._lag.observe(max(0.0, loop.time() - due_at))

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """The current metrics in the accepted format, and its media type.

        Runs in a thread, since formatting thousands of accounts takes a while. Collectors must copy shared state first.
        """
        encode, media_type = choose_encoder(accept)
        async with self._one_at_a_time:
            return await asyncio.to_thread(encode, self._registry), media_type


class Durations:
    """A histogram of seconds per combination of labels. `buckets_s`: their upper bounds, without infinity.

    prometheus_client's own searches the buckets in Python and takes two locks: 125 more instructions. Here only the
    event loop observes, and readers copy first.
    """

    def __init__(
        self, name: str, documentation: str, labels: Iterable[str], buckets_s: Sequence[float]
    ) -> None:
        self._name = f"transfer_gateway_{name}_duration_seconds"
        self._documentation = documentation
        self._labels = tuple(labels)
        self._bounds = tuple(buckets_s)
        self._series: dict[tuple[str, ...], list[float]] = {}  # the count of each bucket, and the sum

    def observe(self, of: tuple[str, ...], took_s: float) -> None:
        series = self._series.get(of)
        if series is None:
            series = self._series[of] = [0] * (len(self._bounds) + 1) + [0.0]
        series[bisect_left(self._bounds, took_s)] += 1
        series[-1] += took_s

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        bounds = [*map(floatToGoString, self._bounds), "+Inf"]
        for of, series in self._series.copy().items():
            *counts, sum_s = list(series)
            family.add_metric(of, list(zip(bounds, accumulate(counts), strict=True)), sum_s)
        yield family


class Reloads:
    """Counts reloads of changed files. An invalid version is rejected, and the previous one stays in use."""

    def __init__(self, *files: str) -> None:
        now = time.time()
        self._counts = {(file, outcome): 0 for file in files for outcome in ("ok", "refused")}
        self._succeeded_at = dict.fromkeys(files, now)
        self._is_current = dict.fromkeys(files, True)
        self._certificates: dict[tuple[str], float] = {}

    def succeeded(self, file: str) -> None:
        self._counts[file, "ok"] += 1
        self._succeeded_at[file] = time.time()
        self._is_current[file] = True

    def refused(self, file: str) -> None:
        self._counts[file, "refused"] += 1
        self._is_current[file] = False

    def set_certificate_expiry(self, door: str, valid_until: datetime) -> None:
        self._certificates[door,] = valid_until.timestamp()

    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "tls_certificate_expiry_timestamp_seconds",
            "Expiry time of each server's TLS certificate.",
            ("door",),
            self._certificates,
        )
        yield counter(
            "config_reloads",
            "Reloads of changed files, by result.",
            ("file", "outcome"),
            self._counts,
        )
        yield gauge(
            "config_last_reload_successful",
            "0 while the file is invalid and its previous version is in use; else 1.",
            ("file",),
            {(file,): float(current) for file, current in self._is_current.items()},
        )
        yield gauge(
            "config_last_reload_success_timestamp_seconds",
            "Time at which the version in use was loaded.",
            ("file",),
            {(file,): at for file, at in self._succeeded_at.items()},
        )


class _Build:
    def collect(self) -> Iterator[Metric]:
        yield gauge(
            "build_info",
            "Always 1. The labels are the versions.",
            ("version", "python"),
            {(version("transfer-gateway"), python_version()): 1},
        )


def gauge(
    name: str,
    documentation: str,
    labels: Iterable[str] = (),
    values: Mapping[Of, float] | float = 0,
) -> Metric:
    """A gauge: values by label values, or a single value without labels."""
    family = GaugeMetricFamily(f"transfer_gateway_{name}", documentation, labels=tuple(labels))
    for of, value in [((), values)] if isinstance(values, int | float) else dict(values).items():
        family.add_metric(of, value)
    return family


def counter(
    name: str,
    documentation: str,
    labels: Iterable[str] = (),
    values: Mapping[Of, float] | float = 0,
) -> Metric:
    """A counter, with the same parameters. `_total` is appended to its name."""
    family = CounterMetricFamily(f"transfer_gateway_{name}", documentation, labels=tuple(labels))
    for of, value in [((), values)] if isinstance(values, int | float) else dict(values).items():
        family.add_metric(of, value)
    return family
