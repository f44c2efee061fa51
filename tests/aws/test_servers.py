"""Servers, as AWS describes and lists them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shapes import wire
from transfer_gateway.aws.decode import IncompleteAnswer, MismatchedAnswer
from transfer_gateway.aws.decode_server import decode_listed_servers, decode_server
from transfer_gateway.domain.errors import ServerNotFound
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.domain.server import Server, ServerId, ServerKey, ServerSummary
from transfer_gateway.settings import AccountsFile
from wire import PLAIN

if TYPE_CHECKING:
    from transfer_emulator import World
    from transfer_gateway.build import Core
    from transfer_gateway.domain.account import Account

MODEL = botocore.session.get_session().get_service_model("transfer")
TARGET = Target(AccountId(PLAIN), Region("eu-west-1"))
KEY = ServerKey(*TARGET, ServerId("s-1234567890abcdef0"))
ARN = f"arn:aws:transfer:eu-west-1:{PLAIN}:server/{KEY.server_id}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOW = {"WorkflowId": "w-abcdef01234567890", "ExecutionRole": f"arn:aws:iam::{PLAIN}:role/Workflow"}

# Members of AWS's that say nothing of workflows: how clients connect and log in, and what they are shown then.
NOT_READ = {
    "As2ServiceManagedEgressIpAddresses",
    "Certificate",
    "EndpointDetails",
    "HostKeyFingerprint",
    "IdentityProviderDetails",
    "IpAddressType",
    "PostAuthenticationLoginBanner",
    "PreAuthenticationLoginBanner",
    "ProtocolDetails",
    "S3StorageOptions",
    "SecurityPolicyName",
}
RENAMED = {"ServerId": "key", "WorkflowDetails": "on_upload"}


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


def test_mirrors_what_aws_describes() -> None:
    """Every member is a field, or left out on purpose; what AWS adds fails here until somebody decides."""
    shape = MODEL.shape_for("DescribedServer")
    assert shape.members.keys() >= NOT_READ
    fields = {RENAMED.get(name, snake(name)) for name in shape.members.keys() - NOT_READ}
    assert fields <= set(Server.__slots__)
    listed = {RENAMED.get(name, snake(name)) for name in MODEL.shape_for("ListedServer").members}
    assert listed <= set(ServerSummary.__slots__)


def answers() -> st.SearchStrategy[Any]:
    """Any answer about the server of `KEY`."""

    def told(answer: dict[str, Any]) -> dict[str, Any]:
        server = {"Arn": ARN} | {n: v for n, v in answer["Server"].items() if n not in {"Arn", "ServerId"}}
        for name in ("OnUpload", "OnPartialUpload"):
            if name in server.get("WorkflowDetails", {}):
                server["WorkflowDetails"][name] = [WORKFLOW]
        return {"Server": server}

    return wire(MODEL.shape_for("DescribeServerResponse")).map(told)


@given(answers())
def test_whatever_is_there_is_read(answer: dict[str, Any]) -> None:
    """What AWS leaves out is None, and what is new is named as AWS does."""
    server, given_members = decode_server(answer, KEY, NOW), answer["Server"]
    assert server.raw_state == given_members.get("State")
    assert (server.state is None) is ("State" not in given_members)
    assert server.raw_protocols == (
        tuple(given_members["Protocols"]) if "Protocols" in given_members else None
    )
    assert server.logging_role == (given_members.get("LoggingRole") or None)
    assert server.log_group == (f"/aws/transfer/{KEY.server_id}" if server.logging_role else None)
    assert server.workflow_ids in {(), (WORKFLOW["WorkflowId"],)}
    assert server.id == f"{PLAIN}/eu-west-1/{KEY.server_id}"


@pytest.mark.parametrize(
    ("server", "error"),
    [
        ({"Arn": ARN.replace("1234", "4321")}, MismatchedAnswer),
        ({"Arn": ARN, "ServerId": "s-00000000000000000"}, MismatchedAnswer),
        ({}, IncompleteAnswer),
        (
            {"Arn": ARN, "WorkflowDetails": {"OnUpload": [{"WorkflowId": "x", "ExecutionRole": "r"}]}},
            IncompleteAnswer,
        ),
    ],
)
def test_a_wrong_answer_is_refused(server: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        decode_server({"Server": server}, KEY, NOW)


def test_a_listed_server_has_an_id() -> None:
    """Although AWS's model does not require one."""
    with pytest.raises(IncompleteAnswer):
        decode_listed_servers({"Servers": [{"Arn": ARN}]}, TARGET, NOW)


@pytest.fixture
def account(core: Core, settings: Any) -> Account:
    found = AccountsFile(settings().accounts_file).load().listed.find(PLAIN)
    assert found is not None
    return found


async def test_servers_on_the_wire(core: Core, account: Account, world: World) -> None:
    """Listed, and described one by one."""
    role = f"arn:aws:iam::{PLAIN}:role/Logs"
    logging = {"LoggingRole": role, "Domain": "S3", "WorkflowDetails": {"OnPartialUpload": [WORKFLOW]}}
    for definition in (logging, {"State": "OFFLINE", "LoggingRole": ""}):
        world.add_server(PLAIN, "eu-west-1", definition)
    listed, token = await core.servers.list_servers(account, TARGET, None)
    assert token is None
    described = [await core.servers.describe_server(account, it.key) for it in listed]
    assert {(it.logging_role, it.raw_domain, it.raw_state) for it in described} == {
        (role, "S3", None),
        (None, None, "OFFLINE"),
    }
    assert [it.key for it in described] == [it.key for it in listed]
    assert {it.workflow_ids for it in described} == {(), (WORKFLOW["WorkflowId"],)}


async def test_a_server_that_is_not_there(core: Core, account: Account) -> None:
    """An error of its own."""
    with pytest.raises(ServerNotFound) as caught:
        await core.servers.describe_server(account, KEY)
    assert (caught.value.code, caught.value.resource) == ("SERVER_NOT_FOUND", str(KEY))
