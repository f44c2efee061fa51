"""TLS to PostgreSQL: what libpq's sslmode and sslrootcert do, and that each message says which rule failed."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from certificates import HERE, Authority
from command import run, started
from postgres import PostgresServer, needs_tls
from transfer_emulator import Emulator
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.history.migrate import try_history
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import ConfigurationError
from wire import becomes, until

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, OTHERS = Authority("ours"), Authority("others")
FULL, ANOTHER_HOST = "sslmode=verify-full", [x509.DNSName("db.example.com")]
CERTIFICATES = {
    "ours": OURS.server(),
    "of-another-host": OURS.issue({"CN": "there"}, ANOTHER_HOST, usage=ExtendedKeyUsageOID.SERVER_AUTH),
    "expired": OURS.issue({"CN": "here"}, HERE, usage=ExtendedKeyUsageOID.SERVER_AUTH, days_ago=2),
    "none": None,
}
NO_TLS = "does not accept TLS, which sslmode requires."
UNKNOWN = "has a certificate that no authority of sslrootcert has issued."
CASES = {
    # name: (the server's certificate, parameters, the outcome)
    "verified": ("ours", f"{FULL}&sslrootcert=ours", "ok"),
    "another-host": (
        "of-another-host",
        f"{FULL}&sslrootcert=ours",
        "has a certificate of another host, which sslmode=verify-full refuses.",
    ),
    "another-authority": ("ours", f"{FULL}&sslrootcert=others", UNKNOWN),
    "expired": ("expired", f"{FULL}&sslrootcert=ours", "has a certificate that has expired."),
    "without-tls": ("none", f"{FULL}&sslrootcert=ours", NO_TLS),
    "any-host-of-the-authority": ("of-another-host", "sslmode=verify-ca&sslrootcert=ours", "ok"),
    "require-verifies-nothing": ("of-another-host", "sslmode=require", "ok"),
    "require-with-an-authority-verifies-it": ("ours", "sslmode=require&sslrootcert=others", UNKNOWN),
    "require-without-tls": ("none", "sslmode=require", NO_TLS),
    "prefer-without-tls": ("none", "sslmode=prefer", "ok"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer.on_loopback() as server:
        yield server


@pytest.fixture
def authorities(tmp_path: Path) -> dict[str, Path]:
    files = {"ours": tmp_path / "ours.crt", "others": tmp_path / "others.crt"}
    files["ours"].write_bytes(OURS.pem)
    files["others"].write_bytes(OTHERS.pem)
    return files


def by_tcp(url: str, server: PostgresServer, parameters: str, authorities: dict[str, Path]) -> str:
    """The same database, by a host name."""
    database = url.partition("?")[0].rpartition("/")[2]
    for name, file in authorities.items():
        parameters = parameters.replace(f"sslrootcert={name}", f"sslrootcert={file}")
    return f"postgresql://gateway@localhost:{server.port}/{database}?{parameters}"


async def outcome(url: str) -> str:
    try:
        await try_history(url, None, 30)
    except UpstreamUnavailable as error:
        return error.message.removeprefix("The history store ")
    return "ok"


@needs_tls
@pytest.mark.parametrize(("certificate", "parameters", "expected"), CASES.values(), ids=CASES)
async def test_rules(
    server: PostgresServer, authorities: dict[str, Path], certificate: str, parameters: str, expected: str
) -> None:
    url = by_tcp(await server.create_database(), server, parameters, authorities)
    await server.use_tls(CERTIFICATES[certificate])
    await becomes(lambda: outcome(url), expected)  # as soon as the server has the certificate


@needs_tls
async def test_a_server_that_requires_tls(server: PostgresServer, authorities: dict[str, Path]) -> None:
    """Refuses a connection without, and its reason is told."""
    database = await server.create_database()
    await server.use_tls(CERTIFICATES["ours"])
    rules = server.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(before.replace("host ", "hostssl "))
    connection = await server.connect()
    try:
        await connection.execute("SELECT pg_reload_conf()")
        url = by_tcp(database, server, "sslmode=disable", authorities)
        await becomes(lambda: outcome(url), "refused the gateway's login.")
        with pytest.raises(UpstreamUnavailable) as refused:
            await try_history(url, None, 30)
        assert "no encryption" in str(refused.value.detail)
    finally:
        rules.write_text(before)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()


@needs_tls
async def test_authorities_may_change(server: PostgresServer, authorities: dict[str, Path]) -> None:
    """The file is read for each connection."""
    url = by_tcp(await server.create_database(), server, f"{FULL}&sslrootcert=others", authorities)
    await server.use_tls(CERTIFICATES["ours"])
    async with open_store(url, timeout_s=30) as store:

        async def told() -> str:
            try:
                return str(await store.kept_since())
            except UpstreamUnavailable as error:
                return error.message

        await becomes(told, f"The history store {UNKNOWN}")
        authorities["others"].write_bytes(OTHERS.pem + OURS.pem)
        await becomes(told, "None")


@needs_tls
async def test_check_config_and_the_log_say_it(
    server: PostgresServer, authorities: dict[str, Path], aws: Emulator, accounts_file: Path
) -> None:
    """Which rule failed, and nothing of the password."""
    url = by_tcp(await server.create_database(), server, f"{FULL}&sslrootcert=others", authorities)
    await server.use_tls(CERTIFICATES["ours"])
    await becomes(lambda: outcome(url), UNKNOWN)
    given = {
        "TRANSFER_GATEWAY_HISTORY_URL": url.replace("gateway@", "gateway:pass-w0rd@"),
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
    }
    code, out, err = await run("check-config", "--assume", **given)
    assert (code, err) == (1, "")
    assert f"{authorities['others']}: ok\n" in out
    assert (
        f"history: UPSTREAM_UNAVAILABLE: The history store {UNKNOWN} unable to get local issuer certificate"
        in out
    )
    async with started("serve", "--http-port", "0", **given) as serving:
        await until(lambda: "history_store_unavailable" in serving.log_so_far())
        _, log = await serving.stop()
    assert UNKNOWN.removesuffix(".") in log
    assert "history_not_verified" not in log
    assert "pass-w0rd" not in out + log


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file or directory"), ("no certificate", "has no certificates")]
)
async def test_authorities_that_are_none(tmp_path: Path, content: str | None, why: str) -> None:
    """Are refused at the start, by every command."""
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    url = f"postgresql://gateway@localhost:1/history?{FULL}&sslrootcert={file}"
    problem = f"TRANSFER_GATEWAY_HISTORY_URL: sslrootcert {file}: {why}"
    with pytest.raises(ConfigurationError, match=problem):
        async with open_store(url):
            pass
    code, _, err = await run("migrate", TRANSFER_GATEWAY_HISTORY_URL=url)
    assert (code, err) == (2, f"error: {problem}\n")


async def test_verification_needs_authorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named by the URL, by libpq's variable or in its default file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"postgresql://gateway@localhost:1/history?{FULL}"
    with pytest.raises(ConfigurationError, match="sslmode=verify-full needs sslrootcert, a file"):
        async with open_store(url):
            pass
    default = tmp_path / ".postgresql" / "root.crt"
    default.parent.mkdir()
    default.write_bytes(OURS.pem)
    async with open_store(url):
        pass
    default.unlink()
    (tmp_path / "ca.crt").write_bytes(OURS.pem)
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "ca.crt"))
    async with open_store(url):
        pass


async def test_a_server_that_is_not_verified_is_warned_of(accounts_file: Path) -> None:
    """By check-config, and once in the log. The connection itself fails here."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    given = {
        "TRANSFER_GATEWAY_HISTORY_URL": f"postgresql://gateway:pass-w0rd@db.invalid:{port}/history?sslmode=require",
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "HOME": os.devnull,  # no file of authorities there
    }
    weakness = (
        "TRANSFER_GATEWAY_HISTORY_URL: the connection to db.invalid is encrypted, but the server is not verified "
        "(sslmode=require): set sslmode=verify-full and sslrootcert"
    )
    code, _, err = await run("check-config", **given)
    assert (code, err) == (0, f"warning: {weakness}\n")
    async with started("serve", "--http-port", "0", TRANSFER_GATEWAY_LOG_FORMAT="json", **given) as serving:
        _, log = await serving.stop()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["detail"] for line in lines if line["event"] == "history_not_verified"] == [weakness]
    assert "pass-w0rd" not in err + log
