"""The types of the schema. They mirror AWS's `DescribedExecution`, field by field.

Values are the domain's own dataclasses: a type here declares and describes the fields, each of which reads the domain's
attribute of the same name.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, declare_enum, domain_type
from transfer_gateway.api.graphql.scalars import Long  # noqa: TC001  as above
from transfer_gateway.api.graphql.steps import EfsFileLocation, WorkflowStep
from transfer_gateway.domain import account, execution
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType, StepRef, StepType
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

declare_enum(
    ExecutionStatus,
    "Status of an execution. AWS describes only executions in progress, so COMPLETED and EXCEPTION are rare.",
    IN_PROGRESS="Its steps are running.",
    HANDLING_EXCEPTION="A step failed; the workflow's on-exception steps are running.",
    COMPLETED="All its steps have succeeded.",
    EXCEPTION="A step failed, and the on-exception steps are done.",
)
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


@strawberry.interface(description="An object with a global id, as Relay defines it.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id; `node(id:)` finds the object again.")


@domain_type(account.Account, "An AWS account that the gateway reads.")
class Account(Node):
    id: strawberry.ID = strawberry.field(description="Global id: the account's id.")
    alias: str | None = strawberry.field(
        description="Alias from the accounts file, or the account's name in the organization."
    )
    regions: list[Region] = strawberry.field(description="The regions that the gateway reads.")

    @strawberry.field(description="The 12-digit account ID.")
    def account_id(self) -> AccountId:
        return AccountId(self.id)


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


@strawberry.type(description="The user whose upload started the execution.")
class UserDetails:
    user_name: str = strawberry.field(description="User name on the server.")
    server_id: str = strawberry.field(description="The Transfer Family server, `s-` and 17 hex digits.")
    session_id: str | None = strawberry.field(description="Session ID on the server.")


@strawberry.type(description="The upload session that started the execution.")
class ServiceMetadata:
    user_details: UserDetails = strawberry.field(description="The user and the server.")


@strawberry.type(description="Where AWS logs the execution.")
class LoggingConfiguration:
    logging_role: str | None = strawberry.field(description="ARN of the role that writes the log.")
    log_group_name: str | None = strawberry.field(description="The CloudWatch log group.")


@strawberry.type(description="The POSIX identity used on EFS. Each id is 0 to 4294967295.")
class PosixProfile:
    uid: Long = strawberry.field(description="User id.")
    gid: Long = strawberry.field(description="Group id.")
    secondary_gids: list[Long] | None = strawberry.field(description="Further group ids.")


@strawberry.type(description="Why a workflow step failed. Part of the data, not an error of this API.")
class StepError:
    type: StepErrorType = strawberry.field(description="Error type.")
    raw_type: str = strawberry.field(description="Error type, as AWS spells it.")
    message: str = strawberry.field(description="AWS's description of the failure.")


@strawberry.type(description="Result of one step.")
class ExecutionStepResult:
    step_type: StepType | None = strawberry.field(description="Type of the step.")
    raw_step_type: str | None = strawberry.field(description="Type of the step, as AWS spells it.")
    outputs: str | None = strawberry.field(description="Output of the step: text, usually JSON.")
    error: StepError | None = strawberry.field(description="Set when the step failed.")
    ref: strawberry.Private[StepRef]

    @strawberry.field(
        description="The step's definition: its name and settings, matched by its position in the workflow. Null "
        "without an error if the definition has no such position; null with an error in `errors[]` if the definition "
        "can't be read. Cached for an hour: AWS never changes a workflow.",
        graphql_type=WorkflowStep | None,
    )
    async def definition(self, info: Info) -> Any:  # noqa: ANN401  a domain step, see domain_type
        return await info.context.reader.define_step(self.ref, deadline=info.context.deadline)


@strawberry.type(description="Results of the steps so far, in workflow order.")
class ExecutionResults:
    steps: list[ExecutionStepResult] | None = strawberry.field(description="The workflow's steps.")
    on_exception_steps: list[ExecutionStepResult] | None = strawberry.field(
        description="The exception-handling steps, which run after a step has failed."
    )


@domain_type(
    execution.Execution, "One run of a workflow on one file, as AWS describes it while it is in progress."
)
class Execution(Node):
    id: strawberry.ID = strawberry.field(description="Global id: `accountId/region/workflowId/executionId`.")
    account_id: AccountId = strawberry.field(description="The account it runs in.")
    region: Region = strawberry.field(description="The region it runs in.")
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")
    execution_id: ExecutionId = strawberry.field(
        description="AWS's execution ID, unique within the workflow."
    )
    initial_file_location: FileLocation | None = strawberry.field(
        description="Location of the file when the execution started."
    )
    service_metadata: ServiceMetadata | None = strawberry.field(
        description="User, server and session of the upload."
    )
    execution_role: str | None = strawberry.field(description="ARN of the role that the steps use.")
    logging_configuration: LoggingConfiguration | None = strawberry.field(
        description="Where AWS logs the execution."
    )
    posix_profile: PosixProfile | None = strawberry.field(description="The POSIX identity, for files on EFS.")
    status: ExecutionStatus | None = strawberry.field(description="Current status.")
    raw_status: str | None = strawberry.field(description="Current status, as AWS spells it.")
    results: ExecutionResults | None = strawberry.field(description="Results of the steps so far.")
    observed_at: datetime = strawberry.field(description="When AWS returned this.")

    @strawberry.field(description="The account it runs in.", graphql_type=Account)
    def account(self, info: Info) -> Any:  # noqa: ANN401  a domain account, see domain_type
        return info.context.reader.scope.account_of(cast("execution.Execution", self))


@strawberry.input(
    name="ExecutionKey",
    description="Identifies an execution. AWS's IDs name neither account nor region, so all four are required.",
)
class ExecutionKeyInput:
    account_id: AccountId = strawberry.field(description="The account it runs in.")
    region: Region = strawberry.field(description="The region it runs in.")
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")
    execution_id: ExecutionId = strawberry.field(description="The execution.")

    def to_key(self) -> ExecutionKey:
        return ExecutionKey(self.account_id, self.region, self.workflow_id, self.execution_id)
