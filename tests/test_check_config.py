"""check-config, run as a person runs it: what is read, what is tried with --assume, and how each is told."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from command import run, run_on_terminal
from issuer import AUDIENCE, LocalIssuer, SigningKey
from organization import denied, founded, telling
from transfer_emulator import Emulator, Fault, FaultKind, World, demo_world
from wire import GUARDED, HOME, PLAIN, calling


@pytest.fixture(autouse=True)
def with_history(no_aws_of_this_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is logged is checked, too."""
    monkeypatch.setenv("TRANSFER_GATEWAY_HISTORY_URL", "sqlite://")


if TYPE_CHECKING:
    from pathlib import Path


async def test_check_config(aws: Emulator, accounts_file: Path) -> None:
    """check-config reads; with --assume it tries each target, says what fails there and why, and exits 1 then."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, _ = await run("check-config", **environment)
    assert (code, out) == (0, f"{accounts_file}: 3 accounts, 2 regions: ok\n")
    assert aws.calls.by_call() == {}

    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "111111111111  payments-prod  eu-west-1  ok  no workflows",
        "111111111111  payments-prod  us-east-1  ok  no workflows",
        "222222222222  claims         eu-west-1  ok  no workflows",
        "222222222222  claims         us-east-1  ok  no workflows",
        "999999999999  home           eu-west-1  ok  no workflows",
        "999999999999  home           us-east-1  ok  no workflows",
    ]
    assert aws.calls.count(operation="AssumeRole") == 2

    aws.faults.add(Fault(FaultKind.DENY, account_id=PLAIN, operation="AssumeRole"))
    for region, operation in [
        ("us-east-1", "DescribeExecution"),
        ("us-east-1", "ListExecutions"),
        ("eu-west-1", "ListWorkflows"),
    ]:
        aws.faults.add(Fault(FaultKind.DENY, account_id=GUARDED, region=region, operation=operation))
    aws.faults.add(Fault(FaultKind.DENY, account_id=HOME, region="eu-west-1", operation="DescribeWorkflow"))
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err) == (1, "")
    lines = [re.split(" {2,}", line)[3] for line in out.splitlines()[1:]]
    assert all(
        "ROLE_NOT_ASSUMABLE: AccessDenied: User: arn:aws:iam::999999999999" in line for line in lines[:2]
    )
    says = "AccessDeniedException: User: arn:aws:sts::222222222222"
    assert lines[2].startswith(f"ACCESS_DENIED transfer:ListWorkflows: {says}")
    assert lines[3].startswith(f"ACCESS_DENIED transfer:DescribeExecution transfer:ListExecutions: {says}")
    assert lines[4].startswith("ACCESS_DENIED transfer:DescribeWorkflow: ")
    assert lines[5] == "ok"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        pytest.param(
            Fault(FaultKind.DENY, operation="ListServers"),
            r"AccessDeniedException: .*transfer:ListServers.*: update the role from iam/reader-role\.yaml",
            id="servers",
        ),
        pytest.param(
            Fault(FaultKind.DENY, operation="FilterLogEvents"),
            r"3 of 4 workflows logged .*; AccessDeniedException: .*logs:FilterLogEvents.*: update the role .*",
            id="logs",
        ),
        pytest.param(
            Fault(FaultKind.NO_LOG_GROUP, operation="FilterLogEvents"),
            r"3 of 4 .*; log group /\S+, where w-\w+, w-\w+ should log, does not exist: create it",
            id="group",
        ),
        pytest.param(
            Fault(FaultKind.THROTTLE, operation="DescribeServer"),
            r"THROTTLED: ThrottlingException: .*",
            id="throttled",
        ),
    ],
)
@pytest.mark.variants(keep=2)
async def test_history_that_cannot_be_read(tmp_path: Path, fault: Fault, told: str) -> None:
    """Is said, with what to do about it, and fails nothing: roles made for an earlier version go on working."""
    accounts_file = tmp_path / "accounts.yaml"
    async with Emulator(demo_world(seed=7, accounts=1, regions=("eu-west-1",))) as emulator:
        async with calling(emulator.url) as control:
            accounts_file.write_bytes((await control.send("GET", "/_emulator/accounts.yaml")).body)
        emulator.faults.add(fault)
        environment = emulator.environment() | {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
        code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err) == (0, "")
    *_, outcome, history = re.split(" {2,}", out.splitlines()[1])
    assert outcome == "ok"
    assert re.fullmatch(told, history), history


async def test_check_config_tries_issuers(aws: Emulator, accounts_file: Path, tmp_path: Path) -> None:
    """An issuer's URL that can't be right is refused; --assume fetches its keys, and ends with 1 if it can't."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{ callers: { any: true }, accounts: { all: true } }]")
    environment = {
        "TRANSFER_GATEWAY_AUTH": "oidc",
        "TRANSFER_GATEWAY_OIDC_AUDIENCES": AUDIENCE,
        "TRANSFER_GATEWAY_POLICY_FILE": str(policy),
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
    }
    told = await run("check-config", TRANSFER_GATEWAY_OIDC_ISSUERS="http://sso.example.com", **environment)
    assert (told[0], told[2]) == (
        2,
        "error: issuer 'http://sso.example.com' must begin with https:// (http:// on a loopback address only)\n",
    )
    async with LocalIssuer(time.time, SigningKey("one")) as issuer:
        environment["TRANSFER_GATEWAY_OIDC_ISSUERS"] = issuer.url
        code, out, _ = await run("check-config", **environment)
        assert (code, issuer.fetches) == (0, 0)
        code, out, _ = await run("check-config", "--assume", **environment)
        assert (code, out.splitlines()[2]) == (0, f"{issuer.url}: 1 key: ok")
        issuer.down = True
        code, out, _ = await run("check-config", "--assume", **environment)
        assert code == 1
        assert out.splitlines()[2].startswith(f"{issuer.url}: ServerDisconnectedError")


async def test_the_emulators_accounts_file(tmp_path: Path) -> None:
    """With what the emulator prints and serves, the service reaches every account of it."""
    accounts_file = tmp_path / "accounts.yaml"
    world = demo_world(seed=7, accounts=4, regions=("eu-west-1",))
    async with Emulator(world) as emulator, calling(emulator.url) as control:
        accounts_file.write_bytes((await control.send("GET", "/_emulator/accounts.yaml")).body)
        environment = emulator.environment() | {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
        code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err) == (0, "")
    lines = [re.split(" {2,}", line) for line in out.splitlines()[1:]]
    assert [line[:4] for line in lines] == [
        ["111111111111", "payments-prod", "eu-west-1", "ok"],
        ["222222222222", "claims", "eu-west-1", "ok"],
        ["333333333333", "logistics", "eu-west-1", "ok"],
        ["444444444444", "-", "eu-west-1", "ok"],
    ]
    for *_, history in lines:  # each account has a server that logs nothing
        assert re.fullmatch(
            r"3 of 4 workflows logged \(2 by servers, 2 by themselves\); "
            r"server s-\w+, which starts workflow w-\w+, logs nothing: give it a logging role",
            history,
        )


async def test_check_config_on_a_terminal(aws: Emulator, accounts_file: Path) -> None:
    """The same as a table, after a bar that moves."""
    aws.faults.add(Fault(FaultKind.DENY, account_id=PLAIN, operation="AssumeRole"))
    code, shown = await run_on_terminal(
        "check-config", "--assume", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    )
    assert code == 1
    assert "checking targets" in shown
    assert "6/6" in shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"│ 999999999999 │ home +│ us-east-1 │ ok +│ no workflows │", text)
    assert re.search(
        r"│ 111111111111 │ payments-prod +│ eu-west-1 │ ROLE_NOT_ASSUMABLE: AccessDenied: User:", text
    )
    assert "\x1b[32mok" in shown


async def test_check_config_discovers(aws: Emulator, world: World, accounts_file: Path) -> None:
    """With --assume discovered accounts are tried too; a discovery that fails is said, and the rest tried."""
    accounts_file.write_text(
        f'defaults: {{ regions: [eu-west-1] }}\naccounts: [{{ id: "{PLAIN}" }}]\ndiscover: {{ organizations: {{}} }}\n'
    )
    with founded() as organization:
        added = organization.add_account("payments")
        world.add_account(added)
        environment = {
            "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
            "AWS_ENDPOINT_URL_ORGANIZATIONS": organization.url,
        }
        code, out, _ = await run("check-config", **environment)
        assert (code, out) == (
            0,
            f"{accounts_file}: 1 account, 1 region, discovery from AWS Organizations: ok\n",
        )
        code, out, _ = await run("check-config", "--assume", **environment)
    lines = out.splitlines()[1:]
    assert (code, lines[0]) == (1, "discovery: 2 more accounts: ok")
    assert lines[1] == f"{PLAIN}  -         eu-west-1  ok  no workflows"
    assert f"{added}  payments  eu-west-1  ok  no workflows" in lines[2:]
    assert any(
        line.startswith("123456789012  master    eu-west-1  ROLE_NOT_ASSUMABLE: ") for line in lines[2:]
    )

    async with telling(denied()) as told:
        environment["AWS_ENDPOINT_URL_ORGANIZATIONS"] = told.url
        code, out, _ = await run("check-config", "--assume", **environment)
    assert code == 1
    assert out.splitlines()[1:] == [
        "discovery: ACCESS_DENIED: AccessDeniedException: AccessDeniedException, said AWS",
        f"{PLAIN}  -  eu-west-1  ok  no workflows",
    ]


async def test_own_credentials_of_another_account(aws: Emulator, accounts_file: Path) -> None:
    """An account without a role, for which AWS would answer about the credentials' own account, fails."""
    accounts_file.write_text(
        "defaults: { regions: [eu-west-1] }\n"
        f'accounts: [{{ id: "{PLAIN}", role_arn: null }}, {{ id: "{HOME}", role_arn: null }}]\n'
    )
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err) == (1, "")
    problem = f"ROLE_NOT_ASSUMABLE: role_arn is null, but the gateway's own credentials are of account {HOME}"
    assert out.splitlines()[1:] == [
        f"{PLAIN}  -  eu-west-1  {problem}  -",
        f"{HOME}  -  eu-west-1  ok  no workflows",
    ]
    assert aws.calls.count(operation="GetCallerIdentity") == 1

    aws.faults.add(Fault(FaultKind.DENY, operation="GetCallerIdentity"))
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, [re.split(" {2,}", line)[3] for line in out.splitlines()[1:]]) == (0, ["ok", "ok"])
    assert err.startswith("warning: the account of the gateway's own credentials is not known")


async def test_unknown_regions(aws: Emulator, accounts_file: Path) -> None:
    """A region that botocore doesn't know is warned of, and accepted: AWS opens new ones."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    accounts_file.write_text(f'accounts: [{{ id: "{PLAIN}", regions: [eu-west-1, eu-west-9] }}]\n')
    code, out, err = await run("check-config", **environment, TRANSFER_GATEWAY_STS_REGION="xx-east-7")
    warnings = [
        f"warning: region {region} is not in botocore's list of partition aws: "
        "it is misspelt, or newer than this release"
        for region in ("eu-west-9", "xx-east-7")
    ]
    assert (code, err.splitlines()) == (0, warnings)
    assert out.endswith(": ok\n")
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, err.splitlines()) == (1, warnings[:1])
    assert [re.split(" {2,}", line)[3][:14] for line in out.splitlines()[1:]] == ["ok", "ACCESS_DENIED "]
