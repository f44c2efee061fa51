"""The same part of the schema, written in a day: Strawberry without options, and an aiobotocore client per account.

For bench/compare.py. No cache, botocore's own timeouts and retries, and the first failure ends the request. Sequential
calls for a new account and an unbounded gather over the keys are intended: they are typical of such a program. Don't
fix them here.
"""

import asyncio
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
import uvicorn
import uvloop
from aiobotocore.session import get_session
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter


@strawberry.enum
class ExecutionStatus(Enum):
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    EXCEPTION = "EXCEPTION"
    HANDLING_EXCEPTION = "HANDLING_EXCEPTION"


@strawberry.enum
class StepType(Enum):
    COPY = "COPY"
    CUSTOM = "CUSTOM"
    TAG = "TAG"
    DELETE = "DELETE"
    DECRYPT = "DECRYPT"


@strawberry.input
class ExecutionKey:
    account_id: str
    region: str
    workflow_id: str
    execution_id: str


@strawberry.type
class S3FileLocation:
    bucket: str | None
    key: str | None
    version_id: str | None
    etag: str | None


@strawberry.type
class EfsFileLocation:
    file_system_id: str | None
    path: str | None


@strawberry.type
class FileLocation:
    s3_file_location: S3FileLocation | None
    efs_file_location: EfsFileLocation | None


@strawberry.type
class UserDetails:
    user_name: str
    server_id: str
    session_id: str | None


@strawberry.type
class ServiceMetadata:
    user_details: UserDetails


@strawberry.type
class LoggingConfiguration:
    logging_role: str | None
    log_group_name: str | None


@strawberry.type
class PosixProfile:
    uid: int
    gid: int
    secondary_gids: list[int] | None


@strawberry.type
class StepError:
    type: str
    raw_type: str
    message: str


@strawberry.type
class ExecutionStepResult:
    step_type: StepType | None
    raw_step_type: str | None
    outputs: str | None
    error: StepError | None


@strawberry.type
class ExecutionResults:
    steps: list[ExecutionStepResult] | None
    on_exception_steps: list[ExecutionStepResult] | None


@strawberry.type
class Account:
    id: strawberry.ID
    alias: str | None


@strawberry.type
class Execution:
    id: strawberry.ID
    account: Account
    account_id: str
    region: str
    workflow_id: str
    execution_id: str
    initial_file_location: FileLocation | None
    service_metadata: ServiceMetadata | None
    execution_role: str | None
    logging_configuration: LoggingConfiguration | None
    posix_profile: PosixProfile | None
    status: ExecutionStatus | None
    raw_status: str | None
    results: ExecutionResults | None
    observed_at: datetime


@strawberry.interface
class Error:
    code: str
    message: str


@strawberry.type
class UpstreamUnavailable(Error):
    pass


ExecutionOrError = Annotated[Execution | UpstreamUnavailable, strawberry.union("ExecutionOrError")]


def step_from(wire: dict[str, Any]) -> ExecutionStepResult:
    error = wire.get("Error")
    return ExecutionStepResult(
        step_type=StepType(wire["StepType"]) if "StepType" in wire else None,
        raw_step_type=wire.get("StepType"),
        outputs=wire.get("Outputs"),
        error=StepError(type=error["Type"], raw_type=error["Type"], message=error["Message"])
        if error
        else None,
    )


def steps_from(wire: list[dict[str, Any]] | None) -> list[ExecutionStepResult] | None:
    return None if wire is None else [step_from(step) for step in wire]


def execution_from(key: ExecutionKey, wire: dict[str, Any]) -> Execution:
    file, results = wire.get("InitialFileLocation", {}), wire.get("Results", {})
    s3, efs = file.get("S3FileLocation"), file.get("EfsFileLocation")
    user, posix = wire["ServiceMetadata"]["UserDetails"], wire.get("PosixProfile")
    logging = wire.get("LoggingConfiguration")
    return Execution(
        id=strawberry.ID(f"{key.account_id}/{key.region}/{key.workflow_id}/{key.execution_id}"),
        account=Account(id=strawberry.ID(key.account_id), alias=None),
        account_id=key.account_id,
        region=key.region,
        workflow_id=key.workflow_id,
        execution_id=key.execution_id,
        initial_file_location=FileLocation(
            s3_file_location=S3FileLocation(
                bucket=s3.get("Bucket"),
                key=s3.get("Key"),
                version_id=s3.get("VersionId"),
                etag=s3.get("Etag"),
            )
            if s3
            else None,
            efs_file_location=EfsFileLocation(file_system_id=efs.get("FileSystemId"), path=efs.get("Path"))
            if efs
            else None,
        ),
        service_metadata=ServiceMetadata(
            user_details=UserDetails(
                user_name=user["UserName"], server_id=user["ServerId"], session_id=user.get("SessionId")
            )
        ),
        execution_role=wire.get("ExecutionRole"),
        logging_configuration=LoggingConfiguration(
            logging_role=logging.get("LoggingRole"), log_group_name=logging.get("LogGroupName")
        )
        if logging
        else None,
        posix_profile=PosixProfile(
            uid=posix["Uid"], gid=posix["Gid"], secondary_gids=posix.get("SecondaryGids")
        )
        if posix
        else None,
        status=ExecutionStatus(wire["Status"]),
        raw_status=wire["Status"],
        results=ExecutionResults(
            steps=steps_from(results.get("Steps")),
            on_exception_steps=steps_from(results.get("OnExceptionSteps")),
        ),
        observed_at=datetime.now(UTC),
    )


class Clients:
    """A client per account and region, with the assumed role's credentials."""

    def __init__(self) -> None:
        self._session, self._stack = get_session(), AsyncExitStack()
        self._clients: dict[tuple[str, str], Any] = {}

    async def of(self, account_id: str, region: str) -> Any:  # noqa: ANN401  botocore makes its type as it runs
        if (account_id, region) not in self._clients:
            async with self._session.create_client("sts", region_name=region) as sts:
                role = f"arn:aws:iam::{account_id}:role/TransferGatewayReader"
                assumed = (await sts.assume_role(RoleArn=role, RoleSessionName="days-work"))["Credentials"]
            self._clients[account_id, region] = await self._stack.enter_async_context(
                self._session.create_client(
                    "transfer",
                    region_name=region,
                    aws_access_key_id=assumed["AccessKeyId"],
                    aws_secret_access_key=assumed["SecretAccessKey"],
                    aws_session_token=assumed["SessionToken"],
                )
            )
        return self._clients[account_id, region]


clients = Clients()


async def look(key: ExecutionKey) -> Execution:
    client = await clients.of(key.account_id, key.region)
    told = await client.describe_execution(WorkflowId=key.workflow_id, ExecutionId=key.execution_id)
    return execution_from(key, told["Execution"])


@strawberry.type
class Query:
    @strawberry.field
    async def execution_or_error(self, key: ExecutionKey, max_age: float | None = 1) -> ExecutionOrError:
        return await look(key)

    @strawberry.field
    async def executions(self, keys: list[ExecutionKey], max_age: float | None = 1) -> list[ExecutionOrError]:
        return list(await asyncio.gather(*map(look, keys)))


async def main() -> None:
    app = FastAPI()
    app.include_router(GraphQLRouter(strawberry.Schema(Query)), prefix="/graphql")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/graphql", flush=True)
    await server.serve([listening])


if __name__ == "__main__":
    uvloop.run(main())
