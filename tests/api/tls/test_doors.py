"""TLS at both doors: who is served, who is refused or cut off, and what the commands print."""

from __future__ import annotations

import ssl
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest

from certificates import Authority
from command import run, started
from doors import rpc
from tls_doors import PREFIX, Files, address, door, problems, serial, spoil_key, tls_connection
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import server
from wire import calling, connected, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings


async def test_both_doors_answer(service: server.Service, files: Files, world: World) -> None:
    """https, wss and gRPC over TLS answer as they do without, by address and by name."""
    key = to_input(place(world))
    assert service.url.startswith("https://127.0.0.1:")
    for url in (service.url, service.url.replace("127.0.0.1", "localhost")):
        async with calling(url, tls=files.authority.trusting()) as gateway:
            answer = await gateway.ask("query($key: ExecutionKey!) { execution(key: $key) { id } }", key=key)
            assert "errors" not in answer
    async with socket(service.url, ssl=files.authority.trusting()) as client:
        await client.subscribe("1", "{ accounts { accountId } }")
        assert (await client.next())["type"] == "next"
    async with door(service, files) as client_door:
        assert (await client_door.get(key))["executionId"] == key["executionId"]


async def test_plain_clients_are_refused(service: server.Service, files: Files) -> None:
    """Without TLS, with an older one, or with trust in others, nobody gets an answer; the service goes on."""
    plain = service.url.replace("https", "http")
    async with calling(plain) as gateway:
        with pytest.raises(aiohttp.ClientError):
            await gateway.send("GET", "/livez")
    async with rpc(service) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListAccounts(pb.ListAccountsRequest())
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    for name in ("http", "grpc"):
        with pytest.raises(ssl.SSLCertVerificationError):
            await serial(address(service, name), Authority("another").trusting())
        old = files.authority.trusting()
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await serial(address(service, name), old)
        assert await serial(address(service, name), files.authority.trusting()) == files.shown.serial


async def test_clients_that_hang_are_cut_off(
    aws: Emulator, settings: Callable[..., Settings], files: Files
) -> None:
    """One that never says hello, and one that never says goodbye, cost a service that ends its grace at most."""
    async with AsyncExitStack() as clients:
        async with server.running(settings(shutdown_grace_s=0.5, **files.settings)) as service:
            for name in ("http", "grpc"):
                url = address(service, name)
                _, half_said = await clients.enter_async_context(connected(url))
                half_said.write(b"\x16\x03\x01")
                await clients.enter_async_context(connected(url))
                _, deaf = await clients.enter_async_context(tls_connection(url, files.authority.trusting()))
                transport: Any = deaf.transport
                transport.pause_reading()
            # A handshake is done at either door: whoever connected before has been accepted.
            started_at = time.monotonic()
        assert time.monotonic() - started_at < 15  # an unfinished goodbye is waited for 30 s, a hello 60


async def test_commands(aws: Emulator, files: Files, accounts_file: Path) -> None:
    """`serve` prints where TLS is; `check-config` reads the files; wrong ones are a line each, exit code 2."""
    environment = {PREFIX + name.upper(): str(path) for name, path in files.settings.items()}
    environment |= {
        f"{PREFIX}ACCOUNTS_FILE": str(accounts_file),
        f"{PREFIX}GRPC_CLIENT_CA_FILE": str(files.client_ca),
    }
    code, out, err = await run("check-config", **environment)
    valid_until = f"{files.shown.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    line = f"{files.folder / 'door.crt'}: certificate, valid until {valid_until}: ok"
    assert (code, out.splitlines()[:-1], err) == (0, [line, line], "")
    async with started("serve", "--http-port", "0", **environment) as serving:
        assert f"GraphQL: {serving.url}/graphql\n" in serving.printed
        assert f"gRPC: {serving.grpc} (TLS, client certificates)\n" in serving.printed
        async with calling(serving.url, tls=files.authority.trusting()) as gateway:
            assert (await gateway.send("GET", "/readyz")).status == 200
        for name, port in (
            ("HTTP", serving.url.rpartition(":")[2]),
            ("GRPC", serving.grpc.rpartition(":")[2]),
        ):
            ports = {f"{PREFIX}HTTP_PORT": "0", f"{PREFIX}GRPC_PORT": "0", f"{PREFIX}{name}_PORT": port}
            code, out, err = await run("serve", **environment | ports)
            assert (code, out) == (1, "")
            assert err.splitlines()[-1].startswith(
                f"error: cannot listen on 127.0.0.1:{port}: Address already in use; choose another port"
            )
        assert (await serving.stop())[0] == 0
    spoil_key(files)
    for command, doors in (("check-config", ("http", "grpc")), ("serve", ("http",))):
        code, out, err = await run(command, **environment)
        assert (code, "certificate" in out) == (2, False)
        told = [problem for door in doors for problem in problems(files, door, "another-key")]
        assert err == "".join(f"error: {problem}\n" for problem in told)
