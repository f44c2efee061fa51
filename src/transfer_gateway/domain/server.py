"""A Transfer server as returned by AWS: which workflows it starts, and where their executions are logged.

`None`: AWS omitted the member. `execution.py` explains the `raw_` fields.
Source: `DescribedServer` in botocore's Transfer model, without how clients connect, log in and are greeted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from transfer_gateway.domain.execution import AwsEnum
from transfer_gateway.domain.gateway_error import BadUserInput
from transfer_gateway.domain.identity import AccountId, Identifier, Region, Target

if TYPE_CHECKING:
    from datetime import datetime

    from transfer_gateway.domain.identity import WorkflowId
    from transfer_gateway.domain.workflow import Tag


class ServerId(Identifier):
    """Unique within an account and region. Source: the Transfer model."""

    __slots__ = ()
    PATTERN = re.compile(r"s-([0-9a-f]{17})")
    EXAMPLE = "s-1234567890abcdef0"


class ServerKey(NamedTuple):
    """The global id of a server. Its string form, `account/region/server`, is the `id` that callers see."""

    account_id: AccountId
    region: Region
    server_id: ServerId

    @classmethod
    def parse(cls, text: str) -> ServerKey:
        """Parse the string form. Raises: BadUserInput."""
        parts = text.split("/")
        if len(parts) != 3:  # noqa: PLR2004  the three fields above
            raise BadUserInput("A server's id has the form accountId/region/serverId.")
        account_id, region, server_id = parts
        return cls(AccountId(account_id), Region(region), ServerId(server_id))

    @property
    def target(self) -> Target:
        return Target(self.account_id, self.region)

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}/{self.server_id}"


class ServerState(AwsEnum):
    OFFLINE = "OFFLINE"
    ONLINE = "ONLINE"
    STARTING = "STARTING"
    STOPPING = "STOPPING"
    START_FAILED = "START_FAILED"
    STOP_FAILED = "STOP_FAILED"
    UNRECOGNIZED = "UNRECOGNIZED"


class Domain(AwsEnum):
    """Where the server keeps files."""

    S3 = "S3"
    EFS = "EFS"
    UNRECOGNIZED = "UNRECOGNIZED"


class EndpointType(AwsEnum):
    PUBLIC = "PUBLIC"
    VPC = "VPC"
    VPC_ENDPOINT = "VPC_ENDPOINT"
    UNRECOGNIZED = "UNRECOGNIZED"


class IdentityProviderType(AwsEnum):
    SERVICE_MANAGED = "SERVICE_MANAGED"
    API_GATEWAY = "API_GATEWAY"
    AWS_DIRECTORY_SERVICE = "AWS_DIRECTORY_SERVICE"
    AWS_LAMBDA = "AWS_LAMBDA"
    UNRECOGNIZED = "UNRECOGNIZED"


class Protocol(AwsEnum):
    SFTP = "SFTP"
    FTP = "FTP"
    FTPS = "FTPS"
    AS2 = "AS2"
    UNRECOGNIZED = "UNRECOGNIZED"


@dataclass(frozen=True, slots=True)
class WorkflowDetail:
    """A workflow that a server starts, and the role of its executions, which may be hidden."""

    workflow_id: WorkflowId
    execution_role: str | None


@dataclass(frozen=True, slots=True)
class ServerSummary:
    """A listed server. `observed_at`: when AWS's response arrived, UTC. Source: `ListedServer`."""

    key: ServerKey
    arn: str
    domain: Domain | None
    raw_domain: str | None
    endpoint_type: EndpointType | None
    raw_endpoint_type: str | None
    identity_provider_type: IdentityProviderType | None
    raw_identity_provider_type: str | None
    logging_role: str | None
    state: ServerState | None
    raw_state: str | None
    user_count: int | None
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Server:
    """A described server. `observed_at`: when AWS's response arrived, UTC.

    `structured_log_destinations` are for its sessions' entries; a workflow has its own for its executions'.
    """

    key: ServerKey
    arn: str
    domain: Domain | None
    raw_domain: str | None
    endpoint_type: EndpointType | None
    raw_endpoint_type: str | None
    identity_provider_type: IdentityProviderType | None
    raw_identity_provider_type: str | None
    logging_role: str | None
    protocols: tuple[Protocol, ...] | None
    raw_protocols: tuple[str, ...] | None
    state: ServerState | None
    raw_state: str | None
    tags: tuple[Tag, ...] | None
    user_count: int | None
    on_upload: tuple[WorkflowDetail, ...]
    on_partial_upload: tuple[WorkflowDetail, ...]
    structured_log_destinations: tuple[str, ...] | None
    observed_at: datetime
    aws_request_id: str | None = field(default=None, repr=False, compare=False)  # of the DescribeServer call

    @property
    def log_group(self) -> str | None:
        """The group to which it logs the executions that it starts; None if it has no logging role."""
        return f"/aws/transfer/{self.key.server_id}" if self.logging_role else None

    @property
    def workflow_ids(self) -> tuple[WorkflowId, ...]:
        """The workflows that it starts, each once."""
        return tuple(dict.fromkeys(it.workflow_id for it in (*self.on_upload, *self.on_partial_upload)))

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
    def server_id(self) -> ServerId:
        return self.key.server_id

    def without_details(self) -> Server:
        """Itself: a listed server is described, too."""
        return self
