"""What statements write, as rows of JSON: AWS's answers, and how far logs have been read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from transfer_gateway.history.codec import dump, file_json, observed_json, plain, short, to_ms
from transfer_gateway.history.tables import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_gateway.domain.execution import Execution, StepError
    from transfer_gateway.history.values import GroupProgress


_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


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


def observed_row(execution: Execution) -> dict[str, Any]:
    metadata, file = execution.service_metadata, execution.initial_file_location
    user = None if metadata is None else metadata.user_details
    at = to_ms(execution.observed_at)
    status, error = execution.status, _first_error(execution)
    failing = State.IN_PROGRESS if error is None else State.HANDLING_EXCEPTION
    return {
        **execution.key._asdict(),
        "last_at": at,
        "user_name": None if user is None else short(user.user_name),
        "server_id": None if user is None else short(user.server_id),
        "session_id": None if user is None else short(user.session_id),
        "file_location": None if file is None else dump(file_json(file)),
        "error_type": None if error is None else plain(error.raw_type),
        "error_message": None if error is None else plain(error.message),
        "observed": observed_json(execution),
        "answer_digest": answer_digest(execution),
        "observed_state": max(failing, State.__members__.get(status or "", State.IN_PROGRESS)),
        "observed_first_at": at,
        "observed_last_at": at,
    }


def answer_digest(execution: Execution) -> str:
    """Equal for answers that say the same at different times."""
    same = replace(execution, observed_at=_ANY_TIME, aws_request_id=None)
    return blake2b(observed_json(same).encode(errors="replace"), digest_size=8).hexdigest()


def _first_error(execution: Execution) -> StepError | None:
    steps = None if execution.results is None else execution.results.steps
    return next((step.error for step in steps or () if step.error is not None), None)
