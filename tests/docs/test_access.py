"""docs/access.md and docs/accounts.md: the examples are valid, the permissions are those in use."""

from __future__ import annotations

import re

from pages import DOCS, fenced, section
from transfer_gateway.aws.organizations import LISTS
from transfer_gateway.aws.transfer import Transfer
from transfer_gateway.domain.caller import Caller
from transfer_gateway.settings import parse_accounts, parse_policy

ACCESS, ACCOUNTS = DOCS / "access.md", DOCS / "accounts.md"


def test_permissions_of_the_role() -> None:
    """The role's permissions are the operations in use."""
    operations = {
        name.title().replace("_", "") for name in vars(Transfer) if name.startswith(("describe_", "list_"))
    }
    assert set(re.findall(r"`transfer:(\w+)`", section(ACCOUNTS, "Accounts file"))) == operations


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
