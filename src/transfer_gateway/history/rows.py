"""AWS's answers as what statements write: rows of JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from transfer_gateway.history.codec import dump, file_json, observed_json, plain, short, to_ms
from transfer_gateway.history.tables import State

if TYPE_CHECKING:
    from transfer_gateway.domain.execution import Execution, StepError

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


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
