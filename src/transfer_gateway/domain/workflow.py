"""A workflow's definition as returned by AWS, field by field.

`None`: AWS omitted the member. `execution.py` explains the `raw_` fields.
Source: `DescribedWorkflow` in botocore's Transfer model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer_gateway.domain.execution import AwsEnum

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.execution import EfsFileLocation, StepRef, StepType
    from transfer_gateway.domain.identity import AccountId, Region, WorkflowId, WorkflowKey


class OverwriteExisting(AwsEnum):
    TRUE = "TRUE"
    FALSE = "FALSE"
    UNRECOGNIZED = "UNRECOGNIZED"


class EncryptionType(AwsEnum):
    PGP = "PGP"
    UNRECOGNIZED = "UNRECOGNIZED"


@dataclass(frozen=True, slots=True)
class Tag:
    """A workflow's tag (AWS's `Tag`), or one to set on files (`S3Tag`)."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class S3InputFileLocation:
    bucket: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class InputFileLocation:
    """Where a step puts a file. Bucket, key and path may contain AWS variables, such as `${Transfer:UserName}`."""

    s3_file_location: S3InputFileLocation | None
    efs_file_location: EfsFileLocation | None


@dataclass(frozen=True, slots=True)
class CopyStepDetails:
    name: str | None
    destination_file_location: InputFileLocation | None
    overwrite_existing: OverwriteExisting | None
    raw_overwrite_existing: str | None
    source_file_location: str | None


@dataclass(frozen=True, slots=True)
class CustomStepDetails:
    name: str | None
    target: str | None
    timeout_seconds: int | None
    source_file_location: str | None


@dataclass(frozen=True, slots=True)
class DeleteStepDetails:
    name: str | None
    source_file_location: str | None


@dataclass(frozen=True, slots=True)
class TagStepDetails:
    name: str | None
    tags: tuple[Tag, ...] | None
    source_file_location: str | None


@dataclass(frozen=True, slots=True)
class DecryptStepDetails:
    name: str | None
    type: EncryptionType
    raw_type: str
    source_file_location: str | None
    overwrite_existing: OverwriteExisting | None
    raw_overwrite_existing: str | None
    destination_file_location: InputFileLocation


@dataclass(frozen=True, slots=True)
class WorkflowStep:
    """A step's definition, with the details for its type."""

    type: StepType | None
    raw_type: str | None
    copy_step_details: CopyStepDetails | None
    custom_step_details: CustomStepDetails | None
    delete_step_details: DeleteStepDetails | None
    tag_step_details: TagStepDetails | None
    decrypt_step_details: DecryptStepDetails | None

    @property
    def name(self) -> str | None:
        """The step's name, from its details."""
        details = (
            self.copy_step_details
            or self.custom_step_details
            or self.delete_step_details
            or self.tag_step_details
            or self.decrypt_step_details
        )
        return details.name if details is not None else None


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A listed workflow. `observed_at`: when AWS's response arrived, UTC. Source: `ListedWorkflow`."""

    key: WorkflowKey
    arn: str
    description: str | None
    observed_at: datetime

    def without_details(self) -> Workflow:
        """As a `Workflow` whose details are None."""
        return Workflow(
            key=self.key,
            arn=self.arn,
            description=self.description,
            steps=None,
            on_exception_steps=None,
            tags=None,
            structured_log_destinations=None,
            observed_at=self.observed_at,
        )


@dataclass(frozen=True, slots=True)
class Workflow:
    """A described workflow. `observed_at`: when AWS's response arrived, UTC."""

    key: WorkflowKey
    arn: str
    description: str | None
    steps: tuple[WorkflowStep, ...] | None
    on_exception_steps: tuple[WorkflowStep, ...] | None
    tags: tuple[Tag, ...] | None
    structured_log_destinations: tuple[str, ...] | None
    observed_at: datetime
    # Of the DescribeWorkflow call.
    aws_request_id: str | None = field(default=None, repr=False, compare=False)

    def step_at(self, ref: StepRef) -> WorkflowStep | None:
        """The definition of a step; None if the workflow has fewer steps."""
        steps = (self.on_exception_steps if ref.on_exception else self.steps) or ()
        return steps[ref.position] if ref.position < len(steps) else None

    @property
    def id(self) -> str:
        return str(self.key)

    @property
    def account_id(self) -> AccountId:
        return self.key.account_id

    @property
    def region(self) -> Region:
        return self.key.region

    @property
    def workflow_id(self) -> WorkflowId:
        return self.key.workflow_id
