"""`discover` in the accounts file, and its problems with their place."""

from __future__ import annotations

import pytest

from accounts_texts import problems
from transfer_gateway.domain.discovery import OuId
from transfer_gateway.domain.identity import AccountId
from transfer_gateway.settings import (
    parse_accounts,
)

DISCOVER = """\
defaults: { role_name: Reader, regions: [us-east-1, eu-west-1, us-east-1], external_id: "d-1" }
discover:
  organizations:
    role_arn: "arn:aws:iam::888888888888:role/OrganizationReader"
    external_id: "o-1"
    include_ous: [ou-ab12-11111111, r-ab12]
    exclude_ous: [ou-ab12-22222222]
    exclude_accounts: ["111111111111"]
    refresh_s: 60
"""


def test_discovery() -> None:
    """With `discover` no account need be listed; what it says is read as it stands."""
    sources = parse_accounts(DISCOVER.encode(), name="accounts.yaml")
    found = sources.discovery
    assert found is not None
    reader = found.reader
    assert reader is not None
    assert (len(sources.listed), sources.regions()) == (0, ("us-east-1", "eu-west-1"))
    assert (reader.id, reader.role_arn, reader.external_id) == (
        "888888888888",
        "arn:aws:iam::888888888888:role/OrganizationReader",
        "o-1",
    )
    assert (found.include_ous, found.exclude_ous, found.exclude_accounts, found.refresh_s) == (
        frozenset(map(OuId, ["ou-ab12-11111111", "r-ab12"])),
        frozenset(map(OuId, ["ou-ab12-22222222"])),
        frozenset(map(AccountId, ["111111111111"])),
        60.0,
    )


@pytest.mark.parametrize("accounts", ["", "accounts: []\n", "accounts:\n"])
def test_discovery_defaults(accounts: str) -> None:
    """By default: the whole organization, with the service's own credentials, every 300 s."""
    text = f"defaults: {{ regions: [eu-west-1] }}\ndiscover: {{ organizations: {{}} }}\n{accounts}"
    found = parse_accounts(text.encode(), name="f").discovery
    assert found is not None
    assert (found.reader, found.refresh_s) == (None, 300.0)
    assert not found.include_ous | found.exclude_ous
    assert not found.exclude_accounts


def discovering(organizations: str) -> str:
    return f"defaults: {{ regions: [eu-west-1] }}\ndiscover:\n  organizations: {organizations}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "defaults: { regions: [eu-west-1] }\ndiscover:\n",
            "accounts.yaml:1:1: accounts: is required, with at least one account, unless",
            id="null",
        ),
        pytest.param(
            "defaults: { regions: [eu-west-1] }\ndiscover: {}\n",
            "accounts.yaml:2:1: discover.organizations: is required",
            id="empty",
        ),
        pytest.param(
            "defaults: { regions: [eu-west-1] }\ndiscover: { organisations: {}, organizations: {} }\n",
            "accounts.yaml:2:13: discover.organisations: is not a known key",
            id="misspelt",
        ),
        pytest.param(
            discovering(""), "accounts.yaml:3:3: discover.organizations: must be a mapping", id="no-mapping"
        ),
        pytest.param(
            "discover: { organizations: {} }\n",
            "accounts.yaml:1:13: discover.organizations: needs regions in defaults",
            id="no-regions",
        ),
        pytest.param(
            discovering("{ include_ou: [r-ab12] }"),
            "accounts.yaml:3:20: discover.organizations.include_ou: is not a known key",
            id="misspelt-key",
        ),
        pytest.param(
            discovering("{ role_arn: Reader }"),
            "accounts.yaml:3:20: discover.organizations.role_arn: ",
            id="no-arn",
        ),
        pytest.param(
            discovering('{ external_id: "x-42" }'),
            "accounts.yaml:3:3: discover.organizations: external_id needs a role_arn",
            id="external-id-without-role",
        ),
        pytest.param(
            discovering("{ include_ous: [] }"),
            "accounts.yaml:3:20: discover.organizations.include_ous: must not be empty",
            id="no-ous",
        ),
        pytest.param(
            discovering("{ include_ous: [r-ab12, Production] }"),
            "accounts.yaml:3:42: discover.organizations.include_ous[1]: OuId must match (r-",
            id="an-ou-by-name",
        ),
        pytest.param(
            discovering("{ exclude_ous: r-ab12 }"),
            "accounts.yaml:3:20: discover.organizations.exclude_ous: ",
            id="no-list",
        ),
        pytest.param(
            discovering("{ include_ous: [r-ab12], exclude_ous: [ou-ab12-11111111, r-ab12] }"),
            "accounts.yaml:3:75: discover.organizations.exclude_ous[1]: r-ab12 is in include_ous too",
            id="in-and-out",
        ),
        pytest.param(
            discovering("{ exclude_accounts: [111111111111] }"),
            "accounts.yaml:3:39: discover.organizations.exclude_accounts[0]: must be 12 digits in quotes",
            id="account-without-quotes",
        ),
        *(
            pytest.param(
                discovering(f"{{ refresh_s: {value} }}"),
                "accounts.yaml:3:20: discover.organizations.refresh_s: ",
                id=f"refresh-{value}",
            )
            for value in ("0.5", "86401", ".nan", "often", "true")
        ),
    ],
)
def test_problems_of_discovery_have_a_place(text: str, expected: str) -> None:
    """As everywhere in the file."""
    (problem,) = problems(text)
    assert problem.startswith(expected)
