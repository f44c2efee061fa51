"""The AWS layer as the service builds it, for tests that call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from transfer_gateway.build import Core, build_core
from transfer_gateway.settings import AccountsFile
from transfer_gateway.telemetry import AwsCalls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from transfer_emulator import Emulator
    from transfer_gateway.settings import Settings


@pytest.fixture
async def core(aws: Emulator, settings: Callable[..., Settings]) -> AsyncIterator[Core]:
    """With history."""
    made = settings(history_url="sqlite://")
    async with build_core(
        made, AccountsFile(made.accounts_file).load(), AwsCalls(), with_history=False
    ) as core:
        yield core
