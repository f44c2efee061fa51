"""Merging listed and discovered accounts."""

from __future__ import annotations

import pytest

from organization import discovery, sources
from transfer_gateway.domain.account import Account
from transfer_gateway.domain.discovery import AccountDefaults, Discovery, Member
from transfer_gateway.domain.identity import AccountId, Region

A, B, C, D = (AccountId(digit * 12) for digit in "1234")


def listed(account_id: AccountId, alias: str | None = None) -> Account:
    return Account(account_id, alias, (Region("eu-north-1"),), None, None, 900)


@pytest.mark.parametrize(
    ("known", "wanted", "members", "expected"),
    [
        pytest.param([], discovery(), {}, [], id="nobody"),
        pytest.param([], discovery(), {B: "b", A: "a"}, [(A, "a"), (B, "b")], id="discovered-by-id"),
        pytest.param(
            [listed(C, "c"), listed(B)],
            discovery(),
            {A: "a", D: "d"},
            [(C, "c"), (B, None), (A, "a"), (D, "d")],
            id="listed-first-in-their-order",
        ),
        pytest.param([listed(A, "mine")], discovery(), {A: "theirs"}, [(A, "mine")], id="listed-wins"),
        pytest.param([listed(A)], discovery(), {A: "theirs"}, [(A, None)], id="listed-wins-wholly"),
        pytest.param(
            [],
            discovery(exclude_accounts=[B]),
            {A: "a", B: "b"},
            [(A, "a")],
            id="excluded",
        ),
        pytest.param(
            [listed(B)],
            discovery(exclude_accounts=[B]),
            {A: "a", B: "b"},
            [(B, None), (A, "a")],
            id="excluded-but-listed",
        ),
        pytest.param(
            [], discovery(), {A: "a", B: "a", C: "c"}, [(A, None), (B, None), (C, "c")], id="name-twice"
        ),
        pytest.param(
            [],
            discovery(exclude_accounts=[B]),
            {A: "a", B: "a"},
            [(A, None)],
            id="name-of-an-excluded-one",
        ),
        pytest.param(
            [listed(A, "b")], discovery(), {B: "b"}, [(A, "b"), (B, None)], id="name-is-a-listed-alias"
        ),
        pytest.param([], discovery(), {A: None, B: None}, [(A, None), (B, None)], id="no-names"),
        pytest.param([], discovery(), {A: None}, [(A, None)], id="no-name"),
        pytest.param([listed(A)], None, {B: "b"}, [(A, None)], id="without-discovery"),
    ],
)
def test_merge(
    known: list[Account],
    wanted: Discovery | None,
    members: dict[AccountId, str | None],
    expected: list[tuple[AccountId, str | None]],
) -> None:
    """Listed accounts are unchanged; discovered ones follow, with their names as aliases if unique."""
    merged = sources(*known, wanted=wanted).merge(Member(*member) for member in members.items())
    assert [(account.id, account.alias) for account in merged] == expected
    assert list(merged)[: len(known)] == known


def test_discovered_accounts_take_the_defaults() -> None:
    """Role, regions, external id and duration are the defaults."""
    (account,) = sources(wanted=discovery()).merge([Member(A, "a")])
    assert account == Account(A, "a", (Region("eu-west-1"),), f"arn:aws:iam::{A}:role/Reader", "d-1", 1800)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_partitions(region: str, partition: str) -> None:
    """The default role's ARN has the regions' partition."""
    defaults = AccountDefaults("path/Reader", (Region(region),), None, 3600)
    assert defaults.account(A, None).role_arn == f"arn:{partition}:iam::{A}:role/path/Reader"


def test_regions() -> None:
    """The listed accounts' regions and, with discovery, the defaults' regions."""
    assert sources(listed(A)).regions() == ("eu-north-1",)
    assert sources(listed(A), wanted=discovery()).regions() == ("eu-north-1", "eu-west-1")
    assert sources(wanted=discovery()).regions() == ("eu-west-1",)
