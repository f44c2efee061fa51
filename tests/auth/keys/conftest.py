from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from issuer import LocalIssuer
from issuer_keys import A

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from issuer import Time


@pytest.fixture
async def issuer(clock: Time) -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(clock, A) as issuer:
        yield issuer
