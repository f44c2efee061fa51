"""How far logs have been read, and where workflows log: as rows of JSON that statements write, and from rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transfer_gateway.domain.identity import WorkflowKey
from transfer_gateway.history.codec import from_ms, plain, short, to_ms
from transfer_gateway.history.values import GroupProgress, LogMechanism, WorkflowLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from transfer_gateway.domain.identity import Target


def progress_rows(progress: Sequence[GroupProgress]) -> list[list[dict[str, Any]]]:
    """Rows for statements, which can't write a group twice. In an order that all writers share."""
    statements: list[dict[tuple[str, ...], dict[str, Any]]] = []
    for each in progress:
        group = each.account_id, each.region, each.group
        rows = next((rows for rows in statements if group not in rows), None)
        if rows is None:
            statements.append(rows := {})
        rows[group] = progress_row(each)
    return [[rows[group] for group in sorted(rows)] for rows in statements]


def progress_row(progress: GroupProgress) -> dict[str, Any]:
    goal = progress.backfill_until
    return {
        "account_id": progress.account_id,
        "region": progress.region,
        "group_name": progress.group,
        "read_until": to_ms(progress.read_until),
        "complete_since": to_ms(progress.complete_since),
        "backfill_until": None if goal is None else to_ms(goal),
    }


def progress_from(rows: Iterable[Any]) -> dict[str, GroupProgress]:
    """By group."""
    return {
        row.group_name: GroupProgress(
            row.account_id,
            row.region,
            row.group_name,
            from_ms(row.read_until),
            from_ms(row.complete_since),
            None if row.backfill_until is None else from_ms(row.backfill_until),
        )
        for row in rows
    }


def workflow_log_rows(logs: Sequence[WorkflowLog]) -> list[dict[str, Any]]:
    """In an order that all writers share, each once: as it was seen last."""
    rows = {
        (log.workflow, log.server_id, log.group): {
            **log.workflow._asdict(),
            "server_id": short(log.server_id) or "",
            "group_name": plain(log.group) or "",
            "mechanism": log.mechanism,
            "last_seen_at": to_ms(log.last_seen_at),
        }
        for log in sorted(logs, key=lambda log: log.last_seen_at)
    }
    return [rows[of] for of in sorted(rows, key=str)]


def workflow_logs_from(target: Target, rows: Iterable[Any]) -> list[WorkflowLog]:
    return [
        WorkflowLog(
            WorkflowKey(target.account_id, target.region, row.workflow_id),
            row.server_id or None,
            row.group_name or None,
            None if row.mechanism is None else LogMechanism(row.mechanism),
            from_ms(row.last_seen_at),
        )
        for row in rows
    ]
