"""STS: who may assume a role, for how long, and the session's identity."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import Credentials

from transfer_emulator import Emulator, Role, World

HOME = "999999999999"
ACCOUNT = "111111111111"
OTHER_ACCOUNT = "222222222222"
READER = f"arn:aws:iam::{ACCOUNT}:role/TransferGatewayReader"
CALLER = f"arn:aws:iam::{HOME}:user/transfer-gateway"


def session_of(answer: dict[str, Any]) -> Credentials:
    told = answer["Credentials"]
    return Credentials(told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"])


async def assume(aws: Any, role_arn: str, credentials: Credentials | None = None, **asked: object) -> Any:
    sts = aws.client("sts", credentials)
    return await aws.call(sts, "assume_role", RoleArn=role_arn, RoleSessionName="tests", **asked)


async def refusal(aws: Any, role_arn: str, credentials: Credentials | None = None, **asked: object) -> Any:
    sts = aws.client("sts", credentials)
    answer = await aws.refused(sts, "assume_role", RoleArn=role_arn, RoleSessionName="tests", **asked)
    return answer["Error"]


async def test_the_session_is_the_roles(aws: Any) -> None:
    """GetCallerIdentity returns the user, or the assumed role for a session."""
    home = await aws.call(aws.client("sts"), "get_caller_identity")
    assert (home["Account"], home["Arn"]) == (HOME, CALLER)
    answer = await assume(aws, READER, SourceIdentity="alice")
    told = await aws.call(aws.client("sts", session_of(answer)), "get_caller_identity")
    assert told["Account"] == ACCOUNT
    assert told["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/TransferGatewayReader/tests"
    assert told["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert told["UserId"] == answer["AssumedRoleUser"]["AssumedRoleId"]
    assert answer["SourceIdentity"] == "alice"


@pytest.mark.parametrize(
    ("role_arn", "asked"),
    [
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/NoSuchRole", {}, id="no-such-role"),
        pytest.param("arn:aws:iam::555555555555:role/TransferGatewayReader", {}, id="no-such-account"),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/path/TransferGatewayReader", {}, id="another-path"),
        pytest.param(f"arn:aws:iam::{OTHER_ACCOUNT}:role/TransferGatewayReader", {}, id="no-external-id"),
        pytest.param(
            f"arn:aws:iam::{OTHER_ACCOUNT}:role/TransferGatewayReader",
            {"ExternalId": "x-43"},
            id="wrong-external-id",
        ),
        pytest.param(f"arn:aws:iam::{ACCOUNT}:role/Trustless", {}, id="trusts-somebody-else"),
    ],
)
async def test_untrusted_callers_are_denied(
    world: World, aws: Any, role_arn: str, asked: dict[str, str]
) -> None:
    """The error is the same for a missing role, an untrusted caller and a wrong external id."""
    trustless = Role("Trustless", trusted_principals=("arn:aws:iam::123456789012:root",))
    world.add_account(ACCOUNT, [trustless])
    error = await refusal(aws, role_arn, **asked)
    assert error["Code"] == "AccessDenied"
    assert (
        error["Message"]
        == f"User: {CALLER} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    )


@pytest.mark.parametrize("principal", [f"arn:aws:iam::{HOME}:root", HOME, CALLER, "*"])
async def test_trust_is_by_account_or_by_the_callers_arn(world: World, aws: Any, principal: str) -> None:
    """The account's root or id, the exact user, or everyone; with the external id if required."""
    role = Role("Audit", trusted_principals=(principal,), external_id="x-1", path="/ops/")
    world.add_account("333333333333", [role])
    answer = await assume(aws, "arn:aws:iam::333333333333:role/ops/Audit", ExternalId="x-1")
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::333333333333:assumed-role/Audit/tests"


async def test_a_session_is_trusted_by_its_roles_arn(world: World, aws: Any) -> None:
    """Role chaining: the second role trusts the first; another session of that account is denied."""
    world.add_account(
        "333333333333", [Role("Second", trusted_principals=(READER,)), Role("Third", trusted_principals=())]
    )
    second = "arn:aws:iam::333333333333:role/Second"
    first = session_of(await assume(aws, READER))
    chained = await assume(aws, second, first)
    assert chained["AssumedRoleUser"]["Arn"].startswith("arn:aws:sts::333333333333:assumed-role/Second")
    assert (await refusal(aws, second, session_of(chained)))["Code"] == "AccessDenied"
    assert (await refusal(aws, second))["Code"] == "AccessDenied"


async def test_a_chained_session_lasts_at_most_an_hour(world: World, aws: Any) -> None:
    """A chained session longer than 3,600 s is refused, even if the role allows it."""
    world.add_account(
        "333333333333", [Role("Long", trusted_principals=(READER, HOME), max_session_duration_s=43_200)]
    )
    role_arn = "arn:aws:iam::333333333333:role/Long"
    await assume(aws, role_arn, DurationSeconds=7200)
    error = await refusal(aws, role_arn, session_of(await assume(aws, READER)), DurationSeconds=7200)
    assert error["Code"] == "ValidationError"
    assert "1 hour session limit for roles assumed by role chaining" in error["Message"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param(
            {"DurationSeconds": 3601},
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            id="beyond-the-roles-maximum",
        ),
        pytest.param(
            {"DurationSeconds": 899},
            "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: "
            "Member must have value greater than or equal to 900",
            id="below-the-models-minimum",
        ),
        pytest.param(
            {"DurationSeconds": 43_201},
            "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: "
            "Member must have value less than or equal to 43200",
            id="beyond-the-models-maximum",
        ),
        pytest.param(
            {"Tags": [{"Key": "k" * 129, "Value": "v"}]},
            f"1 validation error detected: Value '{'k' * 129}' at 'tags.1.member.key' failed to satisfy "
            "constraint: Member must have length less than or equal to 128",
            id="nested",
        ),
    ],
)
async def test_invalid_input_to_sts(aws: Any, asked: dict[str, object], message: str) -> None:
    """Durations and members out of bounds get AWS's ValidationErrors."""
    error = await refusal(aws, READER, **asked)
    assert (error["Code"], error["Message"]) == ("ValidationError", message)


async def test_an_arn_of_something_else_than_a_role_is_refused(aws: Any) -> None:
    """RoleArn must be the ARN of a role."""
    error = await refusal(aws, "arn:aws:iam::111111111111:user/somebody")
    assert error == {
        "Type": "Sender",
        "Code": "ValidationError",
        "Message": "arn:aws:iam::111111111111:user/somebody is invalid",
    }


async def test_a_session_lasts_as_long_as_requested(aws: Any) -> None:
    """DurationSeconds, by default an hour; in whole seconds."""
    for asked, lasting in [({}, 3600), ({"DurationSeconds": 900}, 900)]:
        before = datetime.now(UTC)
        expiration = (await assume(aws, READER, **asked))["Credentials"]["Expiration"]
        assert timedelta(seconds=lasting - 1) <= expiration - before <= timedelta(seconds=lasting + 5)
        assert expiration.microsecond == 0


async def test_the_lifetime_of_the_emulators_sessions_can_be_shorter_than_awss(
    world: World, new_aws: Any
) -> None:
    """`session_lifetime_s` overrides DurationSeconds, even below AWS's 900 s, to the millisecond."""
    async with Emulator(world, session_lifetime_s=0.5) as emulator:
        aws = new_aws(emulator)
        before = datetime.now(UTC)
        expiration = (await assume(aws, READER, DurationSeconds=3600))["Credentials"]["Expiration"]
    assert timedelta(seconds=0.45) <= expiration - before <= timedelta(seconds=60)
    assert expiration.microsecond % 1000 == 0
