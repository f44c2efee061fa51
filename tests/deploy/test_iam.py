"""The roles of iam/, as created by CloudFormation: exactly the required permissions."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import shlex
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import xform_name
from botocore.session import Session
from moto import mock_aws
from ruamel.yaml import YAML

from forked import AWS_CLI, fork
from transfer_gateway.settings import parse_accounts

if TYPE_CHECKING:
    from collections.abc import Callable


# moto makes the stacks; what it deprecates of its own, and botocore of Python's, is their business.
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.early]

ROOT = Path(__file__).parents[2]
IAM = ROOT / "iam"
Policy = dict[str, Any]

# What Terraform's `templatefile` is given for policies/*.json; CloudFormation's parameters are named alike.
VALUES = {
    "account_id": "123456789012",
    "cluster_arn": "arn:aws:eks:eu-west-1:123456789012:cluster/main",
    "database_user_arn": "arn:aws:rds-db:eu-west-1:123456789012:dbuser:cluster-ABC123/transfer_gateway",
    "external_id": "x-42",
    "gateway_role_arn": "arn:aws:iam::123456789012:role/TransferGateway",
    "log_group_prefix": "/aws/vendedlogs/transfer/",
    "namespace": "files",
    "oidc_provider": "oidc.eks.eu-west-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
    "organization_id": "o-0123456789",
    "organization_reader_role_arn": "arn:aws:iam::888888888888:role/TransferGatewayOrganization",
    "partition": "aws",
    "reader_role_name": "Reader",
    "service_account": "gateway",
    "source_identity": "transfer-gateway",
}
READER = ("gateway_role_arn", "external_id")
GATEWAY = ("organization_id", "reader_role_name", "namespace", "service_account")
ALL_ON = {"AllowSessionTags": "true", "AllowSourceIdentity": "true", "DiscoverWithThisRole": "true"}


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Policy, Policy]]:
    """Create a template's only role, with the names in VALUES and parameters. Returns: its trust and permissions."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    def create(template: str, *names: str, **parameters: str) -> tuple[Policy, Policy]:
        given = {name.title().replace("_", ""): VALUES[name] for name in names} | parameters
        return _make(template, frozenset(given.items()))

    return create


@functools.cache
def _make(template: str, parameters: frozenset[tuple[str, str]]) -> tuple[Policy, Policy]:
    with mock_aws():
        boto3.client("cloudformation").create_stack(
            StackName="stack",
            TemplateBody=(IAM / template).read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters],
        )
        iam = boto3.client("iam")
        (role,) = iam.list_roles()["Roles"]
        (name,) = iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
        policy = iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
        return _plain(role["AssumeRolePolicyDocument"]), _plain(policy)


def _plain(policy: Policy | str) -> Policy:
    """moto represents AWS::NoValue as None, and an inline policy as Python's repr."""
    read: Policy = ast.literal_eval(policy) if isinstance(policy, str) else policy
    return read | {"Statement": [statement for statement in read["Statement"] if statement is not None]}


def actions(policy: Policy) -> set[str]:
    found: set[str] = set()
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    return found


@functools.cache
def called(service: str) -> set[str]:
    """The operations that the AWS layer names, as strings or as client methods."""
    names: set[str] = set()
    for file in (ROOT / "src" / "transfer_gateway" / "aws").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    known = Session().get_service_model(service).operation_names
    return {f"{service}:{name}" for name in known if name in names or xform_name(name) in names}


def test_reader_may_do_what_the_code_does(make: Callable[..., tuple[Policy, Policy]]) -> None:
    """Exactly the operations that the code calls, each on the narrowest resource that AWS knows for it."""
    trust, permissions = make("reader-role.yaml", *READER)
    assert (len(called("transfer")), len(called("logs"))) == (6, 2)
    assert actions(permissions) == called("transfer") | called("logs")
    on = {
        action: one["Resource"]
        for one in permissions["Statement"]
        for action in actions({"Statement": [one]})
    }
    workflows = "arn:aws:transfer:*:123456789012:workflow/*"
    assert on == {
        "transfer:DescribeExecution": workflows,
        "transfer:DescribeServer": "arn:aws:transfer:*:123456789012:server/*",
        "transfer:DescribeWorkflow": workflows,
        "transfer:ListExecutions": workflows,
        "transfer:ListServers": "*",
        "transfer:ListWorkflows": "*",
        "logs:DescribeLogGroups": "arn:aws:logs:*:123456789012:log-group:*",
        "logs:FilterLogEvents": "arn:aws:logs:*:123456789012:log-group:/aws/transfer/*",
    }
    assert (
        actions(trust) == called("sts") - {"sts:GetCallerIdentity"} == {"sts:AssumeRole"}
    )  # needs no permission


def test_gateway_may_do_what_the_code_does(make: Callable[..., tuple[Policy, Policy]]) -> None:
    """It may assume its organization's reader roles, and nothing else."""
    _, permissions = make("gateway-role.yaml", *GATEWAY, "oidc_provider")
    (assume,) = permissions["Statement"]
    assert assume["Action"] == "sts:AssumeRole"
    assert assume["Resource"] == "arn:aws:iam::*:role/Reader"
    assert assume["Condition"] == {"StringEquals": {"aws:ResourceOrgID": VALUES["organization_id"]}}


def test_gateway_may_connect_to_one_database(make: Callable[..., tuple[Policy, Policy]]) -> None:
    """By IAM, as one user of one database, if that is configured."""
    _, permissions = make("gateway-role.yaml", *GATEWAY, "oidc_provider", "database_user_arn")
    assert permissions["Statement"][1:] == [
        {
            "Sid": "ConnectToDatabase",
            "Effect": "Allow",
            "Action": "rds-db:connect",
            "Resource": VALUES["database_user_arn"],
        }
    ]


@pytest.mark.parametrize("template", ["organization-role.yaml", "gateway-role.yaml"])
def test_discovery_may_do_what_the_code_does(
    template: str, make: Callable[..., tuple[Policy, Policy]]
) -> None:
    """Exactly the Organizations operations in use, with a role of its own or the gateway's."""
    if template == "organization-role.yaml":
        _, permissions = make(template, *READER)
    else:
        _, permissions = make(template, *GATEWAY, "oidc_provider", DiscoverWithThisRole="true")
    assert actions(permissions) - {"sts:AssumeRole"} == called("organizations")
    assert len(called("organizations")) == 4


def test_what_is_set_is_allowed(make: Callable[..., tuple[Policy, Policy]]) -> None:
    """Source identity and session tags are allowed if configured; the identity is then required."""
    trust, _ = make("reader-role.yaml", *READER, "source_identity", AllowSessionTags="true")
    assert actions(trust) == {"sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"}
    assume = trust["Statement"][0]["Condition"]["StringEquals"]
    assert assume == {"sts:ExternalId": "x-42", "sts:SourceIdentity": "transfer-gateway"}


@pytest.mark.parametrize(
    ("name", "template", "values", "parameters", "which"),
    [
        ("reader-trust", "reader-role.yaml", (*READER, "source_identity"), {"AllowSessionTags": "true"}, 0),
        ("reader-permissions", "reader-role.yaml", (*READER, "log_group_prefix"), {}, 1),
        ("organization-trust", "organization-role.yaml", READER, {}, 0),
        ("organization-permissions", "organization-role.yaml", READER, {}, 1),
        ("gateway-trust-irsa", "gateway-role.yaml", (*GATEWAY, "oidc_provider"), {}, 0),
        ("gateway-trust-pod-identity", "gateway-role.yaml", (*GATEWAY, "cluster_arn"), {}, 0),
        (
            "gateway-permissions",
            "gateway-role.yaml",
            (*GATEWAY, "oidc_provider", "organization_reader_role_arn", "database_user_arn"),
            ALL_ON,
            1,
        ),
    ],
)
def test_policies_are_the_templates(
    name: str,
    template: str,
    values: tuple[str, ...],
    parameters: dict[str, str],
    which: int,
    make: Callable[..., tuple[Policy, Policy]],
) -> None:
    """The JSON policies for Terraform equal those of the templates with all options enabled."""
    text = (IAM / "policies" / f"{name}.json").read_text()
    assert json.loads(Template(text).substitute(VALUES)) == make(template, *values, **parameters)[which]


SHOWN = "\n".join(re.findall(r"```sh\n(.*?)```", (IAM / "README.md").read_text(), re.DOTALL)).replace(
    "\\\n", " "
)
COMMANDS = [shlex.split(line) for line in SHOWN.splitlines() if line]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[1:3]))
async def test_commands_are_ones(command: list[str]) -> None:
    """The AWS CLI accepts every documented command, and the templates its parameters. Nothing is called."""
    assert command[0] == "aws"
    if command[2] == "deploy":
        text = (ROOT / command[command.index("--template-file") + 1]).read_text()
        given = {word.partition("=")[0] for word in command[command.index("--parameter-overrides") + 1 :]}
        parameters = YAML(typ="rt").load(text)["Parameters"]
        assert (
            {name for name, told in parameters.items() if "Default" not in told} <= given <= set(parameters)
        )
        return
    words = [word.replace("file://iam/", f"file://{IAM}/") for word in command[1:]]
    options = ("--region=eu-west-1", "--generate-cli-skeleton=output")
    process = await fork(*words, *options, command=AWS_CLI, environment=os.environ)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


def test_role_names_are_the_defaults_of_accounts_files() -> None:
    """The default role name is the same in the template and in accounts files."""
    text = b'{defaults: {regions: [eu-west-1]}, accounts: [{id: "111111111111"}]}'
    (account,) = parse_accounts(text, name="accounts.yaml").listed
    assert f"Default: {str(account.role_arn).rpartition('/')[2]}\n" in (IAM / "reader-role.yaml").read_text()
