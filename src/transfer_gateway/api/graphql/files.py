"""Where files are, and why a step could not process one."""

from __future__ import annotations

import strawberry

from transfer_gateway.api.graphql.declare import declare_enum
from transfer_gateway.api.graphql.steps import EfsFileLocation  # noqa: TC001  Strawberry reads the annotations
from transfer_gateway.domain.execution import StepErrorType

declare_enum(
    StepErrorType,
    "Why a step failed.",
    PERMISSION_DENIED="The workflow's role lacks a permission that the step needs.",
    CUSTOM_STEP_FAILED="The Lambda function reported a failure.",
    THROTTLED="Executions started faster than AWS allows: one per second for each workflow.",
    ALREADY_EXISTS="The destination file exists and overwriting is off.",
    NOT_FOUND="Something the step needs, such as the source file, doesn't exist.",
    BAD_REQUEST="The step isn't possible, such as tagging a file on EFS.",
    TIMEOUT="The step timed out.",
    INTERNAL_SERVER_ERROR="Any other cause.",
)


@strawberry.type(description="A file on Amazon S3.")
class S3FileLocation:
    bucket: str | None = strawberry.field(description="The bucket.")
    key: str | None = strawberry.field(description="The object's key.")
    version_id: str | None = strawberry.field(description="The object's version.")
    etag: str | None = strawberry.field(description="The object's ETag.")


@strawberry.type(description="Location of a file: on S3 or on EFS.")
class FileLocation:
    s3_file_location: S3FileLocation | None = strawberry.field(description="Set for a file on S3.")
    efs_file_location: EfsFileLocation | None = strawberry.field(description="Set for a file on EFS.")


@strawberry.type(description="Why a workflow step failed. Part of the data, not an error of this API.")
class StepError:
    type: StepErrorType = strawberry.field(description="Error type.")
    raw_type: str = strawberry.field(description="Error type, as AWS spells it.")
    message: str = strawberry.field(description="AWS's description of the failure.")


@strawberry.type(
    description="What a failed step's type of error usually means. The gateway's words, not AWS's."
)
class StepExplanation:
    meaning: str = strawberry.field(description="In a sentence or two.")
    check: list[str] = strawberry.field(description="What to look at, the likeliest first.")
