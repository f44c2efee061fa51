"""The accounts file: what is read, and how every problem is reported with its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts_texts import parse, problems
from transfer_gateway.settings import (
    AccountsFile,
    ConfigurationError,
    load_documents,
    parse_accounts,
    parse_policy,
)

GOOD = """\
defaults: { role_name: Reader, regions: [eu-west-1], external_id: "d-1", session_duration_s: 1800 }
accounts:
  - { id: "111111111111", alias: payments-prod, regions: [eu-west-1, us-east-1] }
  - { id: "222222222222", role_arn: "arn:aws:iam::222222222222:role/path/Custom", external_id: "x-42" }
  - { id: "333333333333", role_arn: null, external_id: null }
"""


def test_accounts_file() -> None:
    """Defaults apply where an account says nothing; an explicit null means none."""
    payments, claims, home = parse(GOOD)
    assert payments.role_arn == "arn:aws:iam::111111111111:role/Reader"
    assert (payments.alias, payments.regions, payments.external_id, payments.session_duration_s) == (
        "payments-prod",
        ("eu-west-1", "us-east-1"),
        "d-1",
        1800,
    )
    assert (claims.role_arn, claims.external_id, claims.regions) == (
        "arn:aws:iam::222222222222:role/path/Custom",
        "x-42",
        ("eu-west-1",),
    )
    assert (home.role_arn, home.external_id, home.session_duration_s) == (None, None, 1800)


@pytest.mark.parametrize(("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")])
def test_roles_of_other_partitions(region: str, partition: str) -> None:
    """A role's ARN is one of the account's partition."""
    (account,) = parse(f'accounts: [{{ id: "444444444444", regions: [{region}] }}]\n')
    assert account.role_arn == f"arn:{partition}:iam::444444444444:role/TransferGatewayReader"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "accounts.yaml: must be a mapping", id="empty"),
        pytest.param("- a\n- b\n", "accounts.yaml: must be a mapping", id="a-list"),
        pytest.param("accounts: [\n", "accounts.yaml:2:1: ", id="not-yaml"),
        pytest.param("a: 1\na: 2\n", "accounts.yaml:2:1: found duplicate key", id="key-twice"),
        pytest.param("\x00", "accounts.yaml: is not YAML", id="binary"),
        pytest.param("a: 2026-02-30\n", "accounts.yaml: is not YAML", id="no-such-day"),
        pytest.param("a: !!int x\n", "accounts.yaml: is not YAML", id="no-number"),
        pytest.param("a: !!bool x\n", "accounts.yaml: is not YAML", id="no-truth"),
        pytest.param("a: &a {<<: *a}\n", "accounts.yaml", id="a-loop"),
        pytest.param('"\\UFFFFFFFF"\n', "accounts.yaml", id="no-character"),
        pytest.param("[" * 1000, "accounts.yaml", id="too-deep"),
        pytest.param(
            'accounts:\n  - { id: "111111111111", regions: [eu-west-1], role_arn: null, external_id: "x-1" }\n',
            "accounts.yaml:2:5: accounts[0]: external_id has no effect: role_arn is null",
            id="external-id-without-role",
        ),
        pytest.param("defaults: {}\n", "accounts.yaml:1:1: accounts: is required", id="no-accounts"),
        pytest.param("accounts: []\n", "accounts.yaml:1:1: accounts: ", id="none"),
        pytest.param(
            "accounts:\n  - { id: 111111111111, regions: [eu-west-1] }\n",
            "accounts.yaml:2:7: accounts[0].id: must be 12 digits in quotes",
            id="id-without-quotes",
        ),
        pytest.param(
            'accounts:\n  - { id: "1", regions: [eu-west-1] }\n',
            "accounts.yaml:2:7: accounts[0].id: AccountId must match [0-9]{12}",
            id="bad-id",
        ),
        pytest.param(
            'accounts:\n  - id: "111111111111"\n    regions: [eu-west-1, Ireland]\n',
            "accounts.yaml:3:26: accounts[0].regions[1]: Region must match",
            id="bad-region",
        ),
        pytest.param(
            'accounts:\n  - { id: "111111111111" }\n',
            "accounts.yaml:2:5: accounts[0]: needs regions, here or in defaults",
            id="no-regions",
        ),
        pytest.param(
            'accounts:\n  - { id: "111111111111", regions: [eu-west-1], rol_arn: null }\n',
            "accounts.yaml:2:49: accounts[0].rol_arn: is not a known key",
            id="misspelt-key",
        ),
        pytest.param(
            'accounts:\n  - { id: "111111111111", regions: [eu-west-1], role_arn: Reader }\n',
            "accounts.yaml:2:49: accounts[0].role_arn: ",
            id="no-arn",
        ),
        pytest.param(
            "defaults: { regions: [eu-west-1] }\n"
            'accounts:\n  - { id: "111111111111", role_arn: "arn:aws:iam::222222222222:role/R" }\n',
            "accounts.yaml:3:27: accounts[0].role_arn: is a role of account 222222222222, not of 111111111111",
            id="role-of-another-account",
        ),
        pytest.param(
            'defaults: { session_duration_s: 60 }\naccounts:\n  - { id: "111111111111", regions: [eu-west-1] }\n',
            "accounts.yaml:1:13: defaults.session_duration_s: ",
            id="short-session",
        ),
        pytest.param(
            'defaults: { regions: [eu-west-1] }\naccounts:\n  - { id: "111111111111" }\n  - { id: "111111111111" }\n',
            "accounts.yaml:4:7: accounts[1].id: 111111111111 is listed twice",
            id="account-twice",
        ),
        pytest.param(
            "defaults: { regions: [eu-west-1] }\naccounts:\n"
            '  - { id: "111111111111", alias: a }\n  - { id: "222222222222", alias: a }\n',
            "accounts.yaml:4:27: accounts[1].alias: a is listed twice",
            id="alias-twice",
        ),
    ],
)
def test_problems_have_a_place(text: str, expected: str) -> None:
    """A problem names file, line, column and path, and says what is wrong."""
    (problem,) = problems(text)
    assert problem.startswith(expected)


def test_every_problem_is_told_at_once() -> None:
    """A file with several problems is not mended one run at a time."""
    text = 'accounts:\n  - { id: "1", regions: [] }\n  - { regions: [x], alias: "" }\n'
    assert len(problems(text)) == 5


def test_no_secret_in_a_problem() -> None:
    """An external id that is refused is not printed."""
    (problem,) = problems(
        'accounts:\n  - { id: "111111111111", regions: [eu-west-1], external_id: "hush hush" }\n'
    )
    assert "hush" not in problem


@given(st.text() | st.text(alphabet="acounts:-{}[]\"' \n\t&*!|>%@#,1"))
def test_any_text(text: str) -> None:
    """Whatever the file holds, it is accounts or a ConfigurationError."""
    try:
        parse_accounts(text.encode("utf-8", "surrogatepass"), name="f")
    except ConfigurationError as error:
        assert all(error.problems)  # noqa: PT017  either outcome is right


def test_changes_are_noticed_once(tmp_path: Path) -> None:
    """A changed file is read again; a bad version is told once, a missing file too, and a good one heals it."""
    path = tmp_path / "accounts.yaml"
    path.write_text(GOOD)
    file = AccountsFile(path)
    assert len(file.load().listed) == 3
    assert file.load_if_changed() is None
    path.write_text("nonsense")
    with pytest.raises(ConfigurationError):
        file.load_if_changed()
    assert file.load_if_changed() is None
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        file.load_if_changed()
    assert file.load_if_changed() is None
    path.write_text(GOOD)
    sources = file.load_if_changed()
    assert sources is not None
    assert len(sources.listed) == 3


ONE = '{ id: "111111111111"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            f"accounts:\n  - {ONE}, regions: [eu-west-1, us-east-1, cn-north-1] }}\n",
            "2:59: accounts[0].regions[2]: cn-north-1 is in partition aws-cn, but eu-west-1 is in partition aws: "
            "an account is in one partition",
            id="china",
        ),
        pytest.param(
            f"accounts:\n  - {ONE}, regions: [us-gov-west-1, us-east-1] }}\n",
            "2:52: accounts[0].regions[1]: us-east-1 is in partition aws, "
            "but us-gov-west-1 is in partition aws-us-gov: an account is in one partition",
            id="government",
        ),
        pytest.param(
            f'accounts:\n  - {ONE}, regions: [eu-west-1] }}\n  - {{ id: "222222222222", regions: [cn-north-1] }}\n',
            "3:37: accounts[1].regions[0]: cn-north-1 is in partition aws-cn, but eu-west-1 is in partition aws: "
            "the gateway's credentials are of one partition",
            id="accounts",
        ),
        pytest.param(
            "defaults: { regions: [eu-west-1, us-gov-west-1] }\ndiscover: { organizations: {} }\n",
            "1:34: defaults.regions[1]: us-gov-west-1 is in partition aws-us-gov, but eu-west-1 is in partition aws: "
            "an account is in one partition",
            id="defaults-of-discovered",
        ),
        pytest.param(
            f'accounts:\n  - {ONE}, regions: [eu-west-1], role_arn: "arn:aws-cn:iam::111111111111:role/R" }}\n',
            "2:49: accounts[0].role_arn: is in partition aws-cn, but eu-west-1 is in aws",
            id="role",
        ),
        pytest.param(
            "defaults: { regions: [cn-north-1] }\n"
            f'accounts:\n  - {ONE}, role_arn: "arn:aws:iam::111111111111:role/R" }}\n',
            "3:27: accounts[0].role_arn: is in partition aws, but cn-north-1 is in aws-cn",
            id="role-by-defaults",
        ),
        pytest.param(
            "defaults: { regions: [us-gov-east-1] }\n"
            'discover: { organizations: { role_arn: "arn:aws:iam::111111111111:role/R" } }\n',
            "2:30: discover.organizations.role_arn: is in partition aws, but us-gov-east-1 is in aws-us-gov",
            id="role-of-discovery",
        ),
    ],
)
def test_partitions_are_not_mixed(text: str, expected: str) -> None:
    """What is in another partition than the account's first region is refused, with its place."""
    (problem,) = problems(text)
    assert problem == f"accounts.yaml:{expected}"


PARTITIONS = (
    "cn-north-1 is in partition aws-cn, but eu-west-1 is in partition aws: "
    "the gateway's credentials are of one partition"
)


def test_one_mistake_hides_no_other() -> None:
    """An entry that is wrong in itself is reported with what is wrong between the others."""
    text = (
        "defaults: { regions: [eu-west-1], colour: red }\n"
        "accounts:\n"
        '  - { id: "111111111111", alias: a, regions: [eu-west-1] }\n'
        "  - { id: 222222222222 }\n"
        '  - { id: "333333333333", alias: a, regions: [cn-north-1] }\n'
        '  - { id: "444444444444" }\n'
    )
    assert [problem.split(": ", 2)[1:] for problem in problems(text)] == [
        ["defaults.colour", "is not a known key"],
        [
            "accounts[1].id",
            "must be 12 digits in quotes: YAML reads bare digits as a number and drops leading zeros",
        ],
        [
            "accounts[2].regions[0]",
            PARTITIONS,
        ],
        ["accounts[2].alias", "a is listed twice"],
    ]


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "[\n", "? ", "[a,"])
@pytest.mark.parametrize("parse_text", [parse_accounts, parse_policy], ids=["accounts", "policy"])
def test_deep_nesting_is_refused_at_once(parse_text: Callable[..., object], opening: str) -> None:
    """A file whose collections are nested without end is refused where they get too deep."""
    began = time.process_time()
    with pytest.raises(
        ConfigurationError, match=r"^f(:[0-9]+:[0-9]+)?: must not be nested deeper than 32 levels"
    ):
        parse_text((opening * 20_000).encode(), name="f")
    assert time.process_time() - began < 2


def test_deeply_nested_documents_are_refused(tmp_path: Path) -> None:
    """The same for a manifest of trusted documents, which is JSON."""
    manifest = tmp_path / "documents.json"
    manifest.write_text("[" * 200_000)
    with pytest.raises(ConfigurationError, match="is nested too deeply"):
        load_documents(manifest)


@pytest.mark.parametrize(
    "alias",
    [
        " ",
        "\u00a0",
        "\u3000",
        "\u200d",
        "\ufe0f",
        "\u3164",
        "\u115f",
        "\uffa0",
        "\u2800",
        "\u034f",
        "a\u3164",
        "a ",
        "\u00a0a",
    ],
    ids=ascii,
)
def test_aliases_are_visible(alias: str) -> None:
    """An alias that shows nothing, or has characters that show nothing, could pass for none or for another."""
    (problem,) = problems(
        f'accounts:\n  - {{ id: "111111111111", regions: [eu-west-1], alias: "{alias}" }}\n'
    )
    assert problem.startswith("accounts.yaml:2:49: accounts[0].alias: must ")
