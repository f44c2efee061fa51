"""How a workflow defines its steps, field by field as in AWS's `WorkflowStep`."""

from __future__ import annotations

import strawberry

from transfer_gateway.api.graphql.declare import declare_enum
from transfer_gateway.domain.execution import StepType
from transfer_gateway.domain.workflow import EncryptionType, OverwriteExisting

declare_enum(
    StepType,
    "What a step does with the file.",
    COPY="Copies it to another place.",
    CUSTOM="Hands it to a Lambda function.",
    TAG="Adds tags to it (on S3).",
    DELETE="Deletes it.",
    DECRYPT="Decrypts it (PGP).",
)
declare_enum(
    OverwriteExisting,
    "Whether a step may overwrite a file that is there already. AWS's own words, not a Boolean.",
    TRUE="It may.",
    FALSE="It may not: the step fails.",
)
declare_enum(EncryptionType, "How a file is encrypted.", PGP="Pretty Good Privacy.")

_NAME = "What the workflow calls the step."
_SOURCE = "The file to work on: `${previous.file}`, what the step before left, or `${original.file}`."
_OVERWRITE = "Whether a file at the destination may be overwritten."
_RAW_OVERWRITE = "Whether it may, in AWS's own word."


@strawberry.type(description="A key and its value.")
class Tag:
    key: str = strawberry.field(description="The key.")
    value: str = strawberry.field(description="The value.")


@strawberry.type(description="A file on Amazon EFS.")
class EfsFileLocation:
    file_system_id: str | None = strawberry.field(
        description="The file system: its id or access point's ARN."
    )
    path: str | None = strawberry.field(description="The file's path there.")


@strawberry.type(description="A place on Amazon S3 to put files.")
class S3InputFileLocation:
    bucket: str | None = strawberry.field(description="The bucket.")
    key: str | None = strawberry.field(
        description="The object's key, or a prefix that ends in `/`; may hold `${Transfer:UserName}` and such."
    )


@strawberry.type(description="Where a step puts the file: on S3 or on EFS.")
class InputFileLocation:
    s3_file_location: S3InputFileLocation | None = strawberry.field(description="Set for a place on S3.")
    efs_file_location: EfsFileLocation | None = strawberry.field(description="Set for a place on EFS.")


@strawberry.type(description="What a COPY step is to do.")
class CopyStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    destination_file_location: InputFileLocation | None = strawberry.field(description="Where the copy goes.")
    overwrite_existing: OverwriteExisting | None = strawberry.field(description=_OVERWRITE)
    raw_overwrite_existing: str | None = strawberry.field(description=_RAW_OVERWRITE)
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="What a CUSTOM step is to do.")
class CustomStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    target: str | None = strawberry.field(description="ARN of the Lambda function.")
    timeout_seconds: int | None = strawberry.field(description="How long the function may take.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="What a DELETE step is to do.")
class DeleteStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="What a TAG step is to do.")
class TagStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    tags: list[Tag] | None = strawberry.field(description="The tags that the file gets.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)


@strawberry.type(description="What a DECRYPT step is to do.")
class DecryptStepDetails:
    name: str | None = strawberry.field(description=_NAME)
    type: EncryptionType = strawberry.field(description="How the file is encrypted.")
    raw_type: str = strawberry.field(description="How the file is encrypted, in AWS's own word.")
    source_file_location: str | None = strawberry.field(description=_SOURCE)
    overwrite_existing: OverwriteExisting | None = strawberry.field(description=_OVERWRITE)
    raw_overwrite_existing: str | None = strawberry.field(description=_RAW_OVERWRITE)
    destination_file_location: InputFileLocation = strawberry.field(description="Where the plain file goes.")


@strawberry.type(description="A step as the workflow defines it. The details of its own type are set.")
class WorkflowStep:
    type: StepType | None = strawberry.field(description="What the step does.")
    raw_type: str | None = strawberry.field(description="What the step does, in AWS's own word.")
    name: str | None = strawberry.field(description="What the workflow calls it: the name in its details.")
    copy_step_details: CopyStepDetails | None = strawberry.field(description="Set for a COPY step.")
    custom_step_details: CustomStepDetails | None = strawberry.field(description="Set for a CUSTOM step.")
    delete_step_details: DeleteStepDetails | None = strawberry.field(description="Set for a DELETE step.")
    tag_step_details: TagStepDetails | None = strawberry.field(description="Set for a TAG step.")
    decrypt_step_details: DecryptStepDetails | None = strawberry.field(description="Set for a DECRYPT step.")
