"""Calls sent on a shorter way than botocore's: signed the same, answered the same, and failing the same."""

from __future__ import annotations

import json
import math
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError
from botocore.model import DenormalizedStructureBuilder
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import ValidationError

from transfer_emulator import Clock, Emulator, Fault, FaultKind, LogSettings, World
from transfer_gateway.aws.answer_schemas import validator_of
from transfer_gateway.aws.botocore_internals import ClientInternals
from transfer_gateway.aws.client import ConnectionSettings, RegionalClients, session, signed_with
from transfer_gateway.aws.decode import IncompleteAnswer, required
from transfer_gateway.aws.errors import Call, Service, foreign_errors
from transfer_gateway.aws.own_credentials import OwnCredentials
from transfer_gateway.aws.sending import DirectSender, Signing
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.identity import ExecutionKey, Region
from wire import PLAIN, place

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

NAMES = st.sampled_from(
    ["Host", "X-Amz-Target", "Content-Type", "User-Agent", "X-Amzn-Trace-Id", "traceparent", "Accept", "zulu"]
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


@given(
    st.dictionaries(NAMES, VALUES),
    URLS,
    st.binary(max_size=20),
    st.sampled_from(["token", "a+b/c=", "", None]),
    st.datetimes(),
)
def test_signatures_are_botocores(
    headers: dict[str, str], url: str, body: bytes, token: str | None, at: datetime
) -> None:
    """The same headers are added to whatever request there may be, by whom and whenever it is sent."""
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "secret", token)
    theirs = AWSRequest("POST", url, data=body, headers=headers)
    with patch("botocore.auth.get_current_datetime", return_value=at):
        SigV4Auth(credentials, "transfer", "eu-west-1").add_auth(theirs)
    signing = Signing("POST", url, headers, "transfer", "eu-west-1")
    for _ in range(2):
        added = signing.headers(body, credentials, at)
        assert headers | added == dict(theirs.headers.items())


@asynccontextmanager
async def clients(service: Service = Service.TRANSFER) -> AsyncIterator[list[Any]]:
    """One that sends so, and one that sends as botocore does, which it is left to where there are retries."""
    connection = ConnectionSettings(connect_timeout_s=40, read_timeout_s=10)
    async with (
        RegionalClients(service, connection) as ours,
        RegionalClients(service, connection, attempts=2) as theirs,
    ):
        for each in (ours, theirs):
            await each.open([Region("eu-west-1")])
        yield [ours[Region("eu-west-1")], theirs[Region("eu-west-1")]]


@pytest.mark.fast_time
async def test_answers_are_botocores(aws: Emulator, world: World) -> None:
    """AWS takes the signature, and all that botocore tells of the answer is there, but for the time it was given."""
    user, key = world.keys.add_user(PLAIN, "reader"), place(world)
    asked: dict[str, dict[str, Any]] = {
        "describe_execution": {"WorkflowId": key.workflow_id, "ExecutionId": key.execution_id},
        "list_executions": {"WorkflowId": key.workflow_id, "MaxResults": 10},
        "list_workflows": {"MaxResults": 10},
        "describe_workflow": {"WorkflowId": key.workflow_id},
    }
    async with clients() as both:
        with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
            for operation, what in asked.items():
                ours, theirs = [_without_chance(await getattr(client, operation)(**what)) for client in both]
                assert ours == theirs, operation


async def test_logs_are_botocores(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests, whether their members are plain or lists; and the answers."""
    user = world.keys.add_user(PLAIN, "reader")
    world.add_log_group(PLAIN, "eu-west-1", "mine").put("a/b", 'räksmörgås \\ "🚚"', 1_767_225_600_000)
    asked: list[dict[str, Any]] = [
        {"logGroupName": "mine", "startTime": 1_767_225_500_000, "startFromHead": True, "limit": 10},
        {
            "logGroupName": "mine",
            "startTime": 1_767_225_500_000,
            "filterPattern": '?"räk" ?"x"',
            "logStreamNames": ["a/b"],
        },
    ]
    frozen, limits = Clock.frozen(1_767_225_601.0), LogSettings(calls_per_s=math.inf, empty_page_share=0.0)
    async with Emulator(world, clock=frozen, log_settings=limits) as emulator:
        for name, value in emulator.environment().items():
            monkeypatch.setenv(name, value)
        async with clients(Service.LOGS) as both:
            model = both[1].meta.service_model.operation_model("FilterLogEvents")
            with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
                for what in asked:
                    written = both[1]._serializer.serialize_to_request(what, model)["body"]
                    assert DirectSender(ClientInternals(both[0]))._writer(model)(what) == written
                    ours, theirs = [
                        _without_chance(await client.filter_log_events(**what)) for client in both
                    ]
                    assert ours == theirs
                    assert len(ours["events"]) == 1


async def test_forms_are_botocores(aws: Emulator) -> None:
    """What STS is asked, whatever is in it."""
    made = session(OwnCredentials())
    asked = {
        "RoleArn": "arn:aws:iam::111111111111:role/path/Reader",
        "RoleSessionName": "a+b@c=d,e",
        "DurationSeconds": 900,
        "ExternalId": "x:/+=@,.-",
        "Tags": [{"Key": "caller", "Value": "A & B"}, {"Key": "~", "Value": ""}],
    }
    async with made.create_client("sts", region_name="eu-west-1") as client:
        model = client.meta.service_model.operation_model("AssumeRole")
        form = client._serializer.serialize_to_request(asked, model)["body"]
        sender = DirectSender(ClientInternals(client))
        assert sender._writer(model)(asked) == urlencode(form, doseq=True).encode()


def test_a_member_of_another_type() -> None:
    """What a later model may have, and nobody here reads, is no reason to refuse an answer; what is read is checked."""
    shape = DenormalizedStructureBuilder().with_members(
        {"Id": {"type": "string"}, "New": {"type": "boolean"}}
    )
    read = validator_of(shape.build_model())
    assert read.validate_json('{"Id": "a", "New": true, "Other": 1}') == {"Id": "a", "New": True}
    with pytest.raises(ValidationError):
        read.validate_json('{"Id": 1, "New": true}')


@pytest.mark.parametrize(
    ("items", "characters", "fits"), [(200, 262_144, True), (201, 1, False), (1, 262_145, False)]
)
def test_lists_and_texts_are_bounded(items: int, characters: int, *, fits: bool) -> None:
    """By four times what the model allows: 50 steps, and 65,536 characters of a step's outputs."""
    model = get_session().get_service_model("transfer").operation_model("DescribeExecution")
    steps = [{"Outputs": "x" * characters}, *[{}] * (items - 1)]
    body = json.dumps({"Execution": {"Results": {"Steps": steps}}})
    with nullcontext() if fits else pytest.raises(ValidationError, match=r"too_long"):
        validator_of(model.output_shape).validate_json(body)


@pytest.mark.parametrize(
    ("events", "characters", "fits"),
    [(40_000, 1, True), (40_001, 1, False), (1, 4_194_304, True), (1, 4_194_305, False)],
)
def test_pages_of_logs_are_bounded(events: int, characters: int, *, fits: bool) -> None:
    """By four times what AWS documents, as its model has no limits: 10,000 entries, of 1 MiB each."""
    model = get_session().get_service_model("logs").operation_model("FilterLogEvents")
    body = json.dumps({"events": [{"message": "x" * characters}, *[{}] * (events - 1)]})
    with nullcontext() if fits else pytest.raises(ValidationError, match=r"too_long"):
        validator_of(model.output_shape).validate_json(body)


# What only the request's deadline ends, and what only our reading of the model bounds.
NOT_BOTOCORES = {FaultKind.ENDLESS_CONTINUE, FaultKind.MANY_STEPS, FaultKind.DEEP, FaultKind.COMPRESSED_BODY}


@pytest.mark.fast_time
@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind not in NOT_BOTOCORES])
@pytest.mark.variants(keep=8)
async def test_failures_are_botocores(aws: Emulator, world: World, kind: FaultKind) -> None:
    """Whatever AWS or the network does, it is the same to us, with the same of AWS's words."""
    user, key = world.keys.add_user(PLAIN, "reader"), place(world)
    aws.faults.add(Fault(kind, operation="DescribeExecution", code="ValidationException", message="Not so."))
    found = []
    async with clients() as both:
        with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
            found += [await _outcome(client, key) for client in both]
    assert found[0] == found[1]


async def _outcome(client: Any, key: ExecutionKey) -> Any:
    """The answer, without the ids and times in it, or what is made of the failure."""
    try:
        with foreign_errors(Call(Service.TRANSFER, "DescribeExecution", key.account_id, key.region, key)):
            answer = await client.describe_execution(WorkflowId=key.workflow_id, ExecutionId=key.execution_id)
            required(answer, "Execution")
            return _without_chance(answer)
    except IncompleteAnswer:
        return IncompleteAnswer
    except GatewayError as error:
        cause = error.__cause__
        return (
            type(error),
            str(error),
            _without_chance(cause.response) if isinstance(cause, ClientError) else None,
        )


def _without_chance(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without its id, its time, and how often it was asked for."""
    meta = dict(answer.get("ResponseMetadata", {}))
    headers = {
        name.lower(): value
        for name, value in meta.get("HTTPHeaders", {}).items()
        if name.lower() not in {"date", "x-amzn-requestid"}
    }
    for name in ("RequestId", "RetryAttempts", "MaxAttemptsReached"):
        meta.pop(name, None)
    return answer | {"ResponseMetadata": meta | {"HTTPHeaders": headers}}
