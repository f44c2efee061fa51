"""Certificates that change while the service runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tls_doors import SPOILED, Files, address, door, problems, serial, tls_connection, until_shown
from wire import calling, socket, until

if TYPE_CHECKING:
    from tls_doors import Refusals
    from transfer_gateway import server


@pytest.mark.parametrize("name", ["http", "grpc"])
async def test_certificates_change(service: server.Service, files: Files, name: str) -> None:
    """New connections get the new certificate, of another kind of key too; those that are open go on."""
    url = address(service, name)
    assert await serial(url, files.authority.trusting()) == files.shown.serial
    async with (
        calling(service.url, tls=files.authority.trusting()) as gateway,
        socket(service.url, ssl=files.authority.trusting()) as client,
        tls_connection(service.url, files.authority.trusting()) as (reader, writer),
        door(service, files) as client_door,
    ):
        await gateway.send("GET", "/livez")
        await client_door.accounts()
        for pair in (
            files.authority.server(),
            files.authority.server(),
            files.authority.server(rsa_key=True),
        ):
            files.show(pair)
            await until_shown(url, files, pair)
            assert (await gateway.send("GET", "/livez")).status == 200
            await client.subscribe("1", "{ __typename }")
            assert (await client.next())["type"] == "next"
            assert (await client.next())["type"] == "complete"
            writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
            assert len(await client_door.accounts()) == 3


@pytest.mark.parametrize("kind", SPOILED)
async def test_bad_versions_are_refused(
    refusals: Refusals,
    service: server.Service,
    files: Files,
    kind: str,
) -> None:
    """A bad new version is refused and logged once, and the old one kept, until there is a good one."""
    before = files.shown
    SPOILED[kind][0](files)
    await until(lambda: len(refusals()) == 2)
    for name in ("http", "grpc"):
        assert await serial(address(service, name), files.authority.trusting()) == before.serial
    await asyncio.sleep(0.3)  # several reloads, of which none may log it again
    assert refusals() == [(name, problems(files, name, kind)) for name in ("grpc", "http")]
    files.show(files.authority.server())
    for name in ("http", "grpc"):
        await until_shown(address(service, name), files, files.shown)
