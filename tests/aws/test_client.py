"""The shared Transfer clients: each call is signed with the credentials given to it, or fails."""

from __future__ import annotations

import asyncio
import gc
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSSLError
from botocore.credentials import ReadOnlyCredentials

from certificates import Authority
from transfer_emulator import Emulator, World
from transfer_gateway.aws.client import ConnectionSettings, TransferClients, UnsignedCall, signed_with
from transfer_gateway.domain.identity import Region
from wire import HOME, PLAIN, place

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator
    from pathlib import Path

    from transfer_gateway.domain.identity import ExecutionKey

CONNECTION = ConnectionSettings(connect_timeout_s=2, read_timeout_s=2)
REGION = Region("eu-west-1")


async def describe(clients: TransferClients, key: ExecutionKey) -> str:
    answer = await clients[key.region].describe_execution(
        WorkflowId=key.workflow_id, ExecutionId=key.execution_id
    )
    return str(answer["Execution"]["ExecutionId"])


async def test_fails_closed(aws: Emulator, world: World) -> None:
    """Without credentials for the call nothing is sent, although the service has credentials of its own."""
    key = place(world, HOME)
    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        with pytest.raises(UnsignedCall):
            await describe(clients, key)
    assert aws.calls.by_call() == {}


async def test_concurrent_calls_keep_their_credentials(aws: Emulator, world: World) -> None:
    """400 concurrent calls for 50 accounts: each is signed with its own account's key."""
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
        assert all(await asyncio.gather(*(call(*keys[number % 50]) for number in range(400))))
    assert all(aws.calls.count(account_id=key.account_id) == 8 for key, _ in keys)


async def test_one_client_a_region(aws: Emulator) -> None:
    """Opening a region again keeps its client."""
    async with TransferClients(CONNECTION) as clients:
        await clients.open([REGION])
        first = clients[REGION]
        await clients.open([REGION, Region("us-east-1")])
        assert clients[REGION] is first
        assert first.meta.endpoint_url == aws.url


async def test_credentials_end_with_their_context(aws: Emulator, world: World) -> None:
    """Credentials apply only inside `signed_with`, whatever happens there."""
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


@asynccontextmanager
async def tls_in_front_of(aws: Emulator, authority: Authority, folder: Path) -> AsyncIterator[str]:
    """The emulator behind TLS, with a certificate of that CA. Yields: its URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.server().write(folder, "aws"))
    host, _, port = aws.url.removeprefix("http://").partition(":")

    async def pass_on(source: StreamReader, to: StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while piece := await source.read(65_536):
                to.write(piece)
        to.close()

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        aws_reader, aws_writer = await asyncio.open_connection(host, port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pass_on(reader, aws_writer))
            tasks.create_task(pass_on(aws_reader, writer))

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context) as front:
        yield "https://{}:{}".format(*front.sockets[0].getsockname())


async def test_regions_share_what_they_trust(
    aws: Emulator, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS with the CA file of AWS's own variable, which is read once, whichever region is called first."""
    keys = [place(world, PLAIN, region) for region in (REGION, "us-east-1")]
    user = world.keys.add_user(PLAIN, "reader")
    authority, bundle = Authority(), tmp_path / "authorities.pem"
    bundle.write_bytes(authority.pem)

    async def answers() -> list[str]:
        async with TransferClients(CONNECTION) as clients:
            await clients.open([key.region for key in keys])
            with signed_with(ReadOnlyCredentials(user.access_key_id, user.secret, None)):
                return [await describe(clients, key) for key in keys]

    async with tls_in_front_of(aws, authority, tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_TRANSFER", url)
        with pytest.raises(ClientSSLError):
            await answers()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        before = contexts()
        assert await answers() == [key.execution_id for key in keys]
        assert contexts() == before + 1


def contexts() -> int:
    return sum(isinstance(it, ssl.SSLContext) for it in gc.get_objects())
