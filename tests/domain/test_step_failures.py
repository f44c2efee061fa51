"""What a step's failure usually means is known for each of AWS's types, and what is said of a step concerns it."""

from __future__ import annotations

import pytest

from transfer_gateway.domain.execution import StepErrorType, StepType
from transfer_gateway.domain.step_failures import explain

ERRORS = [error for error in StepErrorType if error is not StepErrorType.UNRECOGNIZED]


@pytest.mark.parametrize("error", ERRORS)
def test_each_type_is_explained(error: StepErrorType) -> None:
    """For each type of step, one that AWS adds later, and none."""
    unknown = explain(StepErrorType.UNRECOGNIZED, None)
    for step in (*StepType, None):
        found = explain(error, step)
        assert found != unknown
        assert found.meaning.endswith(".")
        assert 1 <= len(found.check) <= 5
        assert len(set(found.check)) == len(found.check)


@pytest.mark.parametrize(
    ("error", "step", "word"),
    [
        (StepErrorType.PERMISSION_DENIED, StepType.CUSTOM, "lambda:InvokeFunction"),
        (StepErrorType.PERMISSION_DENIED, StepType.DECRYPT, "secretsmanager:GetSecretValue"),
        (StepErrorType.PERMISSION_DENIED, StepType.COPY, "s3:PutObject"),
        (StepErrorType.BAD_REQUEST, StepType.TAG, "EFS"),
        (StepErrorType.BAD_REQUEST, StepType.DECRYPT, "public key"),
        (StepErrorType.NOT_FOUND, StepType.DELETE, "a step that deletes the same file"),
        (StepErrorType.TIMEOUT, StepType.CUSTOM, "SendWorkflowStepState"),
        (StepErrorType.TIMEOUT, StepType.COPY, "size"),
    ],
)
def test_a_step_has_its_own(error: StepErrorType, step: StepType, word: str) -> None:
    assert any(word in check for check in explain(error, step).check)
