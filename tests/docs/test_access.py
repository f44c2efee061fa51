"""docs/access.md and docs/accounts.md: the examples are valid, the permissions are those in use."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from typing import TYPE_CHECKING

import pytest

from pages import DOCS, ROOT, fenced, section
from shell import PATIENCE_S, commands, shell, to_end
from transfer_gateway.aws.organizations import LISTS
from transfer_gateway.aws.servers import Servers
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.domain.caller import Caller
from transfer_gateway.settings import parse_accounts, parse_policy
from wire import until

if TYPE_CHECKING:
    from pathlib import Path

ACCESS, ACCOUNTS = DOCS / "access.md", DOCS / "accounts.md"


def test_permissions_of_the_role() -> None:
    """The role's permissions are the operations in use."""
    operations = {
        name.title().replace("_", "")
        for calls in (Transfer, Servers)
        for name in vars(calls)
        if name.startswith(("describe_", "list_"))
    }
    shown = section(ACCOUNTS, "Accounts file")
    assert set(re.findall(r"`transfer:(\w+)`", shown)) == operations
    granted = (ROOT / "iam" / "policies" / "reader-permissions.json").read_text()
    assert set(re.findall(r"`(logs:\w+)`", shown)) == set(re.findall(r'"(logs:\w+)"', granted))


def test_accounts_file_example() -> None:
    (example,) = fenced(section(ACCOUNTS, "Accounts file"), "yaml")
    assert len(parse_accounts(example.encode(), name="accounts.md").listed) == 3


def test_discovery_example() -> None:
    """Valid, with the permissions of the operations in use."""
    text = section(ACCOUNTS, "Accounts from AWS Organizations")
    (example,) = fenced(text, "yaml")
    assert parse_accounts(example.encode(), name="accounts.md").discovery is not None
    assert set(re.findall(r"`organizations:(\w+)`", text)) == set(LISTS)


def test_policy_example() -> None:
    """Valid, and grants accounts to the callers that it names."""
    (example,) = fenced(section(ACCESS, "Policy"), "yaml")
    (accounts,) = fenced(section(ACCOUNTS, "Accounts file"), "yaml")
    policy = parse_policy(example.encode(), name="access.md")
    listed = parse_accounts(accounts.encode(), name="accounts.md").listed
    assert len(policy.scope(Caller("a", groups=frozenset({"platform"})), listed).accounts) == 3
    pod = Caller("system:serviceaccount:files:reader", "https://kubernetes.example.com")
    assert [account.id for account in policy.scope(pod, listed).accounts] == ["111111111111"]


def test_client_certificates_example() -> None:
    (example,) = fenced(section(ACCESS, "Client certificates"), "yaml")
    parse_policy(example.encode(), name="access.md")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_authentication_on_this_machine(emulator_env: Path) -> None:
    """The commands give an issuer, a gateway that trusts it, and an answer for its token alone. Here on free ports."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    issuer, gateway, request = (
        block.replace("9000", str(port)) for block in commands(ACCESS, "Try authentication on this machine")
    )
    here = {f"TRANSFER_GATEWAY_{name}": "0" for name in ("HTTP_PORT", "GRPC_PORT", "SHUTDOWN_DELAY_S")}
    async with shell(issuer, emulator_env), shell(gateway, emulator_env, **here) as serving:
        await until((emulator_env / "token").exists)
        assert serving.stdout is not None
        line = (await asyncio.wait_for(serving.stdout.readline(), PATIENCE_S)).decode()
        request = request.replace("http://127.0.0.1:8080/graphql", line.split()[1])
        code, out, err = await to_end(request, emulator_env)
        assert (code, json.loads(out)) == (
            0,
            {"data": {"accounts": [{"id": "111111111111", "alias": "payments-prod"}]}},
        ), err
        (emulator_env / "token").write_text("nonsense")
        code, out, _ = await to_end(request, emulator_env)
        assert json.loads(out)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
