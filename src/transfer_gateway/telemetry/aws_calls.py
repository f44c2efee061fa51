"""Calls to AWS: how many, to whom, how long, and what came of them."""

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
from transfer_gateway.telemetry.request import GIVEN_UP, AwsCall, current_request

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
    """Counts calls and times them.

    Durations are by operation, region and code only: a histogram for each account would be a dozen series for each
    operation of each target, which a thousand accounts make hundred thousand.
    """

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing
        self._in_flight = 0
        self._totals: dict[tuple[str, str, str, str], _Total] = {}
        self._durations = Durations(
            "aws_call",
            "Calls to AWS by operation, region and what came of them; how long each took.",
            ("operation", "region", "code"),
            _BUCKETS_S,
        )

    @contextmanager
    def watch(self, operation: str, account_id: str | None, region: str | None) -> Iterator[AwsCall]:
        """One call, which has to be told the answer's `request_id`; that of an error it finds by itself."""
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
            call.code = GIVEN_UP
            raise
        except Exception:
            call.code = ErrorCode.INTERNAL_SERVER_ERROR.value
            raise
        finally:
            call.took_s = time.perf_counter() - started
            self._in_flight -= 1
            if request is not None:
                request.asked_aws(call)
            if self._tracing is not None and span is not None:
                self._tracing.end_call(call, span)
            self._count(call)

    def keep_only(self, account_ids: Container[str]) -> None:
        """Forget accounts that are no longer configured."""
        self._totals = {of: total for of, total in self._totals.items() if not of[1] or of[1] in account_ids}

    def _count(self, call: AwsCall) -> None:
        of = (call.operation, call.account_id, call.region, call.code)
        total = self._totals.get(of)
        if total is None:
            total = self._totals[of] = _Total()
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
        totals = self._totals.copy()  # in one go: a thread reads, while calls go on
        seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        for (operation, account_id, region, _), total in totals.items():
            seconds[operation, account_id, region] += total.took_s
        yield counter(
            "aws_calls",
            "Calls to AWS by what came of them; a list of Organizations's is one, with all its pages.",
            ("operation", "account", "region", "code"),
            {of: total.calls for of, total in totals.items()},
        )
        yield counter(
            "aws_call_seconds",
            "The time that these calls took, together.",
            ("operation", "account", "region"),
            seconds,
        )
        yield gauge("aws_calls_in_flight", "Calls to AWS that are under way.", values=self._in_flight)
