"""AWS call telemetry: counts, durations and outcomes by account and region."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer_gateway.domain.errors import ErrorCode, GatewayError
from transfer_gateway.telemetry.log import get_logger
from transfer_gateway.telemetry.metrics import Durations, counter, gauge
from transfer_gateway.telemetry.request import CANCELLED, AwsCall, current_request

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from prometheus_client.core import Metric

    from transfer_gateway.telemetry.tracing import Tracing

_log = get_logger(__name__)

_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class _Total:
    calls: int = 0
    took_s: float = 0.0


class AwsCalls:
    """Counts and times calls.

    Durations have no account label: a histogram has a dozen series per operation and target, which would make a
    hundred thousand for a thousand accounts.
    """

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing
        self._in_flight = 0
        self._totals: dict[tuple[str, str, str, str], _Total] = {}
        self._durations = Durations(
            "aws_call",
            "AWS call duration by operation, region and outcome.",
            ("operation", "region", "code"),
            _BUCKETS_S,
        )

    @contextmanager
    def watch(self, operation: str, account_id: str | None, region: str | None) -> Iterator[AwsCall]:
        """Record one call. Set `request_id` from a response; for an error it is set from the exception."""
        call = AwsCall(operation, account_id or "", region or "")
        started, request = time.perf_counter(), current_request()
        span = self._tracing.begin_call(call, request) if self._tracing is not None else None
        self._in_flight += 1
        try:
            yield call
        except GatewayError as error:
            call.code, call.request_id = error.code.value, error.aws_request_id or call.request_id
            raise
        except asyncio.CancelledError:
            call.code = CANCELLED
            raise
        except Exception:
            call.code = ErrorCode.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            call.took_s = time.perf_counter() - started
            self._in_flight -= 1
            if request is not None:
                request.record_aws_call(call)
            if self._tracing is not None and span is not None:
                self._tracing.end_call(call, span)
            self._count(call)

    def keep_only(self, account_ids: Container[str]) -> None:
        """Drop the series of accounts that are no longer configured."""
        self._totals = {
            labels: total
            for labels, total in self._totals.items()
            if not labels[1] or labels[1] in account_ids
        }

    def _count(self, call: AwsCall) -> None:
        labels = (call.operation, call.account_id, call.region, call.code)
        total = self._totals.get(labels)
        if total is None:
            total = self._totals[labels] = _Total()
        total.calls += 1
        total.took_s += call.took_s
        self._durations.observe((call.operation, call.region, call.code), call.took_s)
        _log.debug(
            "aws_call",
            operation=call.operation,
            account=call.account_id,
            region=call.region,
            code=call.code,
            took_ms=round(call.took_s * 1000, 1),
            aws_request_id=call.request_id,
        )

    def collect(self) -> Iterator[Metric]:
        yield from self._durations.collect()
        totals = self._totals.copy()  # atomic: runs in a thread while calls are recorded
        seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        for (operation, account_id, region, _), total in totals.items():
            seconds[operation, account_id, region] += total.took_s
        yield counter(
            "aws_calls",
            "AWS calls by outcome; listing the organization counts as one call for all pages.",
            ("operation", "account", "region", "code"),
            {labels: total.calls for labels, total in totals.items()},
        )
        yield counter(
            "aws_call_seconds",
            "Total time spent in AWS calls.",
            ("operation", "account", "region"),
            seconds,
        )
        yield gauge("aws_calls_in_flight", "AWS calls in progress.", values=self._in_flight)
