"""Calls sent on a shorter way than botocore's: signed the same, answered the same, and failing the same."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway.aws.client import ConnectionSettings, RegionalClients, signed_with
from transfer_gateway.aws.errors import Service
from transfer_gateway.aws.sending import Request, Signature
from transfer_gateway.domain.identity import Region
from wire import PLAIN, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", "secret", "token")
NAMES = st.sampled_from(
    [
        "Host",
        "X-Amz-Target",
        "Content-Type",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "traceparent",
        "Accept",
        "x-amz-date",
    ]
)
VALUES = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
URLS = st.sampled_from(
    [
        "https://transfer.eu-west-1.amazonaws.com/",
        "http://127.0.0.1:4566/",
        "http://[::1]:80/a/../b?c=d&a=b",
        "https://HOST:443",
    ]
)


@given(st.dictionaries(NAMES, VALUES), URLS, st.binary(max_size=20))
def test_signatures_are_botocores(headers: dict[str, str], url: str, body: bytes) -> None:
    """What is signed, and which headers are said to be, for whatever request there may be."""
    theirs = AWSRequest("POST", url, data=body, headers=headers)
    ours = Request("POST", url, dict(headers), body)
    found = []
    for request, kind in ((theirs, SigV4Auth), (ours, Signature)):
        request.context["timestamp"] = "20260102T030405Z"
        auth = kind(CREDENTIALS, "transfer", "eu-west-1")
        auth._modify_request_before_signing(request)
        asked = auth.canonical_request(request)
        auth._inject_signature_to_request(
            request, auth.signature(auth.string_to_sign(request, asked), request)
        )
        found.append((asked, request.headers["Authorization"], request.headers["X-Amz-Security-Token"]))
    assert found[0] == found[1]


@asynccontextmanager
async def clients() -> AsyncIterator[list[Any]]:
    """One that sends so, and one that sends as botocore does, which it is left to where there are retries."""
    connection = ConnectionSettings(connect_timeout_s=2, read_timeout_s=0.5)
    async with (
        RegionalClients(Service.TRANSFER, connection) as ours,
        RegionalClients(Service.TRANSFER, connection, attempts=2) as theirs,
    ):
        for each in (ours, theirs):
            await each.open([Region("eu-west-1")])
        yield [ours[Region("eu-west-1")], theirs[Region("eu-west-1")]]


async def test_answers_are_botocores(aws: Emulator, world: World) -> None:
    """AWS takes the signature, and all that botocore tells of the answer is there, but for the time it was given."""
    user, key = world.keys.add_user(PLAIN, "reader"), place(world)
    found = []
    async with clients() as both:
        with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
            for client in both:
                answer = await client.describe_execution(
                    WorkflowId=key.workflow_id, ExecutionId=key.execution_id
                )
                found.append(_without_chance(answer))
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", FaultKind)
async def test_failures_are_botocores(aws: Emulator, world: World, kind: FaultKind) -> None:
    """Whatever AWS or the network does, the same exception is raised, with the same of AWS's words."""
    user, key = world.keys.add_user(PLAIN, "reader"), place(world)
    aws.faults.add(Fault(kind, operation="DescribeExecution", code="ValidationException", message="Not so."))
    found = []
    async with clients() as both:
        with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
            found += [await _outcome(client, key.workflow_id, key.execution_id) for client in both]
    assert found[0] == found[1]


async def _outcome(client: Any, workflow_id: str, execution_id: str) -> Any:
    try:
        return _without_chance(
            await client.describe_execution(WorkflowId=workflow_id, ExecutionId=execution_id)
        )
    except ClientError as error:
        return type(error).__name__, _without_chance(error.response)
    except Exception as error:  # noqa: BLE001  whatever it is, the other is to be the same
        return type(error).__name__


def _without_chance(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its id, its time, and how often it was asked for."""
    meta = dict(answer.get("ResponseMetadata", {}))
    headers = {
        name: value
        for name, value in meta.get("HTTPHeaders", {}).items()
        if name not in {"date", "x-amzn-requestid"}
    }
    for name in ("RequestId", "RetryAttempts", "MaxAttemptsReached"):
        meta.pop(name, None)
    return answer | {"ResponseMetadata": meta | {"HTTPHeaders": headers}}
