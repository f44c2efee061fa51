"""The shared Transfer clients: each call signed with the credentials it was given, or not at all."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from botocore.credentials import ReadOnlyCredentials

from transfer_emulator import Emulator, World
from transfer_gateway.aws.client import ConnectionSettings, TransferClients, UnsignedCall, signed_with
from transfer_gateway.domain.identity import Region
from wire import HOME, PLAIN, place

if TYPE_CHECKING:
    from transfer_gateway.domain.identity import ExecutionKey

CONNECTION = ConnectionSettings(connect_timeout_s=2, read_timeout_s=2)
REGION = Region("eu-west-1")


async def describe(clients: TransferClients, key: ExecutionKey) -> str:
    answer = await clients[REGION].describe_execution(
        WorkflowId=key.workflow_id, ExecutionId=key.execution_id
    )
    return str(answer["Execution"]["ExecutionId"])


async def test_fails_closed(aws: Emulator, world: World) -> None:
    """Without credentials for the call nothing is sent, though the service has credentials of its own."""
    key = place(world, HOME)
    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        with pytest.raises(UnsignedCall):
            await describe(clients, key)
    assert aws.calls.by_call() == {}


async def test_concurrent_calls_keep_their_credentials(aws: Emulator, world: World) -> None:
    """2,000 calls at once over 50 accounts: AWS sees each signed by its own account's key, none by another's."""
    keys = []
    for number in range(50):
        account_id = f"5{number:011}"
        world.add_account(account_id)
        user = world.keys.add_user(account_id, "reader")
        keys.append((place(world, account_id), ReadOnlyCredentials(user.access_key_id, user.secret, None)))

    async def call(key: ExecutionKey, credentials: ReadOnlyCredentials) -> bool:
        with signed_with(credentials):
            return await describe(clients, key) == key.execution_id

    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        assert all(await asyncio.gather(*(call(*keys[number % 50]) for number in range(2000))))
    assert all(aws.calls.count(account_id=key.account_id) == 40 for key, _ in keys)


async def test_one_client_a_region(aws: Emulator) -> None:
    """Opening a region again keeps its client."""
    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        first = clients[REGION]
        await clients.open([REGION, Region("us-east-1")])
        assert clients[REGION] is first
        assert first.meta.endpoint_url == aws.url


async def test_credentials_end_with_their_context(aws: Emulator, world: World) -> None:
    """Credentials are in force inside `signed_with` only, whatever happens there."""
    user = world.keys.add_user(PLAIN, "reader")
    credentials = ReadOnlyCredentials(user.access_key_id, user.secret, None)
    key = place(world)
    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        with suppress(ZeroDivisionError), signed_with(credentials):
            await describe(clients, key)
            raise ZeroDivisionError
        with pytest.raises(UnsignedCall):
            await describe(clients, key)
    assert aws.calls.count() == 1
