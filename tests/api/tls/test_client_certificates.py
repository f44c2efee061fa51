"""Clients that are known by their certificates, at the gRPC door alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import Authority, Pair
from doors import Failed, rpc
from issuer import AUDIENCE, LocalIssuer, SigningKey, Time
from tls_doors import Files, door
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import server
from wire import GUARDED, HOME, PLAIN, becomes, calling, place, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tls_doors import Refusals
    from transfer_emulator import Emulator, World
    from transfer_gateway.settings import Settings

KEY = SigningKey("one")
FILES = "spiffe://prod.example.com/ns/files/app"
POLICY = f"""
rules:
  - callers: {{ spiffe_ids: ["spiffe://prod.example.com/ns/files/*"] }}
    accounts: {{ ids: ["{PLAIN}"] }}
  - callers: {{ subjects: ["CN=billing,O=Example"] }}
    accounts: {{ ids: ["{GUARDED}"] }}
  - callers: {{ groups: [ops] }}
    accounts: {{ all: true }}
  - callers: {{ spiffe_ids: ["*"] }}
    accounts: {{ ids: ["{HOME}"] }}
"""


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(Time(), KEY) as issuer:
        yield issuer


@pytest.fixture
async def mutual(
    aws: Emulator, settings: Callable[..., Settings], files: Files, issuer: LocalIssuer, tmp_path: Path
) -> AsyncIterator[server.Service]:
    """gRPC's clients have certificates; everybody is asked who they are."""
    policy_file = tmp_path / "policy.yaml"
    policy_file.write_text(POLICY)
    async with server.running(
        settings(
            auth="oidc",
            oidc_issuers=issuer.url,
            oidc_audiences=AUDIENCE,
            policy_file=policy_file,
            accounts_reload_s=0.1,
            grpc_client_ca_file=files.client_ca,
            **files.settings,
        )
    ) as service:
        yield service


# By the clients' authority: who they are, and the accounts that they see.
CLIENTS: dict[str, tuple[Callable[[Authority], Pair], set[str]]] = {
    "spiffe": (lambda by: by.client(FILES, CN="anything"), {PLAIN, HOME}),
    "spiffe-alone": (lambda by: by.client(FILES), {PLAIN, HOME}),
    "another-spiffe": (lambda by: by.client("spiffe://prod.example.com/ns/other/app"), {HOME}),
    "another-trust-domain": (lambda by: by.client(FILES.replace("prod", "test")), {HOME}),
    "full-name": (lambda by: by.client(O="Example", CN="billing"), {GUARDED}),
    "part-of-a-name": (lambda by: by.client(CN="billing"), set()),
    "name-beside-another-uri": (
        lambda by: by.client("https://example.com", O="Example", CN="billing"),
        {GUARDED},
    ),
    "spiffe-as-common-name": (lambda by: by.client(CN=FILES), set()),
    "name-within-a-name": (lambda by: by.client(CN="billing,O=Example"), set()),
    "two-spiffe-ids": (lambda by: by.client(FILES, "spiffe://prod.example.com/ns/files/b", CN="x"), set()),
    "spiffe-beside-another-uri": (lambda by: by.client(FILES, "https://example.com", CN="x"), set()),
    "malformed-spiffe": (lambda by: by.client("spiffe://", CN="x"), set()),
}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.variants(keep=5)
async def test_callers_by_certificate(
    mutual: server.Service, files: Files, world: World, aws: Emulator, kind: str
) -> None:
    """Who comes without a token is who the certificate says, and sees what the policy grants to that name."""
    make, seen = CLIENTS[kind]
    async with door(mutual, files, make(files.clients)) as client:
        accounts = await client.accounts() or []
        assert {account["accountId"] for account in accounts} == seen
        for account_id in (PLAIN, GUARDED):
            key = to_input(place(world, account_id))
            found = await client.get(key)
            if account_id in seen:
                assert found["executionId"] == key["executionId"]
            else:
                assert found["code"] == "ACCOUNT_NOT_AVAILABLE"
    assert bool(aws.calls.count()) is bool(seen & {PLAIN, GUARDED})


async def test_a_certificate_without_a_name(mutual: server.Service, files: Files) -> None:
    """It opens the door, but nobody has come in."""
    async with door(mutual, files, files.clients.client()) as client:
        with pytest.raises(Failed) as refused:
            await client.accounts()
    assert refused.value.status == grpc.StatusCode.UNAUTHENTICATED


REFUSED: dict[str, Callable[[Authority], Pair | None]] = {
    "another-authority": lambda _: Authority("clients").client(FILES),
    "expired": lambda by: by.client(FILES, days_ago=1),
    "not-yet-valid": lambda by: by.client(FILES, days_ago=-1),
    "a-servers": lambda by: by.client(FILES, usage=ExtendedKeyUsageOID.SERVER_AUTH),
    "none": lambda _: None,
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_certificates_refused(
    mutual: server.Service, files: Files, issuer: LocalIssuer, kind: str
) -> None:
    """No call gets through the handshake, not with a good token either."""
    own = REFUSED[kind](files.clients)
    for token in (None, issuer.token(groups=["ops"])):
        async with rpc(mutual, token, tls=files.authority.credentials(own)) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListAccounts(pb.ListAccountsRequest(), timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert not refused.value.trailing_metadata()  # nothing of ours answered


async def test_token_and_certificate(mutual: server.Service, files: Files, issuer: LocalIssuer) -> None:
    """Who sends a token is its subject, whatever the certificate says, and a bad token is refused.

    No token passes for a certificate: a subject that looks like a SPIFFE id is none.
    """
    own = files.clients.client(FILES)
    for token, seen in (
        (issuer.token(groups=["ops"]), {PLAIN, GUARDED, HOME}),
        (issuer.token(sub="nobody"), set()),
        (issuer.token(sub=FILES), set()),
    ):
        async with door(mutual, files, own, token) as client:
            assert {account["accountId"] for account in await client.accounts() or []} == seen
    for token in ("", "a.b.c", issuer.token(exp=1, nbf=..., iat=...)):
        async with door(mutual, files, own, token) as client:
            with pytest.raises(Failed) as refused:
                await client.accounts()
            assert refused.value.status == grpc.StatusCode.UNAUTHENTICATED


async def test_http_asks_for_tokens(mutual: server.Service, files: Files, issuer: LocalIssuer) -> None:
    """A client's certificate says nothing at the HTTP door."""
    query = "{ accounts { accountId } }"
    tls = files.authority.trusting(files.clients.client(FILES), folder=files.folder)
    async with calling(mutual.url, tls=tls) as gateway:
        answer = await gateway.ask(query)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with calling(mutual.url, issuer.token(groups=["ops"]), tls=tls) as gateway:
        assert len((await gateway.ask(query))["data"]["accounts"]) == 3


async def gets_in(service: server.Service, files: Files, own: Pair | None) -> bool:
    """Whether a client with this certificate gets through the handshake."""
    async with rpc(service, tls=files.authority.credentials(own)) as stub:
        try:
            await stub.ListAccounts(pb.ListAccountsRequest(), timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


async def test_client_authorities_change(refusals: Refusals, mutual: server.Service, files: Files) -> None:
    """Clients of a new authority get in, those of one that is gone no more; open connections go on."""
    new = Authority("new")
    clients = {"old": files.clients.client(FILES), "new": new.client(FILES)}

    async def admitted() -> list[str]:
        return [name for name in clients if await gets_in(mutual, files, clients[name])]

    await becomes(admitted, ["old"])
    async with door(mutual, files, clients["old"]) as open_before:
        await open_before.accounts()
        files.client_ca.write_bytes(files.clients.pem + new.pem)
        await becomes(admitted, ["old", "new"])
        files.client_ca.write_bytes(new.pem)
        await becomes(admitted, ["new"])
        files.client_ca.write_bytes(b"garbage")
        await until(refusals)
        assert await admitted() == ["new"]
        await open_before.accounts()


async def test_without_authentication(aws: Emulator, settings: Callable[..., Settings], files: Files) -> None:
    """With auth `none` certificates open the door, and everybody is still anybody."""
    async with server.running(settings(grpc_client_ca_file=files.client_ca, **files.settings)) as service:
        async with door(service, files, files.clients.client()) as client:
            assert len(await client.accounts()) == 3
        assert not await gets_in(service, files, None)
