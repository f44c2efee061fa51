"""Decodes workflows from wire dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_gateway.aws.decode import (
    MismatchedAnswer,
    Wire,
    check_same,
    efs_file_location,
    identifier,
    request_id,
    required,
    tags,
)
from transfer_gateway.domain.execution import StepType
from transfer_gateway.domain.identity import WorkflowId, WorkflowKey
from transfer_gateway.domain.workflow import (
    CopyStepDetails,
    CustomStepDetails,
    DecryptStepDetails,
    DeleteStepDetails,
    EncryptionType,
    InputFileLocation,
    OverwriteExisting,
    S3InputFileLocation,
    TagStepDetails,
    Workflow,
    WorkflowStep,
    WorkflowSummary,
)

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import Target


def decode_workflow(answer: Wire, key: WorkflowKey, observed_at: datetime) -> Workflow:
    """Decode DescribeWorkflow. Raises: IncompleteAnswer, MismatchedAnswer. Source: `DescribeWorkflowResponse`."""
    wire = required(answer, "Workflow")
    if (actual := wire.get("WorkflowId")) is not None:  # optional in the model, unlike the ARN
        check_same(actual, key.workflow_id, "WorkflowId")
    destinations = wire.get("StructuredLogDestinations")
    return Workflow(
        key=key,
        arn=_arn(wire, key),
        description=wire.get("Description"),
        steps=_steps(wire.get("Steps")),
        on_exception_steps=_steps(wire.get("OnExceptionSteps")),
        tags=tags(wire.get("Tags")),
        structured_log_destinations=None if destinations is None else tuple(destinations),
        observed_at=observed_at,
        aws_request_id=request_id(answer),
    )


def decode_listed_workflows(answer: Wire, target: Target, observed_at: datetime) -> list[WorkflowSummary]:
    """Decode a page of ListWorkflows. Raises: IncompleteAnswer, MismatchedAnswer. Source: `ListWorkflowsResponse`.

    The model requires no member of an entry, but our schema guarantees the id and the ARN.
    """
    summaries = []
    for wire in required(answer, "Workflows"):
        key = WorkflowKey(target.account_id, target.region, identifier(WorkflowId, wire, "WorkflowId"))
        summaries.append(
            WorkflowSummary(key, _arn(wire, key), wire.get("Description"), observed_at=observed_at)
        )
    return summaries


def _arn(wire: Wire, key: WorkflowKey) -> str:
    """The workflow's ARN, which must match the key. Raises: IncompleteAnswer, MismatchedAnswer."""
    arn: str = required(wire, "Arn")
    if not arn.endswith(f":transfer:{key.region}:{key.account_id}:workflow/{key.workflow_id}"):
        raise MismatchedAnswer("Arn")
    return arn


def _steps(wire: list[Wire] | None) -> tuple[WorkflowStep, ...] | None:
    return None if wire is None else tuple(_step(step) for step in wire)


def _step(wire: Wire) -> WorkflowStep:
    step_type = wire.get("Type")
    return WorkflowStep(
        type=StepType(step_type) if step_type is not None else None,
        raw_type=step_type,
        copy_step_details=_copy(wire.get("CopyStepDetails")),
        custom_step_details=_custom(wire.get("CustomStepDetails")),
        delete_step_details=_delete(wire.get("DeleteStepDetails")),
        tag_step_details=_tag(wire.get("TagStepDetails")),
        decrypt_step_details=_decrypt(wire.get("DecryptStepDetails")),
    )


def _copy(wire: Wire | None) -> CopyStepDetails | None:
    if wire is None:
        return None
    destination, overwrite = wire.get("DestinationFileLocation"), wire.get("OverwriteExisting")
    return CopyStepDetails(
        name=wire.get("Name"),
        destination_file_location=None if destination is None else _input_file_location(destination),
        overwrite_existing=OverwriteExisting(overwrite) if overwrite is not None else None,
        raw_overwrite_existing=overwrite,
        source_file_location=wire.get("SourceFileLocation"),
    )


def _custom(wire: Wire | None) -> CustomStepDetails | None:
    if wire is None:
        return None
    return CustomStepDetails(
        name=wire.get("Name"),
        target=wire.get("Target"),
        timeout_seconds=wire.get("TimeoutSeconds"),
        source_file_location=wire.get("SourceFileLocation"),
    )


def _delete(wire: Wire | None) -> DeleteStepDetails | None:
    if wire is None:
        return None
    return DeleteStepDetails(name=wire.get("Name"), source_file_location=wire.get("SourceFileLocation"))


def _tag(wire: Wire | None) -> TagStepDetails | None:
    if wire is None:
        return None
    return TagStepDetails(
        name=wire.get("Name"),
        tags=tags(wire.get("Tags")),
        source_file_location=wire.get("SourceFileLocation"),
    )


def _decrypt(wire: Wire | None) -> DecryptStepDetails | None:
    if wire is None:
        return None
    raw_type: str = required(wire, "Type")
    overwrite = wire.get("OverwriteExisting")
    return DecryptStepDetails(
        name=wire.get("Name"),
        type=EncryptionType(raw_type),
        raw_type=raw_type,
        source_file_location=wire.get("SourceFileLocation"),
        overwrite_existing=OverwriteExisting(overwrite) if overwrite is not None else None,
        raw_overwrite_existing=overwrite,
        destination_file_location=_input_file_location(required(wire, "DestinationFileLocation")),
    )


def _input_file_location(wire: Wire) -> InputFileLocation:
    s3 = wire.get("S3FileLocation")
    return InputFileLocation(
        s3_file_location=None
        if s3 is None
        else S3InputFileLocation(bucket=s3.get("Bucket"), key=s3.get("Key")),
        efs_file_location=efs_file_location(wire.get("EfsFileLocation")),
    )
