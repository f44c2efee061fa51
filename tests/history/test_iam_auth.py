"""Tokens of AWS IAM as passwords: those of botocore, a new one for each connection, told nowhere."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import parse_qs

import boto3
import pytest

from certificates import Authority
from command import run, started
from postgres import PostgresServer
from rds import Rds, rds
from transfer_emulator import Emulator
from transfer_gateway.aws.database_token import database_password, database_token
from transfer_gateway.aws.own_credentials import OwnCredentials
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.history.migrate import migrate_history
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import MigrationSettings
from transfer_gateway.telemetry import redacted
from transfer_gateway.telemetry.redaction import HIDDEN, redacted_line
from wire import becomes, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OURS = Authority("ours")
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-of-the-pod"}
SESSION = {"AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEXAMPLE/+=="}
HOST = "history.abc123.eu-west-1.rds.amazonaws.com"


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_bytes(OURS.pem)
    return file


@pytest.fixture
async def login(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rds]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    async with rds(postgres, OURS.server(), tmp_path, KEYS["AWS_SECRET_ACCESS_KEY"]) as login:
        yield login


def settings(url: str) -> MigrationSettings:
    return MigrationSettings.from_environment(
        history_url=url, history_iam_auth=True, history_iam_region="eu-west-1"
    )


@pytest.mark.parametrize("session", [{}, SESSION], ids=["keys", "session"])
async def test_a_token_is_botocores(session: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal, byte by byte, for the same credentials at the same time."""
    for name, value in (KEYS | session).items():
        monkeypatch.setenv(name, value)
    at = dt.datetime(2026, 11, 30, 12, 0, tzinfo=dt.UTC)
    with patch("botocore.auth.get_current_datetime", return_value=at):
        token = await database_token(OwnCredentials(), HOST, 5432, user="us er@", region="eu-west-1")
        client = boto3.Session().client("rds", region_name="eu-west-1")
        assert token == client.generate_db_auth_token(HOST, 5432, "us er@")
    given = parse_qs(token)
    assert given["X-Amz-Date"] == ["20261130T120000Z"]
    assert ("X-Amz-Security-Token" in given) == bool(session)


async def test_each_connection_has_a_new_token(
    postgres: PostgresServer, login: Rds, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted by a verification that is not botocore's; made with the credentials of that moment."""
    url = login.url(await postgres.create_database(migrated=False), ca_file)
    password = database_password(settings(url))
    await migrate_history(url, None, password)
    async with open_store(url, password=password, timeout_s=30) as store:
        await store.kept_since()
        before = len(login.passwords)
        earlier = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)  # within the same second they are equal
        with patch("botocore.auth.get_current_datetime", return_value=earlier):
            login.drop()

            async def told() -> str:
                try:
                    return str(await store.kept_since())
                except UpstreamUnavailable as error:
                    return error.message

            await becomes(told, "None")
    assert len(login.passwords) > before
    assert login.passwords[-1] != login.passwords[0]


async def test_a_token_that_is_refused(postgres: PostgresServer, login: Rds, ca_file: Path) -> None:
    """As a password is."""
    url = login.url(await postgres.create_database(), ca_file)
    login.secret = "another"
    async with open_store(url, password=database_password(settings(url)), timeout_s=30) as store:
        with pytest.raises(UpstreamUnavailable, match="refused the gateway's login"):
            await store.kept_since()


async def test_without_credentials(
    postgres: PostgresServer, login: Rds, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is down, with botocore's reason, until there are some."""
    for name in KEYS:
        monkeypatch.delenv(name)
    url = login.url(await postgres.create_database(), ca_file)
    async with open_store(url, password=database_password(settings(url)), timeout_s=30) as store:
        with pytest.raises(UpstreamUnavailable) as failed:
            await store.kept_since()
    assert failed.value.message == (
        "The history store needs a token of AWS IAM, and the gateway has no AWS credentials."
    )
    assert "no AWS credentials found in AWS_ACCESS_KEY_ID" in str(failed.value.detail)
    assert login.passwords == []


async def test_commands_and_the_service_use_it(
    postgres: PostgresServer, login: Rds, ca_file: Path, aws: Emulator, accounts_file: Path
) -> None:
    """migrate, check-config and serve, whose output and log have no part of a token that is secret."""
    login.secret = aws.environment()["AWS_SECRET_ACCESS_KEY"]
    given = {
        "TRANSFER_GATEWAY_HISTORY_URL": login.url(await postgres.create_database(migrated=False), ca_file),
        "TRANSFER_GATEWAY_HISTORY_IAM_AUTH": "true",
        "TRANSFER_GATEWAY_HISTORY_IAM_REGION": "eu-west-1",
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
        "TRANSFER_GATEWAY_LOG_LEVEL": "debug",
    }
    code, out, err = await run("migrate", **given)
    assert (code, len(login.passwords)) == (0, 1), err
    code, checked, warned = await run("check-config", "--assume", **given)
    assert (code, "history: ok" in checked) == (0, True), warned
    told = out + err + checked + warned
    used = len(login.passwords)
    async with started("serve", "--http-port", "0", **given) as serving:
        await until(lambda: len(login.passwords) > used)
        login.secret = "another"  # what it is told of a refusal is logged
        login.drop()
        await until(lambda: "history_store_unavailable" in serving.log_so_far())
        _, log = await serving.stop()
    assert len(login.passwords) > used
    for token in login.passwords:
        assert token not in told + log
        assert token.rpartition("=")[2] not in told + log


async def test_a_token_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever tells it; and only the latest ones cost a look at each line."""
    for name, value in (KEYS | SESSION).items():
        monkeypatch.setenv(name, value)
    own, tokens = OwnCredentials(), []
    for number in range(40):
        token = await database_token(own, f"host-{number}", 5432, user="gateway", region="eu-west-1")
        tokens.append(token)
        signature = token.rpartition("=")[2]
        assert redacted(f"refused {signature}") == f"refused {HIDDEN}"
        assert redacted_line(f"refused {signature}".encode()) == f"refused {HIDDEN}".encode()
        shown = redacted(f"refused {token}")
        assert signature not in shown
        assert "IQoJb3JpZ2lu" not in shown
    first = tokens[0].rpartition("=")[2]
    assert redacted(f"refused {first}") == f"refused {first}"
