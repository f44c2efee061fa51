"""Listing an organization's accounts: from moto's, and from one with scripted responses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from organization import (
    MANAGEMENT,
    Organization,
    accounts_page,
    denied,
    discovery,
    founded,
    moto,
    reading,
    telling,
)
from transfer_gateway.aws.organizations import Organizations
from transfer_gateway.domain.discovery import Discovery
from transfer_gateway.domain.errors import AccessDenied, GatewayError, UpstreamUnavailable

A, B = "111111111111", "222222222222"
ROLE = f"arn:aws:iam::{MANAGEMENT}:role/OrganizationReader"


@pytest.fixture(scope="module")
def organization() -> Iterator[Organization]:
    """root/{loose, prod/{p1, inner/{i1, deep/d1}}, test/t1}; the management account is called 'master' by moto."""
    with founded(MANAGEMENT) as organization:
        prod, test = organization.add_ou("prod"), organization.add_ou("test")
        inner = organization.add_ou("inner", prod)
        deep = organization.add_ou("deep", inner)
        for name, parent in (("loose", None), ("p1", prod), ("i1", inner), ("d1", deep), ("t1", test)):
            organization.add_account(name, parent)
        organization.close_account(organization.add_account("closed", prod))
        yield organization


async def names(organizations: Organizations, wanted: Discovery) -> list[str]:
    return sorted(member.name or "" for member in await organizations.list_members(wanted))


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        pytest.param("", "", "d1 i1 loose master p1 t1", id="the-whole-organization"),
        pytest.param("root", "", "d1 i1 loose master p1 t1", id="its-root"),
        pytest.param("prod", "", "d1 i1 p1", id="everything-below-an-ou"),
        pytest.param("prod inner", "", "d1 i1 p1", id="an-ou-inside-another"),
        pytest.param("deep test", "", "d1 t1", id="two-ous"),
        pytest.param("", "inner", "loose master p1 t1", id="all-but-an-ou"),
        pytest.param("", "inner test", "loose master p1", id="all-but-two"),
        pytest.param("prod", "inner", "p1", id="excluded-below-included"),
        pytest.param("inner test", "prod", "t1", id="included-below-excluded"),
        pytest.param("prod", "test", "d1 i1 p1", id="elsewhere"),
        pytest.param("", "root", "", id="nothing"),
    ],
)
@pytest.mark.variants(keep=4)
async def test_ous(
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    include: str,
    exclude: str,
    expected: str,
) -> None:
    """An OU includes everything below it; exclusions apply at any level; closed accounts are skipped."""
    wanted = discovery(
        role_arn=ROLE,
        include=[organization.ous[name] for name in include.split()],
        exclude=[organization.ous[name] for name in exclude.split()],
    )
    async with reading(monkeypatch, organization.url) as organizations:
        assert await names(organizations, wanted) == expected.split()


async def test_every_page_is_read(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    """More accounts in one OU than a page has."""
    crowd = organization.add_ou("crowd", organization.add_ou("aside"))
    added = {organization.add_account(f"crowd-{number:02}", crowd) for number in range(45)}
    async with reading(monkeypatch, organization.url) as organizations:
        members = await organizations.list_members(discovery(role_arn=ROLE, include=[crowd]))
    assert [member.id for member in members] == sorted(added)


async def test_the_role_signs(organization: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a role its session is used; without one the service's own credentials, whose account has no organization."""
    async with reading(monkeypatch, organization.url) as organizations:
        assert "p1" in await names(organizations, discovery(role_arn=ROLE))
        with pytest.raises(GatewayError) as refused:
            await organizations.list_members(discovery(include=[organization.root]))
    assert refused.value.code == "BAD_USER_INPUT"


@pytest.mark.parametrize("where", ["include", "exclude"])
async def test_an_unknown_ou_is_an_error(
    organization: Organization, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """An unknown OU is an error, rather than fewer or more accounts."""
    unknown = {where: ["ou-abcd-00000000"]}
    async with reading(monkeypatch, organization.url) as organizations:
        with pytest.raises(GatewayError) as refused:
            await organizations.list_members(discovery(role_arn=ROLE, **unknown))  # type: ignore[arg-type]  # either is a list
    assert refused.value.code == "BAD_USER_INPUT"
    assert "ParentNotFoundException" in (refused.value.detail or "")


async def test_only_active_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`State` decides; if AWS sends only the older `Status`, that does."""
    states = [
        ({"State": "ACTIVE", "Status": "ACTIVE"}, True),
        ({"State": "ACTIVE"}, True),
        ({"Status": "ACTIVE"}, True),
        ({"State": "SUSPENDED"}, False),
        ({"State": "CLOSED", "Status": "ACTIVE"}, False),
        ({"State": "PENDING_ACTIVATION"}, False),
        ({"Status": "PENDING_CLOSURE"}, False),
        ({"State": "A_LATER_ONE"}, False),
    ]
    page = {"Accounts": [{"Id": f"{number:012}", **state} for number, (state, _) in enumerate(states)]}
    async with telling(page) as told, reading(monkeypatch, told.url) as organizations:
        members = await organizations.list_members(discovery())
    assert [member.id for member in members] == [
        f"{number:012}" for number, (_, active) in enumerate(states) if active
    ]


async def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in a name become spaces; a name of nothing else is dropped."""
    names = [
        "Zahlungen, Köln",
        "",
        "\x1b[2Jgone",
        "two\n\0lines",
        "safe\u202etxt.exe",
        "\u200b\n",
        "\u3000日本",
    ]
    page = {
        "Accounts": [
            {"Id": f"{number:012}", "Name": name, "State": "ACTIVE"} for number, name in enumerate(names)
        ]
    }
    async with telling(page) as told, reading(monkeypatch, told.url) as organizations:
        members = await organizations.list_members(discovery())
    assert [member.name for member in members] == [
        "Zahlungen, Köln",
        None,
        "[2Jgone",
        "two lines",
        "safe txt.exe",
        None,
        "日本",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b'{"Accounts": [{"Id": "1111111', id="truncated"),
        pytest.param({}, id="without-accounts"),
        pytest.param({"Accounts": [{"Name": "a", "State": "ACTIVE"}]}, id="without-id"),
        pytest.param({"Accounts": [{"Id": A, "Name": "a"}]}, id="without-state"),
        pytest.param({"Accounts": [{"Id": "12", "State": "ACTIVE"}]}, id="an-id-that-is-none"),
        pytest.param(accounts_page(A) | {"NextToken": "again"}, id="the-same-page-for-ever"),
    ],
)
async def test_half_an_answer_is_none(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """A response that may be incomplete is an error: used as the list, it would remove accounts."""
    async with telling(answer) as told, reading(monkeypatch, told.url) as organizations:
        with pytest.raises(UpstreamUnavailable):
            await organizations.list_members(discovery())


async def test_a_failure_on_a_later_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages, or an error."""
    pages = accounts_page(A) | {"NextToken": "2"}, denied()
    async with telling(*pages) as told, reading(monkeypatch, told.url) as organizations:
        with pytest.raises(AccessDenied) as refused:
            await organizations.list_members(discovery())
    assert told.asked == [("ListAccounts", {}), ("ListAccounts", {"NextToken": "2"})]
    assert refused.value.message == (
        "AWS denied organizations:ListAccounts in the organization: the gateway's role there lacks the permission."
    )
    assert refused.value.detail == "AccessDeniedException: AccessDeniedException, said AWS"


async def test_throttling_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS throttles Organizations early; listing continues after a pause."""
    answers = denied("TooManyRequestsException"), accounts_page(A, B)
    async with telling(*answers) as told, reading(monkeypatch, told.url) as organizations:
        assert [member.id for member in await organizations.list_members(discovery())] == [A, B]


async def test_few_calls_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One failed OU ends the listing; the calls for other OUs are cancelled."""
    many = [f"ou-abcd-{number:08}" for number in range(50)]
    async with telling(denied()) as told, reading(monkeypatch, told.url) as organizations:
        with pytest.raises(AccessDenied):
            await organizations.list_members(discovery(include=many))
    assert len(told.asked) < 20


async def test_a_refused_session_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that AWS rejects is dropped, and the next listing uses a new one."""
    ahead_s = 0.0
    answers = accounts_page(A), denied("ExpiredTokenException"), accounts_page(A)
    async with telling(*answers) as told:
        with moto() as sts_url:
            async with reading(
                monkeypatch, told.url, sts_url, now=lambda: time.time() + ahead_s
            ) as organizations:
                wanted = discovery(role_arn=ROLE)
                await organizations.list_members(wanted)
                with pytest.raises(AccessDenied):
                    await organizations.list_members(wanted)
                ahead_s = 10.0
                await organizations.list_members(wanted)
    first, second, third = told.keys
    assert first == second != third


async def test_signed_for_the_global_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Organizations has one region, whatever the accounts' regions are."""
    async with telling(accounts_page(A)) as told, reading(monkeypatch, told.url) as organizations:
        await organizations.list_members(discovery())
    (scope,) = told.keys
    assert scope.split("/")[2:] == ["us-east-1", "organizations", "aws4_request"]
