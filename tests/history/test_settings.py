"""The settings of the history: what is refused, and that no password is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command import run
from transfer_gateway.domain.errors import UpstreamUnavailable
from transfer_gateway.history.store import open_store
from transfer_gateway.settings import ConfigurationError, MigrationSettings, Settings
from transfer_gateway.settings.secrets import environment_secrets
from wire import becomes

if TYPE_CHECKING:
    from postgres import PostgresServer

SECRET = "s3cret-pass/w,rd"
FORMS = "TRANSFER_GATEWAY_HISTORY_URL: must be `off`, `sqlite://`, `sqlite:///` with a file's absolute path"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite://history.db",
        "sqlite:///",
        "sqlite:///var/lib/",
        "sqlite:///file?mode=ro",
        "mysql://user:s3cret@host/database",
        "postgresql+asyncpg://user:s3cret@host/database",
        "history.db",
        "on",
    ],
)
def test_a_wrong_url_is_refused_with_the_forms(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        MigrationSettings.from_environment(history_url=url)
    (problem,) = refused.value.problems
    assert problem.startswith(FORMS)
    assert "s3cret" not in problem


def test_a_url_that_is_none_is_refused_without_being_told() -> None:
    with pytest.raises(ConfigurationError) as refused:
        MigrationSettings.from_environment(history_url="postgresql://user:s3c:ret/@host:port/database")
    assert refused.value.problems[0].startswith("TRANSFER_GATEWAY_HISTORY_URL: is not a URL: must be")
    assert "s3c" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "off",
        "sqlite://",
        "sqlite:///var/lib/history.db",
        "sqlite:////var/lib/history.db",
        "postgresql://user@host/database?sslmode=verify-full",
        "postgres://user:word@one:5432,two:5433/database?target_session_attrs=read-write",
        "postgresql:///database?host=/run/postgresql",
    ],
)
def test_urls_that_are_accepted(url: str) -> None:
    settings = MigrationSettings.from_environment(history_url=url)
    assert settings.history_url == url
    assert url not in repr(settings)


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://user:word@host/database"])
def test_a_password_file_is_for_a_url_that_needs_it(url: str) -> None:
    with pytest.raises(
        ConfigurationError, match="HISTORY_PASSWORD_FILE: needs TRANSFER_GATEWAY_HISTORY_URL to be"
    ):
        MigrationSettings.from_environment(history_url=url, history_password_file=Path("/password"))


def test_the_password_of_the_url_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user and the parameters are not: they are words that occur elsewhere."""
    url = f"postgresql://gateway:{SECRET}@one,two/history?sslmode=verify-full&sslpassword=key-pass"
    monkeypatch.setenv("TRANSFER_GATEWAY_HISTORY_URL", url)
    assert environment_secrets() == {SECRET, "key-pass"}
    monkeypatch.setenv("TRANSFER_GATEWAY_HISTORY_URL", "postgresql://transfer_gateway@host/history")
    assert environment_secrets() == frozenset()


async def test_no_command_tells_the_password(accounts_file: Path) -> None:
    environment = {
        "TRANSFER_GATEWAY_HISTORY_URL": "postgresql://gateway:s3cret-word@127.0.0.1:1/history",
        "TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file),
    }
    for command in (["migrate"], ["check-config"]):
        _, out, err = await run(*command, **environment)
        assert "s3cret-word" not in out + err
    code, _, err = await run("migrate", **environment)
    assert code == 1
    assert err.startswith("error: The history store can't be reached. Connection refused")


async def test_the_password_is_read_again_for_each_connection(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """So that it may change. The server asks for one from this user only."""
    url = await postgres.create_database()
    await postgres.require_password("reader", "first-word")
    password = tmp_path / "password"
    password.write_text("wrong-word\n")
    async with open_store(url.replace("gateway@", "reader@"), password_file=password, timeout_s=30) as store:
        with pytest.raises(UpstreamUnavailable, match="refused the gateway's login"):
            await store.kept_since()
        password.write_text("first-word\n")

        async def outcome() -> str:
            try:
                return str(await store.kept_since())
            except UpstreamUnavailable as error:
                return error.message

        await becomes(outcome, "The history store has not granted the gateway's user its tables.")


async def test_a_password_that_is_rotated(postgres: PostgresServer, tmp_path: Path) -> None:
    """Open connections stay; once they are gone, the next one takes the file's new password."""
    url = await postgres.create_database()
    await postgres.require_password("rotated", "first-word")
    password = tmp_path / "password"
    password.write_text("first-word\n")
    administrator = await postgres.connect(url.partition("?")[0].rpartition("/")[2])
    await administrator.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO rotated")
    try:
        async with open_store(
            url.replace("gateway@", "rotated@"), password_file=password, timeout_s=30
        ) as store:

            async def outcome() -> str:
                try:
                    return str(await store.kept_since())
                except UpstreamUnavailable as error:
                    return error.message

            assert await outcome() == "None"
            await administrator.execute("ALTER USER rotated PASSWORD 'second-word'")
            assert await outcome() == "None"
            await administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotated'"
            )
            await becomes(outcome, "The history store refused the gateway's login.")
            password.write_text("second-word\n")
            await becomes(outcome, "None")
    finally:
        await administrator.close()


async def test_check_config_names_the_file(accounts_file: Path, tmp_path: Path) -> None:
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, _ = await run(
        "check-config", TRANSFER_GATEWAY_HISTORY_URL=f"sqlite://{tmp_path}/history.db", **environment
    )
    assert (code, f"{tmp_path}/history.db: ok" in out) == (0, True)
    code, _, err = await run(
        "check-config", TRANSFER_GATEWAY_HISTORY_URL=f"sqlite://{tmp_path}/none/history.db", **environment
    )
    assert code == 2
    assert f"TRANSFER_GATEWAY_HISTORY_URL: there is no directory {tmp_path}/none" in err


def test_the_settings_have_the_history() -> None:
    assert set(MigrationSettings.model_fields) < set(Settings.model_fields)
