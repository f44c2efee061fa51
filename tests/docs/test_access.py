"""docs/access.md and docs/accounts.md: the files shown are valid, the permissions those in use."""

from __future__ import annotations

import re

from pages import DOCS, ROOT, fenced, section
from transfer_gateway.aws.organizations import LISTS
from transfer_gateway.aws.servers import Servers
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.domain.caller import Caller
from transfer_gateway.settings import parse_accounts, parse_policy

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
    """Valid, and the permissions are those of the operations in use."""
    text = section(ACCOUNTS, "Accounts from AWS Organizations")
    (example,) = fenced(text, "yaml")
    assert parse_accounts(example.encode(), name="accounts.md").discovery is not None
    assert set(re.findall(r"`organizations:(\w+)`", text)) == set(LISTS)


def test_policy_example() -> None:
    """Valid, and it grants accounts to the callers that it names."""
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
