"""Servers' ids."""

from __future__ import annotations

import pytest

from transfer_gateway.domain.errors import BadUserInput
from transfer_gateway.domain.identity import AccountId, Region
from transfer_gateway.domain.server import ServerId, ServerKey

KEY = ServerKey(AccountId("111111111111"), Region("eu-west-1"), ServerId("s-1234567890abcdef0"))


def test_a_key_is_parsed_as_written() -> None:
    assert ServerKey.parse(str(KEY)) == KEY
    assert KEY.target == ("111111111111", "eu-west-1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "111111111111/eu-west-1",
        "111111111111/eu-west-1/w-1234567890abcdef0",
        f"{KEY}/x",
        "1/eu-west-1/s-1",
        f"{KEY}g",
    ],
)
def test_others_are_refused(text: str) -> None:
    """A workflow's id among them."""
    with pytest.raises(BadUserInput):
        ServerKey.parse(text)
