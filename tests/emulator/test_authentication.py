"""Signatures, tokens, scopes and clocks; invalid ones get AWS's own error codes."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from transfer_emulator import Emulator, World

REGION = "eu-west-1"
PROTOCOLS = pytest.mark.parametrize(
    ("service", "operation"), [("transfer", "ListWorkflows"), ("sts", "GetCallerIdentity")]
)
CODES = {
    "unknown key": ("UnrecognizedClientException", "InvalidClientTokenId"),
    "bad signature": ("InvalidSignatureException", "SignatureDoesNotMatch"),
    "expired": ("ExpiredTokenException", "ExpiredToken"),
    "missing": ("MissingAuthenticationTokenException", "MissingAuthenticationToken"),
    "incomplete": ("IncompleteSignatureException", "IncompleteSignature"),
}


def expected(service: str, failure: str) -> tuple[int, str]:
    in_json, in_query = CODES[failure]
    if service == "transfer":
        return 400, in_json
    return (400 if failure == "incomplete" else 403), in_query


@PROTOCOLS
async def test_a_valid_signature_is_accepted(aws: Any, service: str, operation: str) -> None:
    """The home account's key and a session of another account both call either service."""
    assert (await aws.raw(service, operation, {})).status == 200
    session = await aws.session()
    assert (await aws.raw(service, operation, {}, credentials=session)).status == 200


def wrong_secret(good: Credentials) -> Credentials:
    return Credentials(good.access_key, "wrong" + good.secret_key, good.token)


@PROTOCOLS
@pytest.mark.parametrize(
    ("change", "failure"),
    [
        pytest.param(lambda _: Credentials("AKIAUNKNOWNUNKNOWN00", "s"), "unknown key", id="unknown-key"),
        pytest.param(wrong_secret, "bad signature", id="wrong-secret"),
        pytest.param(
            lambda good: Credentials(good.access_key, good.secret_key), "unknown key", id="missing-token"
        ),
        pytest.param(
            lambda good: Credentials(good.access_key, good.secret_key, good.token[:-4]),
            "unknown key",
            id="another-token",
        ),
    ],
)
async def test_wrong_credentials_are_refused(
    aws: Any, service: str, operation: str, change: Callable[[Credentials], Credentials], failure: str
) -> None:
    """An unknown key, a wrong secret, a session key without its token or with another one."""
    changed = change(await aws.session())
    answer = await aws.raw(service, operation, {}, credentials=changed)
    assert (answer.status, answer.code) == expected(service, failure)


@PROTOCOLS
async def test_a_session_expires(world: World, new_aws: Any, service: str, operation: str) -> None:
    """A session's key is valid exactly until its expiry; then the token has expired."""
    shift_s = 0.0
    async with Emulator(world, session_lifetime_s=30, wall_time=lambda: time.time() + shift_s) as emulator:
        aws = new_aws(emulator)
        session = await aws.session()
        shift_s = 25.0
        assert (await aws.raw(service, operation, {}, credentials=session)).status == 200
        shift_s = 35.0
        answer = await aws.raw(service, operation, {}, credentials=session)
    assert (answer.status, answer.code) == expected(service, "expired")
    assert answer.message == "The security token included in the request is expired"


@PROTOCOLS
@pytest.mark.parametrize("shift_s", [-310.0, 310.0])
async def test_a_skewed_clock_is_refused(
    world: World, new_aws: Any, service: str, operation: str, shift_s: float
) -> None:
    """A signature more than five minutes old or in the future is invalid."""
    async with Emulator(world, wall_time=lambda: time.time() + shift_s) as emulator:
        answer = await new_aws(emulator).raw(service, operation, {})
    assert (answer.status, answer.code) == expected(service, "bad signature")
    assert answer.message.startswith("Signature expired" if shift_s > 0 else "Signature not yet current")


@PROTOCOLS
async def test_a_clock_four_minutes_off_is_accepted(
    world: World, new_aws: Any, service: str, operation: str
) -> None:
    """A skew of less than five minutes is accepted."""
    async with Emulator(world, wall_time=lambda: time.time() + 240) as emulator:
        assert (await new_aws(emulator).raw(service, operation, {})).status == 200


@PROTOCOLS
async def test_an_unknown_region_is_refused(aws: Any, service: str, operation: str) -> None:
    """The signature's scope must name a region of the world."""
    answer = await aws.raw(service, operation, {}, region="ap-south-1")
    assert (answer.status, answer.code) == expected(service, "bad signature")
    assert answer.message == "Credential should be scoped to a valid region, not 'ap-south-1'. "


@PROTOCOLS
async def test_a_signature_for_another_service_is_refused(aws: Any, service: str, operation: str) -> None:
    """The signature's scope must name the service that is called."""
    answer = await aws.raw(service, operation, {}, scope_service="s3")
    assert (answer.status, answer.code) == expected(service, "bad signature")
    assert answer.message == f"Credential should be scoped to correct service: '{service}'. "


def without_authorization(request: AWSRequest) -> None:
    del request.headers["Authorization"]


def without_date(request: AWSRequest) -> None:
    del request.headers["X-Amz-Date"]


def replace_in_authorization(old: str, new: str) -> Callable[[AWSRequest], None]:
    def change(request: AWSRequest) -> None:
        header = request.headers["Authorization"]
        assert old in header
        del request.headers["Authorization"]
        request.headers["Authorization"] = header.replace(old, new)

    return change


def other_body(request: AWSRequest) -> None:
    request.data = request.data + b" "


@PROTOCOLS
@pytest.mark.parametrize(
    ("change", "failure"),
    [
        pytest.param(without_authorization, "missing", id="unsigned"),
        pytest.param(without_date, "incomplete", id="no-date"),
        pytest.param(replace_in_authorization("Signature=", "Sig="), "incomplete", id="no-signature"),
        pytest.param(replace_in_authorization("/aws4_request", ""), "incomplete", id="short-scope"),
        pytest.param(replace_in_authorization("AWS4-HMAC-SHA256", "AWS3"), "incomplete", id="old-algorithm"),
        pytest.param(replace_in_authorization("host;", ""), "bad signature", id="host-not-signed"),
        pytest.param(
            replace_in_authorization("Signature=", "Signature=\u00e4"), "bad signature", id="no-hex"
        ),
        pytest.param(other_body, "bad signature", id="other-body"),
    ],
)
async def test_a_request_that_differs_from_the_signed_one_is_refused(
    aws: Any, service: str, operation: str, change: Callable[[AWSRequest], None], failure: str
) -> None:
    """A missing or malformed Authorization header has its own codes; any change invalidates the signature."""
    request = aws.signed(service, operation, {})
    change(request)
    answer = await aws.send(request)
    assert (answer.status, answer.code) == expected(service, failure)


@PROTOCOLS
async def test_an_invalid_date_is_refused(aws: Any, service: str, operation: str) -> None:
    """X-Amz-Date must be ISO 8601's basic format."""
    request = aws.signed(service, operation, {})
    del request.headers["X-Amz-Date"]
    request.headers["X-Amz-Date"] = "yesterday"
    answer = await aws.send(request)
    assert (answer.status, answer.code) == expected(service, "incomplete")


async def test_errors_have_a_request_id_and_their_code(aws: Any) -> None:
    """AWS's headers: x-amzn-RequestId on every response, x-amzn-ErrorType on awsJson's errors."""
    answer = await aws.raw("transfer", "ListWorkflows", {}, credentials=Credentials("AKIAUNKNOWN", "s"))
    assert answer.headers["x-amzn-ErrorType"] == "UnrecognizedClientException"
    assert len(answer.headers["x-amzn-RequestId"]) == 36
    answer = await aws.raw("sts", "GetCallerIdentity", {}, credentials=Credentials("AKIAUNKNOWN", "s"))
    assert answer.headers["x-amzn-RequestId"].encode() in answer.body
