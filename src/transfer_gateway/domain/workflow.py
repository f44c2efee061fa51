"""A workflow's definition as AWS describes it, field by field.

`None` means that AWS left the member out; what each enum's raw companion is for, `execution.py` says.
Source: `DescribedWorkflow` in botocore's Transfer model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer_gateway.domain.execution import AwsEnum

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.execution import EfsFileLocation, StepPlace, StepType
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
    """Of a workflow (AWS's `Tag`), or for files (its `S3Tag`)."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class S3InputFileLocation:
    bucket: str | None
    key: str | None


@dataclass(frozen=True, slots=True)
class InputFileLocation:
    """Where a step puts a file. Bucket, key and path may hold AWS's variables, such as `${Transfer:UserName}`."""

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
    """A step as the workflow defines it, with the details of its own type."""

    type: StepType | None
    raw_type: str | None
    copy_step_details: CopyStepDetails | None
    custom_step_details: CustomStepDetails | None
    delete_step_details: DeleteStepDetails | None
    tag_step_details: TagStepDetails | None
    decrypt_step_details: DecryptStepDetails | None

    @property
    def name(self) -> str | None:
        """The name in whatever details are set."""
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
    """A listed workflow. `observed_at` is when AWS's answer arrived, UTC. Source: `ListedWorkflow`."""

    key: WorkflowKey
    arn: str
    description: str | None
    observed_at: datetime

    def without_details(self) -> Workflow:
        """As a workflow of which nothing more is known."""
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
    """A described workflow. `observed_at` is when AWS's answer arrived, UTC."""

    key: WorkflowKey
    arn: str
    description: str | None
    steps: tuple[WorkflowStep, ...] | None
    on_exception_steps: tuple[WorkflowStep, ...] | None
    tags: tuple[Tag, ...] | None
    structured_log_destinations: tuple[str, ...] | None
    observed_at: datetime
    aws_request_id: str | None = field(default=None, repr=False, compare=False)  # of the call that told it

    def step_at(self, place: StepPlace) -> WorkflowStep | None:
        """The step that a result at this place is of; None past the definition's end."""
        steps = (self.on_exception_steps if place.on_exception else self.steps) or ()
        return steps[place.position] if place.position < len(steps) else None

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
