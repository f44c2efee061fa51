"""Fuzz cases for both servers: valid bytes, corrupted, and sent in pieces by a client that stalls and disconnects."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from comparison.documents import LOOKUP
from google.protobuf.json_format import ParseDict

from hostile import wire
from transfer_api.v1 import execution_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVICE = "/transfer_api.v1.ExecutionService/"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_PATIENCE_S = 6.0  # with one case, the fuzzer's stalls included
_EXPECTED_5XX = {503}  # what is full, or is about to end
_RESET = struct.pack("ii", 1, 0)  # lingering for zero seconds

_RST_STREAM, _PING, _GOAWAY, _CONTINUATION, _PRIORITY = 0x3, 0x6, 0x7, 0x9, 0x2


@dataclass(frozen=True)
class Doors:
    """The gateway's addresses, the credentials, and a key."""

    http: tuple[str, int]
    rpc: tuple[str, int]
    tokens: list[str]
    key: dict[str, str]


@dataclass
class Found:
    """Counts over all cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)  # cases that were answered as none may be


def _valid_http(doors: Doors, token: str) -> list[list[bytes]]:
    asked = {"key": doors.key, "maxAge": 3600}
    post = wire.post(LOOKUP, asked, token)
    body = json.dumps({"query": LOOKUP, "variables": asked}).encode()
    head = b"POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
    head += b"authorization: Bearer " + token.encode() + b"\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:100], body[100:])]
    probe = b"GET /livez HTTP/1.1\r\nhost: gateway\r\n\r\n"
    return [
        [probe],
        [probe, post, probe],
        [post],
        [head + b"transfer-encoding: chunked\r\n\r\n", *chunks, b"0\r\nx: trailer\r\n\r\n"],
        [head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body), body],
        [post.replace(b"\r\n", b"\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n", 1)],
        [b"OPTIONS /graphql HTTP/1.1\r\nhost: gateway\r\norigin: https://example.com\r\n\r\n"],
        [b"GET /graphql HTTP/1.1\r\nhost: gateway\r\naccept: text/html\r\n\r\n"],
        [b"HEAD /readyz HTTP/1.0\r\n\r\n"],
        [
            wire.UPGRADE,
            wire.ws_init(token),
            wire.ws_subscribe(1, LOOKUP, asked),
            wire.ws_frame(b"ping", wire.PING),
            wire.ws_frame(b'{"type":', last=False),
            wire.ws_frame(b'"ping"}', wire.CONTINUATION),
            wire.ws_message(type="complete", id="1"),
            wire.ws_frame(struct.pack("!H", 1000), 0x8),
        ],
    ]


def _valid_grpc(doors: Doors, token: str) -> list[list[bytes]]:
    one = ParseDict({"key": doors.key, "maxAge": "3600s"}, pb.GetExecutionRequest())
    many = ParseDict({"keys": [doors.key] * 20, "maxAge": "3600s"}, pb.BatchGetExecutionsRequest())

    def call(path: str, message: bytes, stream: int) -> list[bytes]:
        return [wire.grpc_headers(path, token, stream), wire.grpc_message(message, stream)]

    start = [wire.PREFACE, wire.h2_settings((wire.INITIAL_WINDOW_SIZE, 2**20))]
    single = call(f"{_SERVICE}GetExecution", one.SerializeToString(), 1)
    stream = call(f"{_SERVICE}BatchGetExecutions", many.SerializeToString(), 3)
    return [
        [*start, *single],
        [*start, *single, *stream],
        [*start, *stream, wire.h2_frame(_RST_STREAM, 0, 3, struct.pack("!I", 8))],
        [*start, wire.h2_frame(_PING, 0, 0, b"12345678"), *single],
        [*start, wire.h2_frame(wire.WINDOW_UPDATE, 0, 0, struct.pack("!I", 2**20)), *stream],
        [*start, wire.h2_frame(_PRIORITY, 0, 1, struct.pack("!IB", 0, 16)), *single],
        [*start, *call("/grpc.health.v1.Health/Check", b"", 1), wire.h2_frame(_GOAWAY, 0, 0, bytes(8))],
        [*start, *single[:1], wire.h2_frame(_CONTINUATION, wire.END_HEADERS, 1, b""), *single[1:]],
        [*start, *call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\x00", 1)],
    ]


def _flip(dice: Random, text: bytes) -> bytes:
    changed = bytearray(text)
    for _ in range(dice.choice((1, 1, 2, 8))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(dice: Random, text: bytes) -> bytes:
    start = dice.randrange(len(text))
    return text[:start] + text[start + dice.randint(1, 40) :]


def _double(dice: Random, text: bytes) -> bytes:
    start = dice.randrange(len(text))
    end = start + dice.randint(1, 200)
    return text[:end] + text[start:end] * dice.choice((1, 1, 5, 50)) + text[end:]


def _insert(dice: Random, text: bytes) -> bytes:
    at = dice.randrange(len(text))
    return text[:at] + dice.randbytes(dice.choice((1, 4, 100, 5000))) + text[at:]


def _truncate(dice: Random, text: bytes) -> bytes:
    return text[: dice.randrange(len(text))]


def _noise(dice: Random, text: bytes) -> bytes:
    return dice.randbytes(len(text))


_DAMAGE: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip,
    _flip,
    _cut,
    _double,
    _insert,
    _truncate,
    _noise,
)


def _damaged(dice: Random, segments: list[bytes]) -> list[bytes]:
    """One to three pieces corrupted, dropped or reordered; one case in ten unchanged."""
    damaged = list(segments)
    if dice.random() < 0.1:
        return damaged
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(len(damaged))
        match dice.randrange(10):
            case 0:
                dice.shuffle(damaged)
            case 1:
                damaged.insert(at, dice.choice(segments))
            case _:
                damaged[at] = dice.choice(_DAMAGE)(dice, damaged[at] or b"\0")
    return damaged


async def run_case(doors: Doors, seed: int, number: int, found: Found) -> None:
    """The `number`th case of a seed: always the same, except for tokens and the gateway's responses."""
    dice = Random(f"{seed} {number}")
    token = doors.tokens[number % len(doors.tokens)]
    is_http = dice.random() < 0.5
    segments = dice.choice((_valid_http if is_http else _valid_grpc)(doors, token))
    door = doors.http if is_http == (dice.random() < 0.95) else doors.rpc  # now and then the wrong one
    said = b""
    outcome = "left"
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(_PATIENCE_S):
            with await wire.connect(door, f"127.0.2.{number % 20 + 1}") as connection:
                said, outcome = await _talk(dice, connection, _damaged(dice, segments))
    statuses = [int(status) for status in _STATUS.findall(said)]
    found.outcomes[f"{'HTTP' if is_http else 'gRPC'}: {outcome}"] += 1
    for status in statuses:
        found.outcomes[f"status {status}"] += 1
        if status >= 500 and status not in _EXPECTED_5XX:
            found.bad.append(f"case {number}: {said[:300]!r}")


async def _talk(dice: Random, connection: socket.socket, segments: list[bytes]) -> tuple[bytes, str]:
    """Send everything, in pieces, with stalls; read or not; disconnect in one of the possible ways."""
    loop, said = asyncio.get_running_loop(), b""
    reads, leaves_early = dice.random() < 0.7, dice.random() < 0.2
    text = b"".join(segments)
    if leaves_early and text:
        text = text[: dice.randrange(len(text))]
    while text:
        size = dice.choice((1, 7, 100, 4096, len(text)))
        await loop.sock_sendall(connection, text[:size])
        text = text[size:]
        if dice.random() < 0.3:
            await asyncio.sleep(dice.choice((0.001, 0.01, 0.1, 1.0)))
    if reads and dice.random() < 0.5:
        connection.shutdown(socket.SHUT_WR)
    with suppress(TimeoutError):
        async with asyncio.timeout(dice.choice((0.05, 0.5, 2.0)) if reads else 0):
            while piece := await loop.sock_recv(connection, 65536):
                said += piece
            return said, "was closed"
    if dice.random() < 0.5:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return said, "reset"
    return said, "closed"
