"""Servers in the schema: which workflows they start, and where those log."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  Strawberry reads the annotations
from typing import Any, cast

import strawberry

from transfer_gateway.api.graphql.declare import Info, declare_enum, domain_type
from transfer_gateway.api.graphql.nodes import Account, Node
from transfer_gateway.api.graphql.steps import Tag  # noqa: TC001  as above
from transfer_gateway.domain import server
from transfer_gateway.domain.identity import AccountId, Region, WorkflowId  # noqa: TC001  as above
from transfer_gateway.domain.server import Domain, EndpointType, IdentityProviderType, Protocol, ServerState

declare_enum(
    ServerState,
    "State of a server.",
    OFFLINE="It accepts no connections.",
    ONLINE="It accepts connections.",
    STARTING="It is being started.",
    STOPPING="It is being stopped.",
    START_FAILED="It could not be started.",
    STOP_FAILED="It could not be stopped.",
)
declare_enum(Domain, "Where a server keeps files.", S3="Amazon S3.", EFS="Amazon EFS.")
declare_enum(
    EndpointType,
    "How clients reach a server.",
    PUBLIC="Over the internet.",
    VPC="In a VPC, which may have public addresses.",
    VPC_ENDPOINT="Through a VPC endpoint; AWS creates no new ones.",
)
declare_enum(
    IdentityProviderType,
    "Where a server's users come from.",
    SERVICE_MANAGED="Transfer Family itself.",
    API_GATEWAY="An API in Amazon API Gateway.",
    AWS_DIRECTORY_SERVICE="AWS Directory Service.",
    AWS_LAMBDA="A Lambda function.",
)
declare_enum(
    Protocol, "A protocol for uploads.", SFTP="SFTP.", FTP="FTP, unencrypted.", FTPS="FTPS.", AS2="AS2."
)


@strawberry.type(description="A workflow that a server starts.")
class WorkflowDetail:
    workflow_id: WorkflowId = strawberry.field(description="The workflow.")
    execution_role: str | None = strawberry.field(description="ARN of the role that its executions use.")


@domain_type(server.Server, "A Transfer Family server.")
class Server(Node):
    id: strawberry.ID = strawberry.field(description="Global id: `accountId/region/serverId`.")
    account_id: AccountId = strawberry.field(description="The account it belongs to.")
    region: Region = strawberry.field(description="The region it belongs to.")
    server_id: strawberry.ID = strawberry.field(description="AWS's server ID.")
    arn: str = strawberry.field(description="Its ARN.")
    domain: Domain | None = strawberry.field(description="Where it keeps files.")
    raw_domain: str | None = strawberry.field(description="The same, as AWS spells it.")
    endpoint_type: EndpointType | None = strawberry.field(description="How clients reach it.")
    raw_endpoint_type: str | None = strawberry.field(description="The same, as AWS spells it.")
    identity_provider_type: IdentityProviderType | None = strawberry.field(
        description="Where its users come from."
    )
    raw_identity_provider_type: str | None = strawberry.field(description="The same, as AWS spells it.")
    protocols: list[Protocol] | None = strawberry.field(description="Its protocols.")
    raw_protocols: list[str] | None = strawberry.field(description="The same, as AWS spells them.")
    state: ServerState | None = strawberry.field(description="Its state.")
    raw_state: str | None = strawberry.field(description="The same, as AWS spells it.")
    tags: list[Tag] | None = strawberry.field(description="Its tags.")
    user_count: int | None = strawberry.field(description="Number of its service-managed users.")
    on_upload: list[WorkflowDetail] = strawberry.field(
        description="The workflow that runs on each complete upload, if any."
    )
    on_partial_upload: list[WorkflowDetail] = strawberry.field(
        description="The workflow that runs if an upload breaks off, if any."
    )
    logging_role: str | None = strawberry.field(
        description="ARN of the role that logs the executions of its workflows. Without it only workflows with log "
        "destinations of their own are logged."
    )
    log_group: str | None = strawberry.field(
        description="The log group of the executions, if it has a logging role."
    )
    structured_log_destinations: list[str] | None = strawberry.field(
        description="ARNs of the log groups of its sessions. Not those of executions."
    )
    observed_at: datetime = strawberry.field(description="When AWS returned this.")

    @strawberry.field(description="The account it belongs to.", graphql_type=Account)
    def account(self, info: Info) -> Any:  # noqa: ANN401  a domain account, see domain_type
        return info.context.reader.scope.account_of(cast("server.Server", self))
