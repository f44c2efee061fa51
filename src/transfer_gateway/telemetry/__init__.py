"""Logs, metrics and traces.

This package has the formats: of log lines, metrics and spans. Values are counted where they occur: an object with state
has a method `collect`, called when `/metrics` is read, so that most metrics cost requests nothing.
"""

from transfer_gateway.telemetry.aws_calls import AwsCalls
from transfer_gateway.telemetry.log import (
    LOG_IDS,
    LogMetrics,
    audit_event,
    audit_problem,
    check_log,
    configure_logging,
    get_logger,
    is_audited,
    lines_queued,
)
from transfer_gateway.telemetry.metrics import Metrics, Reloads, counter, gauge
from transfer_gateway.telemetry.redaction import hide, hide_briefly, redacted
from transfer_gateway.telemetry.request import (
    CANCELLED,
    Request,
    context_of,
    current_request,
    leave_request,
)
from transfer_gateway.telemetry.request_metrics import EXPECTED_CODES, Requests
from transfer_gateway.telemetry.worker_metrics import WorkerMetrics

__all__ = [
    "CANCELLED",
    "EXPECTED_CODES",
    "LOG_IDS",
    "AwsCalls",
    "LogMetrics",
    "Metrics",
    "Reloads",
    "Request",
    "Requests",
    "WorkerMetrics",
    "audit_event",
    "audit_problem",
    "check_log",
    "configure_logging",
    "context_of",
    "counter",
    "current_request",
    "gauge",
    "get_logger",
    "hide",
    "hide_briefly",
    "is_audited",
    "leave_request",
    "lines_queued",
    "redacted",
]
