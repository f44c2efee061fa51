"""A scope's version: equal if and only if callers see the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from transfer_gateway.domain.account import Account, Accounts
from transfer_gateway.domain.identity import AccountId, Region, Target
from transfer_gateway.domain.scope import Hideable, Scope

HERE, THERE = Region("eu-west-1"), Region("us-east-1")
ONE = Account(AccountId("111111111111"), "one", (HERE, THERE), None, None, 3600)
OTHER = Account(AccountId("222222222222"), None, (HERE,), None, None, 3600)
TARGET = Target(ONE.id, HERE)
HIDDEN = {TARGET: frozenset({Hideable.STEP_OUTPUTS, Hideable.EXECUTION_ROLE})}


def version(*accounts: Account, hidden: dict[Target, frozenset[Hideable]] | None = None) -> bytes:
    return Scope(Accounts(accounts), hidden or {}).version


def test_equal_scopes_have_one_version() -> None:
    """However they were built, and regardless of account settings that callers can't see."""
    assert version(ONE, OTHER) == version(replace(ONE), replace(OTHER))
    assert version(ONE, hidden=HIDDEN) == version(ONE, hidden=dict(HIDDEN))
    unseen = replace(
        ONE, role_arn="arn:aws:iam::111111111111:role/Reader", external_id="x-42", tags={"a": "b"}
    )
    assert version(unseen) == version(ONE)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(version(ONE), id="an-account-less"),
        pytest.param(version(OTHER, ONE), id="another-order"),
        pytest.param(version(replace(ONE, alias="two"), OTHER), id="another-alias"),
        pytest.param(version(replace(ONE, alias=None), OTHER), id="no-alias"),
        pytest.param(version(ONE, replace(OTHER, alias="None")), id="an-alias-that-looks-like-none"),
        pytest.param(version(replace(ONE, regions=(HERE,)), OTHER), id="a-region-less"),
        pytest.param(version(replace(ONE, regions=(THERE, HERE)), OTHER), id="another-order-of-regions"),
        pytest.param(version(ONE, OTHER, hidden=HIDDEN), id="hidden-fields"),
        pytest.param(
            version(ONE, OTHER, hidden={TARGET: frozenset({Hideable.STEP_OUTPUTS})}), id="fewer-hidden-fields"
        ),
    ],
)
def test_other_scopes_have_other_versions(other: bytes) -> None:
    """Any difference in what callers see."""
    assert other not in {
        version(ONE, OTHER),
        version(ONE, OTHER, hidden={Target(OTHER.id, HERE): HIDDEN[TARGET]}),
    }
