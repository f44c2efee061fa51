"""What the gRPC door makes of connections, and of bytes on them that no client of gRPC would send."""

from __future__ import annotations

import asyncio
import json
import struct
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from command import Started, started
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway import server
from transfer_gateway.api.rpc.grpc_internals import ServerEnded
from wire import connected

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PATIENCE_S = 20
SERVICE = b"transfer_api.v1.ExecutionService"


async def test_grpc_connections_are_bounded(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """Beyond GRPC_MAX_CONNECTIONS a connection is closed, and those before it are served on."""
    async with server.running(settings(grpc_max_connections=3)) as service, AsyncExitStack() as stack:
        answers = []
        for _ in range(6):
            reader, writer = await stack.enter_async_context(connected(f"http://{service.grpc}"))
            writer.write(PREFACE)
            async with asyncio.timeout(PATIENCE_S):
                answers.append(bool(await reader.read(9)))
        assert answers == [True] * 3 + [False] * 3


@pytest.mark.parametrize("sent", [b"", PREFACE[:10]], ids=["nothing", "half"])
async def test_connections_that_never_start_are_closed(
    aws: Emulator, settings: Callable[..., Settings], sent: bytes
) -> None:
    """After GRPC_HANDSHAKE_TIMEOUT_S their places are others'."""
    async with server.running(settings(grpc_max_connections=1, grpc_handshake_timeout_s=2)) as service:
        async with connected(f"http://{service.grpc}") as (reader, writer), asyncio.timeout(PATIENCE_S):
            writer.write(sent)
            while await reader.read(65536):
                pass
        await ask(service)


async def test_idle_connections_are_ended(aws: Emulator, settings: Callable[..., Settings]) -> None:
    """After GRPC_MAX_CONNECTION_IDLE_S without a call; a client's next call is answered on a new connection."""
    async with (
        server.running(settings(grpc_max_connections=1, grpc_max_connection_idle_s=1)) as service,
        grpc.aio.insecure_channel(service.grpc) as channel,
    ):
        stub: Any = ExecutionServiceStub(channel)
        for _ in range(2):
            assert (await stub.ListAccounts(pb.ListAccountsRequest(), timeout=PATIENCE_S)).accounts
            async with asyncio.timeout(PATIENCE_S):
                while (state := channel.get_state()) != grpc.ChannelConnectivity.IDLE:
                    await channel.wait_for_state_change(state)
        async with connected(f"http://{service.grpc}") as (reader, writer), asyncio.timeout(PATIENCE_S):
            writer.write(PREFACE + frame(0x4, 0x1, 0, b""))
            while await reader.read(65536):  # GOAWAY, to which nobody answers
                pass
        await ask(service)


async def ask(service: server.Service) -> None:
    """As any other client, on a connection of its own."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(service.grpc, alone) as channel:
        stub: Any = ExecutionServiceStub(channel)
        assert (
            await stub.ListAccounts(pb.ListAccountsRequest(), timeout=PATIENCE_S, wait_for_ready=True)
        ).accounts


def call(path: bytes, stream: int, *more: tuple[bytes, bytes]) -> bytes:
    """A call with an empty message: its HEADERS, each field a literal that is not indexed, and its DATA."""
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"gateway"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *more,
    )
    head = b"".join(b"\x00" + text(name) + text(value) for name, value in fields)
    return frame(0x1, 0x4, stream, head) + frame(0x0, 0x1, stream, bytes(5))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def text(content: bytes) -> bytes:
    assert len(content) < 127
    return bytes([len(content)]) + content


async def send(service: server.Service | Started, sent: bytes) -> bytes:
    """What the gRPC door answers, or has answered when it closes the connection, up to a status."""
    async with connected(f"http://{service.grpc}") as (reader, writer), asyncio.timeout(PATIENCE_S):
        writer.write(PREFACE + sent)
        came = b""
        while piece := await reader.read(65536):
            came += piece
            if b"grpc-status" in came:
                break
        return came


HOSTILE = [
    pytest.param(call(b"/\xbd", 1), id="path"),
    pytest.param(call(b"\xff" * 100, 1), id="no-slash"),
    pytest.param(call(b"/" + SERVICE + b"/\xc3\x28", 1), id="method"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"authorization", b"Bearer \xbd")), id="value"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"x-\xbd", b"x")), id="name"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"x-request-id", b"\xbd\xbe")), id="id"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"x-bin", b"\xbd!")), id="base64"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"grpc-timeout", b"99999999H")), id="deadline"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"grpc-timeout", b"\xbd")), id="no-deadline"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b":path", b"/\xbd")), id="two-paths"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b":authority", b"\xbd")), id="authority"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"host", b"\xbd")), id="host"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"user-agent", b"\xbd")), id="agent"),
    pytest.param(call(b"/" + SERVICE + b"/GetExecution", 1, (b"grpc-encoding", b"\xbd")), id="encoding"),
    pytest.param(call(b"", 1), id="no-path"),
]


@pytest.mark.parametrize("sent", HOSTILE)
@pytest.mark.variants(keep=5)
async def test_bytes_that_are_no_text(
    aws: Emulator, world: World, settings: Callable[..., Settings], sent: bytes
) -> None:
    """They are that call's problem, or its connection's: others are answered before and after."""
    async with server.running(settings()) as service:
        for _ in range(2):
            await send(service, sent)
            async with grpc.aio.insecure_channel(service.grpc) as channel:
                stub: Any = ExecutionServiceStub(channel)
                assert (await stub.ListAccounts(pb.ListAccountsRequest(), timeout=PATIENCE_S)).accounts


async def test_a_path_that_is_no_text_is_an_unknown_method(
    aws: Emulator, settings: Callable[..., Settings]
) -> None:
    """As any other that is not there. Source of 12: UNIMPLEMENTED in grpc's list of statuses."""
    async with server.running(settings()) as service:
        assert b"grpc-status\x0212" in await send(service, call(b"/\xbd", 1))


async def test_the_door_that_ends_takes_the_process_with_it(
    aws: Emulator, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a grpcio that we don't know, grpc's own server is open; what it does not survive ends the service."""
    monkeypatch.setattr(grpc, "__version__", "9.9.9")

    async def serve() -> None:
        async with server.running(settings(shutdown_delay_s=0)) as service:
            async with grpc.aio.insecure_channel(service.grpc) as channel:
                stub: Any = ExecutionServiceStub(channel)
                assert (await stub.ListAccounts(pb.ListAccountsRequest(), timeout=PATIENCE_S)).accounts
            await send(service, call(b"/\xbd", 1))
            await asyncio.sleep(PATIENCE_S)  # which the end cuts short

    with pytest.raises(ExceptionGroup) as told:
        await serve()
    assert told.group_contains(ServerEnded)


async def test_no_client_writes_to_the_log() -> None:
    """Whoever sends bytes that are no gRPC, or a token that is no text, is told so; the log has only our lines."""
    head = b"/" + SERVICE + b"/GetExecution"
    async with started("demo", "--http-port", "0", TRANSFER_GATEWAY_LOG_FORMAT="json") as demo:
        assert b"grpc-status" in await send(demo, call(head, 1, (b"authorization", b"Bearer eyJ0.eyJ1.\xbd")))
        for name, value in (
            (b"x-\xbd", b"x"),
            (b"te", b"x"),
            (b"grpc-timeout", b"\xbd"),
            (b"x-bin", b"\xbd!"),
        ):
            await send(demo, call(head, 1, (name, value)))
        await send(demo, frame(0x1, 0x4, 1, b"\xff" * 100))
        async with connected(f"http://{demo.grpc}") as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
        code, log = await demo.stop()
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert "grpc_request" in {line["event"] for line in lines}
    assert "error" not in {line["level"] for line in lines}
    assert "eyJ0" not in log
