"""STS problems: their effect on the target's own limits and on other accounts. AWS is on the wire."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from transfer_emulator import Emulator, Fault, FaultKind, World
from transfer_gateway import server
from transfer_gateway.core.audit import AuditTrail
from transfer_gateway.domain.caller import ANONYMOUS
from transfer_gateway.domain.errors import GatewayError
from transfer_gateway.domain.identity import ExecutionId
from wire import PLAIN, REGION, becomes, place, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_gateway.domain.identity import ExecutionKey
    from transfer_gateway.settings import Settings

ASSUME = "AssumeRole"


async def code(service: server.Service, key: ExecutionKey, within_s: float = 10.0) -> str:
    deadline = asyncio.get_running_loop().time() + within_s
    try:
        await service.gateway.reader(AuditTrail(ANONYMOUS, "test", lambda: None)).describe(
            key, max_age_s=0, deadline=deadline
        )
    except GatewayError as error:
        return error.code
    return "ok"


def others(key: ExecutionKey, count: int) -> list[ExecutionKey]:
    """Keys of executions that AWS doesn't have, in one workflow."""
    ids = (f"{number:08}-0000-4000-8000-000000000000" for number in range(count))
    return [
        type(key)(key.account_id, key.region, key.workflow_id, ExecutionId(execution_id))
        for execution_id in ids
    ]


async def test_a_denied_role_spends_no_limits(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """200 different lookups of an account whose role can't be assumed all fail at once."""
    number = aws.faults.add(Fault(FaultKind.DENY, operation=ASSUME))
    key = place(world)
    async with server.running(settings()) as service:
        async with asyncio.timeout(8):  # at 10 a second they would take 18 s
            codes = await asyncio.gather(*(code(service, other) for other in others(key, 200)))
        assert Counter(codes) == {"ROLE_NOT_ASSUMABLE": 200}
        assert aws.calls.count(operation=ASSUME) <= 4  # the fourth after more than 5 s
        aws.faults.remove(number)
        await becomes(lambda: code(service, key), "ok")
        asked = [code(service, other) for other in others(key, 40)]
        assert set(await asyncio.gather(*asked)) == {"EXECUTION_NOT_FOUND"}  # the burst is all there


@pytest.mark.fast_time
async def test_hanging_roles_of_many_accounts_holds_up_nobody(
    aws: Emulator, world: World, settings: Callable[..., Settings], accounts_file: Path
) -> None:
    """20 accounts with 16 lookups each wait for STS: an account with a session is not affected."""
    sick = [f"5{number:011}" for number in range(20)]
    accounts_file.write_text(
        f"defaults: {{ regions: [{REGION}] }}\naccounts:\n"
        + "".join(f'  - {{ id: "{account_id}" }}\n' for account_id in (PLAIN, *sick))
    )
    healthy = place(world)
    for account_id in sick:
        world.add_account(account_id)
    async with server.running(settings()) as service:
        assert await code(service, healthy) == "ok"
        for account_id in sick:
            aws.faults.add(Fault(FaultKind.HANG, operation=ASSUME, account_id=account_id))
        keys = [key for account_id in sick for key in others(place(world, account_id), 16)]
        waiting = [asyncio.create_task(code(service, key, within_s=20)) for key in keys]
        await until(lambda: aws.calls.count(operation=ASSUME) == 1 + len(sick))
        async with asyncio.timeout(15):
            assert await code(service, healthy) == "ok"
        assert Counter(await asyncio.gather(*waiting)) == {"DEADLINE_EXCEEDED": 320}


async def test_a_hiccup_of_sts_is_not_noticed(
    aws: Emulator, world: World, settings: Callable[..., Settings]
) -> None:
    """An AssumeRole that STS throttles once is retried within the request's deadline."""
    aws.faults.add(Fault(FaultKind.THROTTLE, operation=ASSUME, times=1))
    async with server.running(settings()) as service:
        assert await code(service, place(world)) == "ok"
    assert aws.calls.count(operation=ASSUME) == 2
