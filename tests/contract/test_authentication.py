"""Authentication at both servers, and for how long it lasts."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from websockets.exceptions import ConnectionClosed

from doors import Failed, both_doors, rpc
from issuer import AUDIENCE, LocalIssuer, SigningKey
from transfer_api.v1 import execution_pb2
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_api.v1.execution_service_pb2_grpc import ExecutionServiceStub
from transfer_gateway import server
from transfer_gateway.domain.errors import ErrorCode
from wire import GUARDED, JSON, PLAIN, calling, place, socket, to_input

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings
from callers import CALLERS, KEY

LEEWAY_S = 30  # the default


TOKENS: dict[str, Callable[[LocalIssuer], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "garbage": lambda _: "a.b.c",
    "expired": lambda issuer: issuer.token(exp=1, nbf=..., iat=...),
    "not-yet": lambda issuer: issuer.token(nbf=2**33),
    "audience": lambda issuer: issuer.token(aud="another"),
    "issuer": lambda issuer: issuer.token(iss="https://issuer.example.com"),
    "another-key": lambda issuer: issuer.token(key=SigningKey("one")),
}


@pytest.mark.parametrize("kind", TOKENS)
async def test_bad_tokens(
    guarded: server.Service, issuer: LocalIssuer, aws: Emulator, world: World, kind: str
) -> None:
    """Without a valid token requests are UNAUTHENTICATED at both servers, and nothing is looked up."""
    async with both_doors(guarded, TOKENS[kind](issuer)) as doors:
        for door in doors:
            for ask, *arguments in (
                (door.get, to_input(place(world))),
                (door.batch, []),
                (door.find, "00000000-0000-4000-8000-000000000000"),
                (door.list_executions,),
                (door.list_workflows,),
                (door.accounts,),
            ):
                with pytest.raises(Failed) as refused:
                    await ask(*arguments)
                assert refused.value.error["code"] == ErrorCode.UNAUTHENTICATED
                assert refused.value.status in {None, grpc.StatusCode.UNAUTHENTICATED}
    assert not aws.calls.count()


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        pytest.param(None, "required", id="nothing"),
        pytest.param("Basic b2xnYTpvbGdh", "`Bearer` followed by a token", id="password"),
        pytest.param("Bearer", "`Bearer` followed by a token", id="no-token"),
        pytest.param(f"Bearer {'x' * 20_000}", "longer than", id="20-kb"),
    ],
)
async def test_headers(guarded: server.Service, authorization: str | None, says: str) -> None:
    """A 401 has the reason and the scheme; health endpoints need no token.

    A token may have 16 KB. Over HTTP a head above HTTP_MAX_HEAD_BYTES gets 431 before the token is read.
    """
    headers = JSON | ({"authorization": authorization} if authorization else {})
    async with calling(guarded.url) as gateway:
        answer = await gateway.send("POST", body=b'{"query":"{__typename}"}', headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        (error,) = answer.json()["errors"]
        assert says in error["message"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await gateway.send("GET", "/readyz")).status == 200


async def refusals(service: server.Service, token: str) -> list[tuple[str, str]]:
    """The code and message with which each server rejects the token."""
    found = []
    async with both_doors(service, token) as doors:
        for door in doors:
            with pytest.raises(Failed) as refused:
                await door.accounts()
            found.append((refused.value.error["code"], refused.value.error["message"]))
    return found


@pytest.mark.parametrize("characters", [9_000, 16_384, 16_385, 30_000])
async def test_long_tokens(guarded: server.Service, characters: int) -> None:
    """With up to 32 KB of headers both servers reject a long token alike: above 16,384 characters, by its length."""
    http, rpc = await refusals(guarded, "x" * characters)
    assert http == rpc
    says = (
        "The token is longer than 16384 characters."
        if characters > 16_384
        else "The token is not a signed JWT."
    )
    assert http == ("UNAUTHENTICATED", says)


async def test_a_head_that_is_too_large(guarded: server.Service) -> None:
    """More than 32 KB of headers are rejected before the token is read: with 431, and RESOURCE_EXHAUSTED."""
    token = "x" * 40_000
    async with grpc.aio.insecure_channel(guarded.grpc) as channel:
        call: Any = ExecutionServiceStub(channel).ListAccounts(
            pb.ListAccountsRequest(), metadata=[("authorization", f"Bearer {token}")]
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with calling(guarded.url) as gateway:
        headers = JSON | {"authorization": f"Bearer {token}"}
        answer = await gateway.send("POST", body=b'{"query":"{__typename}"}', headers=headers)
        assert answer.status == 431


async def test_websocket(guarded: server.Service, issuer: LocalIssuer, world: World) -> None:
    """Over WebSocket the first message has the token; without a valid one the connection is closed with 4403."""
    key = to_input(place(world, GUARDED))
    query = "query($key: ExecutionKey!) { executionOrError(key: $key) { __typename } }"
    for caller, expected in (("operator", "Execution"), ("payments", "AccountNotAvailable")):
        token = issuer.token(**CALLERS[caller])
        for payload, headers in (
            ({"authorization": f"Bearer {token}"}, {}),
            ({}, {"authorization": f"Bearer {token}"}),
        ):
            async with socket(guarded.url, init=False, additional_headers=headers) as client:
                await client.send({"type": "connection_init", "payload": payload})
                assert (await client.next())["type"] == "connection_ack"
                await client.subscribe("1", query, key=key)
                answer = await client.next()
                assert answer["payload"]["data"]["executionOrError"]["__typename"] == expected
    for refused in ({}, {"authorization": "Bearer a.b.c"}, {"authorization": 1}):
        async with socket(guarded.url, init=False) as client:
            await client.send({"type": "connection_init", "payload": refused})
            with pytest.raises(ConnectionClosed, match="4403"):
                await client.next()


async def test_open_websockets_are_judged_again(guarded: server.Service, issuer: LocalIssuer) -> None:
    """An open connection ends as soon as HTTP would reject its token: on expiry, or when the key is withdrawn."""
    other = SigningKey("two", "ES256")
    issuer.publish(KEY, other)
    expired_soon = issuer.token(key=other, exp=int(time.time()) - LEEWAY_S + 4, **CALLERS["operator"])
    tokens = {
        "expired": expired_soon,
        "withdrawn": issuer.token(key=KEY, **CALLERS["operator"]),
        "stays": issuer.token(key=other, **CALLERS["operator"]),
    }
    async with AsyncExitStack() as stack:
        clients = {}
        for name, token in tokens.items():
            client = await stack.enter_async_context(socket(guarded.url, init=False))
            await client.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
            assert (await client.next())["type"] == "connection_ack"
            clients[name] = client
        third = SigningKey("three", "ES256")
        issuer.publish(third, other)
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as (graphql, _):
            await graphql.accounts()  # a key that is new has the keys fetched
        for name, says in (("withdrawn", "not signed with a key"), ("expired", "has expired")):
            with pytest.raises(ConnectionClosed, match="4403") as closed:
                await clients[name].next()
            assert says in str(closed.value)
        await clients["stays"].subscribe("1", "{ accounts { id } }")
        assert (await clients["stays"].next())["type"] == "next"


async def test_keys_rotate(guarded: server.Service, issuer: LocalIssuer, world: World) -> None:
    """Keys rotate, and the issuer goes down and comes back: no request with a valid token fails."""
    keys = [KEY, SigningKey("two", "ES256"), SigningKey("three", "EdDSA")]
    request = to_input(place(world))
    for old, new in itertools.pairwise(keys):
        issuer.publish(new, old)
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        async with both_doors(guarded, issuer.token(key=old, **CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        issuer.down = True
        async with both_doors(guarded, issuer.token(**CALLERS["operator"])) as doors:
            for door in doors:
                assert (await door.get(request))["accountId"] == PLAIN
        issuer.down = False


@pytest.mark.parametrize("change", ["policy", "token"])
async def test_streams_are_judged_again(
    aws: Emulator,
    settings: Callable[..., Settings],
    issuer: LocalIssuer,
    policy_file: Path,
    world: World,
    change: str,
) -> None:
    """A stream follows the current policy and ends with its token, long before its own end."""
    keys = [place(world) for _ in range(300)]
    request = pb.BatchGetExecutionsRequest(
        keys=[
            execution_pb2.ExecutionKey(
                account_id=key.account_id,
                region=key.region,
                workflow_id=key.workflow_id,
                execution_id=key.execution_id,
            )
            for key in keys
        ]
    )
    oidc = {
        "auth": "oidc",
        "oidc_issuers": issuer.url,
        "oidc_audiences": AUDIENCE,
        "oidc_leeway_s": 0,
        "policy_file": policy_file,
        "accounts_reload_s": 0.1,
    }
    lives_s = 60 if change == "policy" else 4
    token = issuer.token(**CALLERS["operator"], exp=int(time.time()) + lives_s)
    async with (
        server.running(settings(**oidc, target_rate_per_s=10, target_burst=10)) as service,
        rpc(service, token) as stub,
    ):
        outcomes: list[str | None] = []
        refused: grpc.StatusCode | None = None
        stream = stub.BatchGetExecutions(request)
        try:
            async with asyncio.timeout(20):  # 30 s are needed for all
                async for answer in stream:
                    outcomes.append(answer.WhichOneof("outcome"))
                    if change == "policy":
                        policy_file.write_text("rules: []")
                    if outcomes[-1] == "error":
                        break
        except grpc.aio.AioRpcError as error:
            refused = error.code()
    if change == "policy":
        assert (outcomes[0], outcomes[-1]) == ("execution", "error")
    else:
        assert refused is grpc.StatusCode.UNAUTHENTICATED
    assert len(outcomes) < 200
