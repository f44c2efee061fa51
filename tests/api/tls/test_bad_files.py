"""Certificates, keys and client authorities that can't be used: the service doesn't start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tls_doors import PREFIX, SPOILED, Files, problems
from transfer_gateway import server
from transfer_gateway.settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("name", ["http", "grpc"])
async def test_bad_files_at_the_start(
    aws: Emulator, settings: Callable[..., Settings], files: Files, name: str, kind: str
) -> None:
    """The service doesn't start, says which variable is wrong and how, and leaves nothing behind."""
    SPOILED[kind][0](files)
    own = {variable: path for variable, path in files.settings.items() if variable.startswith(name)}
    before = asyncio.all_tasks()
    with pytest.raises(ConfigurationError) as refused:
        async with server.running(settings(**own)):
            pass
    assert refused.value.problems == problems(files, name, kind)
    assert asyncio.all_tasks() == before


async def test_a_key_that_grpc_cannot_use(
    aws: Emulator, settings: Callable[..., Settings], files: Files
) -> None:
    """What its library says of it, that the port can't be had, would lead nobody to the reason. HTTP can use it."""
    files.show(files.authority.server(curve=ec.SECP256K1()))
    with pytest.raises(ConfigurationError) as refused:
        async with server.running(settings(**files.settings)):
            pass
    assert refused.value.problems == (
        f"{PREFIX}GRPC_TLS_CERT_FILE: {files.folder / 'door.crt'}: has a key on a curve that gRPC can't use",
    )


@pytest.mark.parametrize("text", [b"", b"garbage"], ids=["empty", "garbage"])
async def test_a_bad_client_authority(settings: Callable[..., Settings], files: Files, text: bytes) -> None:
    """It would let nobody in, or everybody: refused."""
    files.client_ca.write_bytes(text)
    with pytest.raises(ConfigurationError) as refused:
        async with server.running(settings(grpc_client_ca_file=files.client_ca, **files.settings)):
            pass
    assert refused.value.problems == (
        f"{PREFIX}GRPC_CLIENT_CA_FILE: {files.client_ca}: contains no certificates in PEM format",
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"http_tls_cert_file": "a"},
            "HTTP_TLS_KEY_FILE: is required with TRANSFER_GATEWAY_HTTP_TLS_CERT_FILE",
        ),
        ({"http_tls_key_file": "a"}, "HTTP_TLS_KEY_FILE: needs TRANSFER_GATEWAY_HTTP_TLS_CERT_FILE"),
        (
            {"grpc_tls_cert_file": "a"},
            "GRPC_TLS_KEY_FILE: is required with TRANSFER_GATEWAY_GRPC_TLS_CERT_FILE",
        ),
        ({"grpc_tls_key_file": "a"}, "GRPC_TLS_KEY_FILE: needs TRANSFER_GATEWAY_GRPC_TLS_CERT_FILE"),
        (
            {"grpc_client_ca_file": "a"},
            "GRPC_CLIENT_CA_FILE: needs TRANSFER_GATEWAY_GRPC_TLS_CERT_FILE: client certificates need TLS",
        ),
    ],
    ids=["http-no-key", "http-no-certificate", "grpc-no-key", "grpc-no-certificate", "client-ca-alone"],
)
def test_halves(settings: Callable[..., Settings], given: dict[str, str], problem: str) -> None:
    """A certificate needs its key, a key its certificate, and a clients' authority both."""
    with pytest.raises(ConfigurationError) as refused:
        settings(**given)
    assert refused.value.problems == (PREFIX + problem,)
