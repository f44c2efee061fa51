"""Access by a policy file's rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.caller import Caller
from transfer_gateway.domain.execution import (
    Execution,
    ExecutionResults,
    ExecutionStatus,
    FileLocation,
    LoggingConfiguration,
    PosixProfile,
    S3FileLocation,
    ServiceMetadata,
    Step,
    StepRef,
    UserDetails,
)
from transfer_gateway.domain.identity import AccountId, ExecutionKey, Region, Target
from transfer_gateway.domain.scope import Hideable, Scope
from transfer_gateway.settings import ConfigurationError, parse_policy

IRELAND, VIRGINIA = Region("eu-west-1"), Region("us-east-1")
PAYMENTS, CLAIMS, HOME = "111111111111", "222222222222", "333333333333"
ALL = {PAYMENTS, CLAIMS, HOME}


def account(number: str, alias: str | None, **tags: str) -> Account:
    return Account(AccountId(number), alias, (IRELAND, VIRGINIA), None, None, 3600, tags)


ACCOUNTS = Accounts(
    [
        account(PAYMENTS, "payments-prod", team="payments", stage="prod"),
        account(CLAIMS, "claims", team="claims", stage="prod"),
        account(HOME, None),
    ]
)
ALICE = Caller(
    "alice",
    "https://issuer.example.com",
    frozenset({"ops", "payments"}),
    {"department": "finance", "roles": ["reader", "writer"], "level": 3, "admin": True},
)
POD = Caller("spiffe://example.com/ns/files/sa/reader")


def seen(rules: str, caller: Caller) -> set[str]:
    scope = parse_policy(f"rules:\n{rules}".encode(), name="policy.yaml").scope(caller, ACCOUNTS)
    return {account.id for account in scope.accounts}


@pytest.mark.parametrize(
    ("callers", "caller", "matches"),
    [
        pytest.param("any: true", ALICE, True, id="anybody"),
        pytest.param("groups: [nobody, ops]", ALICE, True, id="group"),
        pytest.param('groups: ["pay*"]', ALICE, True, id="groups-by-glob"),
        pytest.param("groups: [Ops]", ALICE, False, id="case-counts"),
        pytest.param("groups: [ops]", POD, False, id="no-groups"),
        pytest.param("subjects: [alice]", ALICE, True, id="subject"),
        pytest.param("subjects: [alic]", ALICE, False, id="part-of-a-subject"),
        pytest.param("{ subjects: [alice], groups: [nobody] }", ALICE, False, id="all-that-is-given"),
        pytest.param(
            "{ subjects: [alice], issuers: ['https://issuer.example.com'] }", ALICE, True, id="issuer"
        ),
        pytest.param(
            "{ subjects: [alice], issuers: ['https://other.example.com'] }", ALICE, False, id="other-issuer"
        ),
        pytest.param("claims: { department: finance }", ALICE, True, id="claim"),
        pytest.param("claims: { roles: [admin, reader] }", ALICE, True, id="claim-with-several-values"),
        pytest.param('claims: { level: "3", admin: "true" }', ALICE, True, id="numbers-and-truths-as-text"),
        pytest.param("claims: { nothing: '*' }", ALICE, False, id="claim-that-is-not-there"),
        pytest.param("spiffe_ids: ['spiffe://example.com/ns/files/*']", POD, True, id="spiffe-id"),
        pytest.param(
            "spiffe_ids: ['spiffe://*']",
            replace(ALICE, subject=POD.subject),
            False,
            id="token-that-calls-itself-so",
        ),
    ],
)
def test_callers(callers: str, caller: Caller, matches: bool) -> None:  # noqa: FBT001  a case
    """A rule applies to callers that match all its criteria, each by any of its values."""
    callers = f"callers: {callers if callers[0] == '{' else f'{{ {callers} }}'}"
    assert seen(f"  - {{ {callers}, accounts: {{ all: true }} }}", caller) == (ALL if matches else set())


@pytest.mark.parametrize(
    ("accounts", "visible"),
    [
        pytest.param("all: true", ALL, id="all"),
        pytest.param(f'ids: ["{CLAIMS}"]', {CLAIMS}, id="id"),
        pytest.param('ids: ["999999999999"]', set(), id="an-account-that-there-is-not"),
        pytest.param('aliases: ["payments-*", "cl?ims"]', {PAYMENTS, CLAIMS}, id="aliases"),
        pytest.param("aliases: ['*']", {PAYMENTS, CLAIMS}, id="no-alias-is-none"),
        pytest.param("tags: { stage: prod }", {PAYMENTS, CLAIMS}, id="tag"),
        pytest.param("tags: { stage: prod, team: [payments, home] }", {PAYMENTS}, id="all-tags"),
        pytest.param(f'tags: {{ team: claims }}, ids: ["{HOME}"]', {CLAIMS, HOME}, id="any-way"),
    ],
)
def test_accounts(accounts: str, visible: set[str]) -> None:
    """A rule grants the accounts that match any of its criteria."""
    assert seen(f"  - {{ callers: {{ any: true }}, accounts: {{ {accounts} }} }}", ALICE) == visible


def test_nothing_by_default() -> None:
    """A caller that no rule applies to sees nothing."""
    assert seen("  []", ALICE) == set()


def test_rules_add_up() -> None:
    """Rules add regions to an account; a field is hidden in a region if all rules that grant it hide the field."""
    policy = parse_policy(
        b"""
rules:
  - { callers: { groups: [ops] }, accounts: { all: true }, regions: [eu-west-1], hide: [posixProfile, executionRole] }
  - { callers: { subjects: [alice] }, accounts: { aliases: [claims] }, hide: [executionRole] }
""",
        name="policy.yaml",
    )
    scope = policy.scope(ALICE, ACCOUNTS)
    assert {account.id: account.regions for account in scope.accounts} == {
        PAYMENTS: (IRELAND,),
        CLAIMS: (IRELAND, VIRGINIA),
        HOME: (IRELAND,),
    }
    both = frozenset({Hideable.POSIX_PROFILE, Hideable.EXECUTION_ROLE})
    assert scope.hidden == {
        Target(AccountId(PAYMENTS), IRELAND): both,
        Target(AccountId(CLAIMS), IRELAND): {Hideable.EXECUTION_ROLE},
        Target(AccountId(CLAIMS), VIRGINIA): {Hideable.EXECUTION_ROLE},
        Target(AccountId(HOME), IRELAND): both,
    }


def test_scopes_follow_the_accounts() -> None:
    """Callers that match the same rules share a cached scope until the accounts change."""
    policy = parse_policy(b"rules: [{ callers: { any: true }, accounts: { all: true } }]", name="policy.yaml")
    scope = policy.scope(ALICE, ACCOUNTS)
    assert policy.scope(POD, ACCOUNTS) is scope
    fewer = Accounts([account(HOME, None)])
    assert [account.id for account in policy.scope(ALICE, fewer).accounts] == [HOME]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "must be a mapping with the key 'rules'", id="empty"),
        pytest.param("rules: {}", "rules: ", id="no-list"),
        pytest.param(
            "rules: [{ accounts: { all: true } }]", "rules[0].callers: is required", id="no-callers"
        ),
        pytest.param(
            "rules: [{ callers: {}, accounts: { all: true } }]", "callers: must name callers", id="no-caller"
        ),
        pytest.param(
            "rules: [{ callers: { any: true, groups: [a] }, accounts: { all: true } }]",
            "callers: must name callers",
            id="any-and-some",
        ),
        pytest.param(
            "rules: [{ callers: { any: true }, accounts: {} }]",
            "accounts: must name accounts",
            id="no-account",
        ),
        pytest.param(
            "rules: [{ callers: { any: true }, accounts: { ids: [111111111111] } }]",
            "12 digits in quotes",
            id="id-as-number",
        ),
        pytest.param(
            "rules: [{ callers: { any: true }, accounts: { all: true }, hide: [everything] }]",
            "hide[0]: ",
            id="unknown-field",
        ),
        pytest.param(
            "rules: [{ callers: { any: true }, accounts: { all: true }, region: [eu-west-1] }]",
            "is not a known key",
            id="unknown-key",
        ),
        pytest.param(
            "rules: [{ callers: { groups: [] }, accounts: { all: true } }]", "groups: ", id="empty-list"
        ),
        pytest.param(
            "rules: [{ callers: { any: true }, accounts: { all: true }, regions: [Ireland] }]",
            "regions[0]: ",
            id="region",
        ),
        pytest.param("rules: [", "policy.yaml:1:", id="no-yaml"),
    ],
)
def test_bad_policies(text: str, says: str) -> None:
    """Each problem is reported with its location; an invalid policy is rejected as a whole."""
    with pytest.raises(ConfigurationError) as wrong:
        parse_policy(text.encode(), name="policy.yaml")
    assert says in str(wrong.value)


def described(region: Region = IRELAND) -> Execution:
    key = ExecutionKey.parse(f"{CLAIMS}/{region}/w-00000000000000000/00000000-0000-4000-8000-000000000000")
    step = Step(StepRef(key.workflow, on_exception=False, position=0), None, None, "outputs", None)
    return Execution(
        key=key,
        initial_file_location=FileLocation(S3FileLocation("bucket", "key", None, None), None),
        service_metadata=ServiceMetadata(UserDetails("user", "server", None)),
        execution_role="role",
        logging_configuration=LoggingConfiguration("role", "group"),
        posix_profile=PosixProfile(1, 2, None),
        status=ExecutionStatus.IN_PROGRESS,
        raw_status="IN_PROGRESS",
        results=ExecutionResults((step,), None),
        observed_at=datetime.now(UTC),
    )


@given(hidden=st.frozensets(st.sampled_from(Hideable)))
def test_hidden_fields(hidden: frozenset[Hideable]) -> None:
    """Hidden fields are null, others unchanged; if nothing is hidden, the object is the same."""
    whole = described()
    shown: Any = Scope(ACCOUNTS, {whole.key.target: hidden}).redact(whole)
    for name in (
        "initial_file_location",
        "service_metadata",
        "execution_role",
        "logging_configuration",
        "posix_profile",
    ):
        expected = None if Hideable[name.upper()] in hidden else getattr(whole, name)
        assert getattr(shown, name) == expected
    assert (shown.results.steps[0].outputs is None) is (Hideable.STEP_OUTPUTS in hidden)
    assert shown.key == whole.key
    elsewhere = described(VIRGINIA)
    assert Scope(ACCOUNTS, {whole.key.target: hidden}).redact(elsewhere) is elsewhere
