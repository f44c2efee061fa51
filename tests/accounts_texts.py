"""Texts of accounts files, and what is wrong with them."""

from __future__ import annotations

import pytest

from transfer_gateway.domain.account import Account
from transfer_gateway.settings import (
    ConfigurationError,
    parse_accounts,
)


def parse(text: str) -> list[Account]:
    return list(parse_accounts(text.encode(), name="accounts.yaml").listed)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        parse(text)
    return refused.value.problems
