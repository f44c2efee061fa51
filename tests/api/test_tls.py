"""TLS at both servers, certificate reloads, and callers identified by client certificates."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from certificates import Authority, Pair
from command import run, started
from doors import Failed, RpcDoor, rpc
from issuer import AUDIENCE, LocalIssuer, SigningKey, Time
from transfer_api.v1 import execution_service_pb2 as pb
from transfer_gateway import server
from transfer_gateway.settings import ConfigurationError, Settings
from wire import GUARDED, HOME, PLAIN, calling, connected, place, socket, to_input, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from transfer_emulator import Emulator, World

PREFIX = "TRANSFER_GATEWAY_"
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


@dataclass
class Files:
    """The certificate, key and client CA given to a service, and their issuers."""

    folder: Path
    authority: Authority
    shown: Pair  # what is in the files
    clients: Authority

    @property
    def settings(self) -> dict[str, Any]:
        certificate, key = self.folder / "door.crt", self.folder / "door.key"
        return {
            "http_tls_cert_file": certificate,
            "http_tls_key_file": key,
            "grpc_tls_cert_file": certificate,
            "grpc_tls_key_file": key,
        }

    @property
    def client_ca(self) -> Path:
        path = self.folder / "clients.crt"
        if not path.exists():
            path.write_bytes(self.clients.pem)
        return path

    def show(self, pair: Pair) -> None:
        self.shown = pair
        pair.write(self.folder, "door")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = Authority()
    files = Files(tmp_path, authority, authority.server(rsa_key=True), Authority("clients"))
    files.show(files.shown)
    return files


@pytest.fixture
async def service(
    aws: Emulator, settings: Callable[..., Settings], files: Files
) -> AsyncIterator[server.Service]:
    """TLS at both servers, without authentication."""
    async with server.running(
        settings(accounts_reload_s=0.1, shutdown_grace_s=1, **files.settings)
    ) as service:
        yield service


@pytest.fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    async with LocalIssuer(Time(), KEY) as issuer:
        yield issuer


@pytest.fixture
async def mutual(
    aws: Emulator, settings: Callable[..., Settings], files: Files, issuer: LocalIssuer, tmp_path: Path
) -> AsyncIterator[server.Service]:
    """gRPC clients have certificates; authentication is required."""
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


@asynccontextmanager
async def door(
    service: server.Service, files: Files, own: Pair | None = None, token: str | None = None
) -> AsyncIterator[RpcDoor]:
    async with rpc(service, token, tls=files.authority.credentials(own)) as stub:
        yield RpcDoor(stub)


def address(service: server.Service, name: str) -> str:
    return service.url if name == "http" else f"https://{service.grpc}"


@asynccontextmanager
async def tls_connection(
    url: str, tls: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = url.removeprefix("https://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def serial(url: str, tls: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection gets."""
    tls.set_alpn_protocols(["h2", "http/1.1"])
    async with tls_connection(url, tls) as (_, writer):
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).serial_number


async def becomes(url: str, files: Files, pair: Pair) -> None:
    async with asyncio.timeout(30):
        while await serial(url, files.authority.trusting()) != pair.serial:
            await asyncio.sleep(0.02)


async def test_both_doors_answer(service: server.Service, files: Files, world: World) -> None:
    """https, wss and gRPC over TLS respond as without TLS, by address and by name."""
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
    """Without TLS, with an older version, or with other trusted CAs, clients get no response; the service continues."""
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


@pytest.mark.parametrize("name", ["http", "grpc"])
async def test_certificates_change(service: server.Service, files: Files, name: str) -> None:
    """New connections get the new certificate, even with another key type; open ones continue."""
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
            await becomes(url, files, pair)
            assert (await gateway.send("GET", "/livez")).status == 200
            await client.subscribe("1", "{ __typename }")
            assert (await client.next())["type"] == "next"
            assert (await client.next())["type"] == "complete"
            writer.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
            assert len(await client_door.accounts()) == 3


def spoil_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(files.authority.server().key())


def spoil_kind_of_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(Authority().server(rsa_key=True).key())


def spoil_certificate(files: Files) -> None:
    (files.folder / "door.crt").write_text("garbage")


def spoil_text_of_key(files: Files) -> None:
    (files.folder / "door.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def take_certificate(files: Files) -> None:
    (files.folder / "door.crt").unlink()


def take_key(files: Files) -> None:
    (files.folder / "door.key").unlink()


def encrypt_key(files: Files) -> None:
    (files.folder / "door.key").write_bytes(files.shown.key(b"secret"))


SPOILED: dict[str, tuple[Callable[[Files], None], str, str]] = {
    "another-key": (spoil_key, "KEY", "is not the key of {certificate}"),
    "another-key-of-its-kind": (spoil_kind_of_key, "KEY", "is not the key of {certificate}"),
    "garbage": (spoil_certificate, "CERT", "contains no certificates in PEM format"),
    "garbage-for-a-key": (spoil_text_of_key, "KEY", "contains no private key in PEM format"),
    "no-certificate": (take_certificate, "CERT", "cannot be read: No such file or directory"),
    "no-key": (take_key, "KEY", "cannot be read: No such file or directory"),
    "passphrase": (encrypt_key, "KEY", "is encrypted; a key without a passphrase is required"),
}


def problems(files: Files, name: str, kind: str) -> tuple[str, ...]:
    _, which, what = SPOILED[kind]
    file = files.folder / ("door.key" if which == "KEY" else "door.crt")
    variable = f"{PREFIX}{name.upper()}_TLS_{which}_FILE"
    return (f"{variable}: {file}: {what.format(certificate=files.folder / 'door.crt')}",)


@pytest.fixture
def refusals() -> Iterator[Callable[[], list[tuple[str, tuple[str, ...]]]]]:
    with capture_logs() as events:
        yield lambda: sorted(
            (event["door"], event["problems"]) for event in events if event["event"] == "tls_files_refused"
        )


@pytest.mark.parametrize("kind", SPOILED)
async def test_bad_versions_are_refused(
    refusals: Callable[[], list[tuple[str, tuple[str, ...]]]],
    service: server.Service,
    files: Files,
    kind: str,
) -> None:
    """An invalid new version is rejected and logged once; the previous one stays in use until a valid one arrives."""
    before = files.shown
    SPOILED[kind][0](files)
    await until(lambda: len(refusals()) == 2)
    for name in ("http", "grpc"):
        assert await serial(address(service, name), files.authority.trusting()) == before.serial
    await asyncio.sleep(0.3)  # several reloads, of which none may log it again
    assert refusals() == [(name, problems(files, name, kind)) for name in ("grpc", "http")]
    files.show(files.authority.server())
    for name in ("http", "grpc"):
        await becomes(address(service, name), files, files.shown)


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("name", ["http", "grpc"])
async def test_bad_files_at_the_start(
    aws: Emulator, settings: Callable[..., Settings], files: Files, name: str, kind: str
) -> None:
    """The service does not start, names the variable and the problem, and leaves nothing behind."""
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
    """gRPC's own error, that it can't bind the port, would hide the reason. HTTP can use the key."""
    files.show(files.authority.server(curve=ec.SECP256K1()))
    with pytest.raises(ConfigurationError) as refused:
        async with server.running(settings(**files.settings)):
            pass
    assert refused.value.problems == (
        f"{PREFIX}GRPC_TLS_CERT_FILE: {files.folder / 'door.crt'}: has a key on a curve that gRPC can't use",
    )


@pytest.mark.parametrize("text", [b"", b"garbage"], ids=["empty", "garbage"])
async def test_a_bad_client_authority(settings: Callable[..., Settings], files: Files, text: bytes) -> None:
    """A CA file without certificates is rejected: it would accept no client, or all."""
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
    """A certificate requires its key, a key its certificate, and a client CA both."""
    with pytest.raises(ConfigurationError) as refused:
        settings(**given)
    assert refused.value.problems == (PREFIX + problem,)


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
async def test_callers_by_certificate(
    mutual: server.Service, files: Files, world: World, aws: Emulator, kind: str
) -> None:
    """A caller without a token is identified by its certificate, and sees what the policy grants to that name."""
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
    """A certificate without a name opens the connection, but its calls are unauthenticated."""
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
    """Without a client certificate the handshake fails, even with a valid token."""
    own = REFUSED[kind](files.clients)
    for token in (None, issuer.token(groups=["ops"])):
        async with rpc(mutual, token, tls=files.authority.credentials(own)) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListAccounts(pb.ListAccountsRequest(), timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert not refused.value.trailing_metadata()  # nothing of ours answered


async def test_token_and_certificate(mutual: server.Service, files: Files, issuer: LocalIssuer) -> None:
    """A caller with a token is its subject, whatever the certificate says; an invalid token is rejected.

    A token's subject is never a SPIFFE id, even if it looks like one.
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
    """The HTTP server ignores client certificates."""
    query = "{ accounts { accountId } }"
    tls = files.authority.trusting(files.clients.client(FILES), folder=files.folder)
    async with calling(mutual.url, tls=tls) as gateway:
        answer = await gateway.ask(query)
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    async with calling(mutual.url, issuer.token(groups=["ops"]), tls=tls) as gateway:
        assert len((await gateway.ask(query))["data"]["accounts"]) == 3


async def gets_in(service: server.Service, files: Files, own: Pair | None) -> bool:
    """Whether a client with this certificate completes the handshake."""
    async with rpc(service, tls=files.authority.credentials(own)) as stub:
        try:
            await stub.ListAccounts(pb.ListAccountsRequest(), timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


async def test_client_authorities_change(mutual: server.Service, files: Files) -> None:
    """Clients of a new CA are accepted, those of a removed one rejected; open connections continue."""
    new = Authority("new")
    clients = {"old": files.clients.client(FILES), "new": new.client(FILES)}

    async def becomes_open_to(*expected: str) -> None:
        async with asyncio.timeout(30):
            while [name for name in clients if await gets_in(mutual, files, clients[name])] != [*expected]:
                await asyncio.sleep(0.02)

    await becomes_open_to("old")
    async with door(mutual, files, clients["old"]) as open_before:
        await open_before.accounts()
        files.client_ca.write_bytes(files.clients.pem + new.pem)
        await becomes_open_to("old", "new")
        files.client_ca.write_bytes(new.pem)
        await becomes_open_to("new")
        files.client_ca.write_bytes(b"garbage")
        await asyncio.sleep(0.3)
        await becomes_open_to("new")
        await open_before.accounts()


async def test_without_authentication(aws: Emulator, settings: Callable[..., Settings], files: Files) -> None:
    """With auth `none`, certificates are required for connecting, and all callers are anonymous."""
    async with server.running(settings(grpc_client_ca_file=files.client_ca, **files.settings)) as service:
        async with door(service, files, files.clients.client()) as client:
            assert len(await client.accounts()) == 3
        assert not await gets_in(service, files, None)


async def test_clients_that_hang_are_cut_off(
    aws: Emulator, settings: Callable[..., Settings], files: Files
) -> None:
    """Peers that never start, or never finish, TLS delay shutdown by the grace period at most."""
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
            await asyncio.sleep(0.1)
            started_at = time.monotonic()
        assert time.monotonic() - started_at < 15  # an unfinished goodbye is waited for 30 s, a hello 60


async def test_commands(aws: Emulator, files: Files, accounts_file: Path) -> None:
    """`serve` prints where TLS is enabled; `check-config` reads the files: one line per problem, exit code 2."""
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
