"""The types of the schema. They mirror AWS's `DescribedExecution`, field by field.

Values are the domain's own dataclasses: a type here declares and describes the fields, each of which reads the domain's
attribute of the same name.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import Annotated, Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, declare_enum, domain_type
from transfer_gateway.api.graphql.events import ExecutionEventConnection, to_event_connection
from transfer_gateway.api.graphql.files import FileLocation, StepError, StepExplanation  # noqa: TC001  as above
from transfer_gateway.api.graphql.nodes import Account, Node
from transfer_gateway.api.graphql.scalars import Long  # noqa: TC001  as above
from transfer_gateway.api.graphql.servers import Server
from transfer_gateway.api.graphql.steps import WorkflowStep
from transfer_gateway.api.graphql.workflows import Workflow
from transfer_gateway.core.history_use_cases import DEFAULT_EVENTS
from transfer_gateway.domain import execution
from transfer_gateway.domain.execution import ExecutionStatus, Source, StepRef, StepType
from transfer_gateway.domain.identity import AccountId, ExecutionId, ExecutionKey, Region, WorkflowId

declare_enum(
    ExecutionStatus,
    "Status of an execution. COMPLETED and EXCEPTION are final.",
    IN_PROGRESS="Its steps are running.",
    HANDLING_EXCEPTION="A step failed; the workflow's on-exception steps are running.",
    COMPLETED="All its steps have succeeded.",
    EXCEPTION="A step failed, and the on-exception steps are done.",
)


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


@strawberry.type(description="Result of one step.")
class ExecutionStepResult:
    step_type: StepType | None = strawberry.field(description="Type of the step.")
    raw_step_type: str | None = strawberry.field(description="Type of the step, as AWS spells it.")
    outputs: str | None = strawberry.field(description="Output of the step: text, usually JSON.")
    error: StepError | None = strawberry.field(description="Set when the step failed.")
    explanation: StepExplanation | None = strawberry.field(
        description="What such an error of such a step usually means, and what to check. Null without `error`."
    )
    name: str | None = strawberry.field(description="The step's name, from the log.")
    started_at: datetime | None = strawberry.field(description="When the step started, from the log.")
    ended_at: datetime | None = strawberry.field(
        description="When the step ended, from the log. Null while it runs."
    )
    duration_s: float | None = strawberry.field(description="Seconds from its start to its end.")
    file_location: FileLocation | None = strawberry.field(
        description="The file that the step processed, from the log."
    )
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
    execution.Execution,
    "One run of a workflow on one file: as AWS describes it while it is in progress, then as its log recorded it.",
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
    status: ExecutionStatus | None = strawberry.field(
        description="Current status. Null if it has ended and how is not recorded, or not yet: see `ending`."
    )
    raw_status: str | None = strawberry.field(description="Current status, as AWS spells it.")
    results: ExecutionResults | None = strawberry.field(description="Results of the steps so far.")
    observed_at: datetime = strawberry.field(
        description="When AWS returned this, or its log was read; of an execution that a search has found, when there "
        "was the last sign of it: AWS's last answer, or its last event."
    )
    started_at: datetime | None = strawberry.field(description="When it started, from the log.")
    ended_at: datetime | None = strawberry.field(description="When it ended, from the log.")
    duration_s: float | None = strawberry.field(description="Seconds from its start to its end.")
    ending: bool = strawberry.field(
        description="Whether AWS has just forgotten it, and its end is not in the log yet."
    )
    steps_done: int | None = strawberry.field(
        description="How many of the workflow's steps have succeeded so far. Null if unknown. Of an execution that has "
        "ended about 500 steps are known: 1,000 entries of its log are kept."
    )
    failed_step: ExecutionStepResult | None = strawberry.field(
        description="The first step that failed. Null if none has, or if it is unknown."
    )
    recorded_by: list[Source] = strawberry.field(description="What this is known from.")

    @strawberry.field(
        description="What happened to it, in order: the entries of its log.",
        graphql_type=ExecutionEventConnection,
    )
    async def events(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="Page size: 1 to 1,000.")] = DEFAULT_EVENTS,
        after: Annotated[str | None, strawberry.argument(description="Cursor to continue after.")] = None,
    ) -> Any:  # noqa: ANN401  domain events, see domain_type
        key = cast("execution.Execution", self).key
        found = await info.context.reader.list_events(key, first=first, after=after)
        return to_event_connection(found, continued=after is not None)

    @strawberry.field(
        description="The server that the file was uploaded to. Null if unknown or deleted.",
        graphql_type=Server | None,
    )
    async def server(self, info: Info) -> Any:  # noqa: ANN401  a domain server, see domain_type
        return await info.context.reader.server_of(
            cast("execution.Execution", self), deadline=info.context.deadline
        )

    @strawberry.field(
        description="The workflow's definition. Null with an error in `errors[]` if it can't be read or was deleted.",
        graphql_type=Workflow | None,
    )
    async def workflow(self, info: Info) -> Any:  # noqa: ANN401  a domain workflow, see domain_type
        return await info.context.reader.workflow_of(
            cast("execution.Execution", self), deadline=info.context.deadline
        )

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
