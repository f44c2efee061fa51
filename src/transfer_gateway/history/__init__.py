"""What is remembered of executions: an index of CloudWatch Logs that can be rebuilt. The only package that knows SQL.

`values` has what goes in and out; `store` the store itself, whose libraries take 25 MB: import it only if there is one.
"""

from transfer_gateway.history.files import check_history_files
from transfer_gateway.history.values import (
    GroupProgress,
    LogMechanism,
    ProgressLost,
    SearchRow,
    SearchRows,
    SearchScope,
    StoredExecution,
    Targets,
    WorkflowLog,
)

__all__ = [
    "GroupProgress",
    "LogMechanism",
    "ProgressLost",
    "SearchRow",
    "SearchRows",
    "SearchScope",
    "StoredExecution",
    "Targets",
    "WorkflowLog",
    "check_history_files",
]
