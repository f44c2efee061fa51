"""Workflows in the schema. They mirror AWS's `DescribedWorkflow`, field by field."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, domain_type
from transfer_gateway.api.graphql.nodes import Account, Node
from transfer_gateway.api.graphql.steps import Tag, WorkflowStep  # noqa: TC001  as above
from transfer_gateway.domain import workflow
from transfer_gateway.domain.identity import AccountId, Region, WorkflowId, WorkflowKey


@domain_type(workflow.Workflow, "A workflow: the steps that run on each uploaded file.")
class Workflow(Node):
    id: strawberry.ID = strawberry.field(description="Global id: `accountId/region/workflowId`.")
    account_id: AccountId = strawberry.field(description="The account it belongs to.")
    region: Region = strawberry.field(description="The region it belongs to.")
    workflow_id: WorkflowId = strawberry.field(
        description="AWS's workflow ID, unique within the account and region."
    )
    arn: str = strawberry.field(description="Its ARN.")
    description: str | None = strawberry.field(description="Description given by its authors.")
    steps: list[WorkflowStep] | None = strawberry.field(description="Its steps, in order.")
    on_exception_steps: list[WorkflowStep] | None = strawberry.field(
        description="The exception-handling steps, in order."
    )
    tags: list[Tag] | None = strawberry.field(description="The workflow's own tags.")
    structured_log_destinations: list[str] | None = strawberry.field(
        description="ARNs of the log groups that receive its structured logs."
    )
    observed_at: datetime = strawberry.field(description="When AWS returned this.")

    @strawberry.field(description="The account it belongs to.", graphql_type=Account)
    def account(self, info: Info) -> Any:  # noqa: ANN401  a domain account, see domain_type
        return info.context.reader.scope.account_of(cast("workflow.Workflow", self))


@strawberry.input(
    name="WorkflowKey",
    description="Identifies a workflow. AWS's ID names neither account nor region, so all three are required.",
)
class WorkflowKeyInput:
    account_id: AccountId = strawberry.field(description="The account it belongs to.")
    region: Region = strawberry.field(description="The region it belongs to.")
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")

    def to_key(self) -> WorkflowKey:
        return WorkflowKey(self.account_id, self.region, self.workflow_id)
