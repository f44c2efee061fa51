"""Step definitions in the schema. They mirror AWS's `WorkflowStep`, field by field."""

from __future__ import annotations

import strawberry

from transfer_gateway.api.graphql.declare import declare_enum
from transfer_gateway.domain.execution import StepType
from transfer_gateway.domain.workflow import EncryptionType, OverwriteExisting

declare_enum(
    StepType,
    "Type of a step.",
    COPY="Copies the file.",
    CUSTOM="Invokes a Lambda function.",
    TAG="Tags the file (S3 only).",
    DELETE="Deletes the file.",
    DECRYPT="Decrypts the file (PGP).",
)
declare_enum(
    OverwriteExisting,
    "Whether a step may overwrite an existing file. AWS's own values, not a Boolean.",
    TRUE="Allowed.",
    FALSE="Not allowed: the step fails.",
)
declare_enum(EncryptionType, "How a file is encrypted.", PGP="Pretty Good Privacy.")

_NAME = "The step's name."
_SOURCE = "Input file: `${previous.file}` (the previous step's output) or `${original.file}`."
_OVERWRITE = "Whether a file at the destination may be overwritten."
_RAW_OVERWRITE = "The same, as AWS spells it."


@strawberry.type(description="A key and its value.")
class Tag:
    key: str = strawberry.field(description="The key.")
    value: str = strawberry.field(description="The value.")


@strawberry.type(description="A file on Amazon EFS.")
class EfsFileLocation:
    file_system_id: str | None = strawberry.field(
        description="The file system: its id or access point's ARN."
    )
    path: str | None = strawberry.field(description="The file's path on the file system.")


@strawberry.type(description="A destination on Amazon S3.")
class S3InputFileLocation:
    bucket: str | None = strawberry.field(description="The bucket.")
    key: str | None = strawberry.field(
        description="The object's key, or a prefix that ends in `/`. "
        "May contain variables such as `${Transfer:UserName}`."
    )


@strawberry.type(description="Destination of a step's output: on S3 or on EFS.")
class InputFileLocation:
    s3_file_location: S3InputFileLocation | None = strawberry.field(
        description="Set for a destination on S3."
    )
    efs_file_location: EfsFileLocation | None = strawberry.field(description="Set for a destination on EFS.")


@strawberry.type(description="Settings of a COPY step.")
class CopyStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    destination_file_location: InputFileLocation | None = strawberry.field(
        description="Destination of the copy."
    )
    overwrite_existing: OverwriteExisting | None = strawberry.field(description=_OVERWRITE)
    raw_overwrite_existing: str | None = strawberry.field(description=_RAW_OVERWRITE)
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="Settings of a CUSTOM step.")
class CustomStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    target: str | None = strawberry.field(description="ARN of the Lambda function.")
    timeout_seconds: int | None = strawberry.field(description="Timeout of the function, in seconds.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="Settings of a DELETE step.")
class DeleteStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="Settings of a TAG step.")
class TagStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    tags: list[Tag] | None = strawberry.field(description="Tags to add to the file.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="Settings of a DECRYPT step.")
class DecryptStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    type: EncryptionType = strawberry.field(description="How the file is encrypted.")
    raw_type: str = strawberry.field(description="The same, as AWS spells it.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)
    overwrite_existing: OverwriteExisting | None = strawberry.field(description=_OVERWRITE)
    raw_overwrite_existing: str | None = strawberry.field(description=_RAW_OVERWRITE)
    destination_file_location: InputFileLocation = strawberry.field(
        description="Destination of the decrypted file."
    )


@strawberry.type(description="A step's definition. Only the details of its own type are set.")
class WorkflowStep:
    type: StepType | None = strawberry.field(description="Type of the step.")
    raw_type: str | None = strawberry.field(description="Type of the step, as AWS spells it.")
    name: str | None = strawberry.field(description="The step's name, from its details.")
    copy_step_details: CopyStepDetails | None = strawberry.field(description="Set for a COPY step.")
    custom_step_details: CustomStepDetails | None = strawberry.field(description="Set for a CUSTOM step.")
    delete_step_details: DeleteStepDetails | None = strawberry.field(description="Set for a DELETE step.")
    tag_step_details: TagStepDetails | None = strawberry.field(description="Set for a TAG step.")
    decrypt_step_details: DecryptStepDetails | None = strawberry.field(description="Set for a DECRYPT step.")
