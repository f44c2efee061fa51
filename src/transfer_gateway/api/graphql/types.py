"""The types of the schema. They mirror AWS's `DescribedExecution`, field by field.

Objects are answered by the domain's own dataclasses: a type here names the fields, says what they mean,
and reads each from the domain's attribute of the same name.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, answers, declare_enum
from transfer_gateway.api.graphql.scalars import Long  # noqa: TC001  as above
from transfer_gateway.api.graphql.steps import EfsFileLocation, WorkflowStep
from transfer_gateway.domain import account, execution
from transfer_gateway.domain.execution import ExecutionStatus, StepErrorType, StepPlace, StepType
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

declare_enum(
    ExecutionStatus,
    "How far an execution is. AWS describes those in progress only, so the last two are rarely seen.",
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
    THROTTLED="Executions were started faster than AWS refills them (one a second for each workflow).",
    ALREADY_EXISTS="The target of a copy exists, and overwriting is off.",
    NOT_FOUND="Something the step needs, such as the source file, is not there.",
    BAD_REQUEST="The step cannot be done so, such as tagging a file on EFS.",
    TIMEOUT="The step took longer than it may.",
    INTERNAL_SERVER_ERROR="Any other cause.",
)


@strawberry.interface(description="An object with a global id, as Relay defines it.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id; `node(id:)` finds the object again.")


@answers(account.Account, "An AWS account that the gateway looks into.")
class Account(Node):
    id: strawberry.ID = strawberry.field(description="Global id: the account's id.")
    alias: str | None = strawberry.field(description="The name given to it in the accounts file.")
    regions: list[Region] = strawberry.field(description="The regions that are looked into.")

    @strawberry.field(description="The account's twelve digits.")
    def account_id(self) -> AccountId:
        return AccountId(self.id)


@strawberry.type(description="A file on Amazon S3.")
class S3FileLocation:
    bucket: str | None = strawberry.field(description="The bucket.")
    key: str | None = strawberry.field(description="The object's key.")
    version_id: str | None = strawberry.field(description="The object's version.")
    etag: str | None = strawberry.field(description="Hash of the object's contents.")


@strawberry.type(description="Where a file is: on S3 or on EFS.")
class FileLocation:
    s3_file_location: S3FileLocation | None = strawberry.field(description="Set for a file on S3.")
    efs_file_location: EfsFileLocation | None = strawberry.field(description="Set for a file on EFS.")


@strawberry.type(description="The user whose upload started the execution.")
class UserDetails:
    user_name: str = strawberry.field(description="The user's name at the server.")
    server_id: str = strawberry.field(description="The Transfer Family server, `s-` and 17 hex digits.")
    session_id: str | None = strawberry.field(description="The user's session at the server.")


@strawberry.type(description="The session in which the execution was started.")
class ServiceMetadata:
    user_details: UserDetails = strawberry.field(description="The user and the server.")


@strawberry.type(description="Where the execution is logged.")
class LoggingConfiguration:
    logging_role: str | None = strawberry.field(description="ARN of the role that writes the log.")
    log_group_name: str | None = strawberry.field(description="The CloudWatch log group.")


@strawberry.type(description="The POSIX identity used on EFS. Each id is 0 to 4294967295.")
class PosixProfile:
    uid: Long = strawberry.field(description="User id.")
    gid: Long = strawberry.field(description="Group id.")
    secondary_gids: list[Long] | None = strawberry.field(description="Further group ids.")


@strawberry.type(
    description="Why a step of the workflow failed. Part of the answer, not an error of this API."
)
class StepError:
    type: StepErrorType = strawberry.field(description="The kind of failure.")
    raw_type: str = strawberry.field(description="The kind in AWS's own word.")
    message: str = strawberry.field(description="AWS's description of the failure.")


@strawberry.type(description="What came of one step.")
class ExecutionStepResult:
    step_type: StepType | None = strawberry.field(description="What the step does.")
    raw_step_type: str | None = strawberry.field(description="What the step does, in AWS's own word.")
    outputs: str | None = strawberry.field(description="What the step returned: text, most often JSON.")
    error: StepError | None = strawberry.field(description="Set when the step failed.")
    place: strawberry.Private[StepPlace]

    @strawberry.field(
        description="How the workflow defines the step: its name and details. Taken from the workflow's "
        "definition by position, so null, without an error, past that definition's end; null with an error in "
        "`errors[]` when the definition can't be had. Kept for an hour, since AWS never changes a workflow.",
        graphql_type=WorkflowStep | None,
    )
    async def definition(self, info: Info) -> Any:  # noqa: ANN401  a domain step, see answers
        return await info.context.reader.define_step(self.place, deadline=info.context.deadline)


@strawberry.type(description="What came of the steps so far, in the workflow's order.")
class ExecutionResults:
    steps: list[ExecutionStepResult] | None = strawberry.field(description="The workflow's steps.")
    on_exception_steps: list[ExecutionStepResult] | None = strawberry.field(
        description="The steps that run after one has failed."
    )


@answers(
    execution.Execution, "A workflow's execution on one file, as AWS describes it while it is in progress."
)
class Execution(Node):
    id: strawberry.ID = strawberry.field(description="Global id: `accountId/region/workflowId/executionId`.")
    account_id: AccountId = strawberry.field(description="The account that it runs in.")
    region: Region = strawberry.field(description="The region that it runs in.")
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")
    execution_id: ExecutionId = strawberry.field(description="AWS's id of it, unique within the workflow.")
    initial_file_location: FileLocation | None = strawberry.field(
        description="Where the file was when the execution began."
    )
    service_metadata: ServiceMetadata | None = strawberry.field(description="Whose upload it was.")
    execution_role: str | None = strawberry.field(description="ARN of the role that the steps run with.")
    logging_configuration: LoggingConfiguration | None = strawberry.field(description="Where it is logged.")
    posix_profile: PosixProfile | None = strawberry.field(description="The POSIX identity, for files on EFS.")
    status: ExecutionStatus | None = strawberry.field(description="How far it is.")
    raw_status: str | None = strawberry.field(description="How far it is, in AWS's own word.")
    results: ExecutionResults | None = strawberry.field(description="What came of its steps so far.")
    observed_at: datetime = strawberry.field(description="When AWS said all this.")

    @strawberry.field(description="The account that it runs in.", graphql_type=Account)
    def account(self, info: Info) -> Any:  # noqa: ANN401  a domain account, see answers
        return info.context.reader.scope.account_of(cast("execution.Execution", self))


@strawberry.input(
    name="ExecutionKey",
    description="Which execution. AWS's own ids say neither account nor region, so all four are needed.",
)
class ExecutionKeyInput:
    account_id: AccountId = strawberry.field(description="The account that it runs in.")
    region: Region = strawberry.field(description="The region that it runs in.")
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")
    execution_id: ExecutionId = strawberry.field(description="The execution.")

    def to_key(self) -> ExecutionKey:
        return ExecutionKey(self.account_id, self.region, self.workflow_id, self.execution_id)
