"""Signatures: made otherwise than by botocore, and the same. The emulator checks those of all other tests."""

from __future__ import annotations

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from transfer_emulator import Emulator, World
from transfer_gateway.aws.client import ConnectionSettings, TransferClients, signed_with
from transfer_gateway.aws.signing import Signature
from transfer_gateway.domain.identity import Region
from wire import PLAIN, place

CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", "secret", "token")
NAMES = st.sampled_from(
    [
        "Host",
        "X-Amz-Target",
        "content-type",
        "User-Agent",
        "X-Amzn-Trace-Id",
        "traceparent",
        "X-AMZ-DATE",
        "Accept",
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


@given(st.lists(st.tuples(NAMES, VALUES)), URLS, st.binary(max_size=20))
def test_the_same_as_botocores(headers: list[tuple[str, str]], url: str, body: bytes) -> None:
    """What is signed, and which headers are said to be, for whatever request there may be."""
    found = []
    for kind in (SigV4Auth, Signature):
        request = AWSRequest("POST", url, data=body)
        for name, value in headers:
            request.headers.add_header(name, value)
        request.context["timestamp"] = "20260102T030405Z"
        auth = kind(CREDENTIALS, "transfer", "eu-west-1")
        auth._modify_request_before_signing(request)
        asked = auth.canonical_request(request)
        auth._inject_signature_to_request(
            request, auth.signature(auth.string_to_sign(request, asked), request)
        )
        found.append((asked, request.headers.items()))
    assert found[0] == found[1]


async def test_calls_are_signed_so(aws: Emulator, world: World) -> None:
    """It is used, and by AWS's side accepted."""
    user, key = world.keys.add_user(PLAIN, "reader"), place(world)
    made: list[object] = []
    async with TransferClients(ConnectionSettings(connect_timeout_s=2, read_timeout_s=2)) as clients:
        await clients.open([Region("eu-west-1")])
        client = clients[Region("eu-west-1")]
        client.meta.events.register(
            "before-sign", lambda signature_version, **_: made.append(signature_version)
        )
        with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
            await client.describe_execution(WorkflowId=key.workflow_id, ExecutionId=key.execution_id)
    assert made == ["v4-headers-in-a-dict"]
