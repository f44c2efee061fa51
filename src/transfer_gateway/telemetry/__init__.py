"""What operators see of the service: logs, metrics, and traces where they are wanted.

Here belong the forms: how an event is written, what a metric is called, what a span says of a request or of a call to
AWS. What is counted is counted where it happens: whoever has state tells it by a method `collect`, when somebody reads
`/metrics`, so that most of it costs requests nothing.
"""

from transfer_gateway.telemetry.aws_calls import AwsCalls
from transfer_gateway.telemetry.log import (
    LOG_IDS,
    LogMetrics,
    audit_event,
    audit_lack,
    configure_logging,
    get_logger,
    is_audited,
    judge_log,
    lines_queued,
)
from transfer_gateway.telemetry.metrics import Metrics, Reloads, counter, gauge
from transfer_gateway.telemetry.redaction import hide, redacted
from transfer_gateway.telemetry.request import CANCELLED, Request, context_of, current_request
from transfer_gateway.telemetry.requests import EXPECTED_CODES, Requests

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
    "audit_event",
    "audit_lack",
    "configure_logging",
    "context_of",
    "counter",
    "current_request",
    "gauge",
    "get_logger",
    "hide",
    "is_audited",
    "judge_log",
    "lines_queued",
    "redacted",
]
