"""What a URL of PostgreSQL means: its security, and what AWS IAM needs of it."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from asyncpg import connect_utils

from certificates import Authority
from transfer_gateway.settings import ConfigurationError, DatabaseUrl, MigrationSettings

RDS = "history.cluster-abc123.eu-west-1.rds.amazonaws.com"


@pytest.fixture(autouse=True)
def without_libpqs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", os.devnull)


def weakness(parameters: str, host: str = "db.example.com") -> str | None:
    return MigrationSettings.from_environment(
        history_url=f"postgresql://gateway@{host}/history{parameters}"
    ).history_weakness


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("", "may not be encrypted, and the server is not verified (sslmode=prefer)"),
        ("?sslmode=disable", "is not encrypted, and the server is not verified (sslmode=disable)"),
        ("?sslmode=allow", "may not be encrypted, and the server is not verified (sslmode=allow)"),
        ("?sslmode=require", "is encrypted, but the server is not verified (sslmode=require)"),
        (
            "?sslmode=require&sslrootcert=/ca",
            "any server with a certificate of the same authority is accepted",
        ),
        (
            "?sslmode=verify_ca&sslrootcert=/ca",
            "any server with a certificate of the same authority is accepted",
        ),
    ],
)
def test_what_is_not_verified_is_told(parameters: str, told: str) -> None:
    problem = weakness(parameters)
    assert problem is not None
    assert told in problem
    assert problem.startswith("TRANSFER_GATEWAY_HISTORY_URL: the connection to db.example.com ")


def test_what_is_verified_or_near_is_not() -> None:
    assert weakness("?sslmode=verify-full&sslrootcert=/ca") is None
    for host in ("localhost", "127.0.0.1:5433", "[::1]:5432", ""):
        assert weakness("", host) is None
    assert weakness("?host=/run/postgresql", "") is None
    assert weakness("?host=/run/postgresql,db.example.com", "") is not None
    assert weakness("", "localhost,db.example.com") is not None
    for url in ("off", "sqlite://", "sqlite:///var/lib/history.db"):
        assert MigrationSettings.from_environment(history_url=url).history_weakness is None


def test_libpqs_variables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncpg reads them; a service's file is not read here, and so what it says is not relied on."""
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert weakness("") is None
    assert weakness("?service=history") is not None
    monkeypatch.setenv("PGHOST", "db.example.com")
    assert weakness("?sslmode=require", "") is not None


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r'sslmode must be one of disable, .*; got "verify"'):
        weakness("?sslmode=verify")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://user@one:5433/history", (("one",), 5433, "user", False)),
        ("postgresql://us%40er:word@one/history", (("one",), 5432, "us@er", True)),
        ("postgresql:///history?host=one&port=5433&user=user&password=word", (("one",), 5433, "user", True)),
        ("postgresql://user@one:5433,two/history", (("one", "two"), 5433, "user", False)),
        ("postgresql://[::1]:5433/history", (("::1",), 5433, None, False)),
        ("postgresql:///history", ((), 5432, None, False)),
    ],
)
def test_parts(url: str, expected: tuple[object, ...]) -> None:
    read = DatabaseUrl.of(url)
    assert (read.hosts, read.port, read.user, read.has_password) == expected


@pytest.mark.parametrize("sslmode", ["", "?sslmode=require", "?sslmode=verify_full", "?sslmode=verify-ca"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user@one:5433/history",
        "postgresql://us%40er:word@one,two:5434/history",
        "postgresql://user@[::1]/history",
        "postgresql://user@%2Frun%2Fpostgresql/history",
        "postgresql:///history?host=one,two&port=5433,5434&user=user",
        "postgresql://user@one:5433/history?host=two&port=5434&user=another",
        "postgresql://user@/history",
    ],
)
@pytest.mark.parametrize("environment", [{}, {"PGHOST": "three", "PGPORT": "5435", "PGSSLMODE": "allow"}])
def test_as_asyncpg_reads_it(
    url: str, sslmode: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "ca.crt").write_bytes(Authority().pem)
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "ca.crt"))
    whole = url + (sslmode.replace("?", "&") if "?" in url else sslmode)
    parse: Any = vars(connect_utils)["_parse_connect_dsn_and_args"]
    addresses, parameters = parse(**dict.fromkeys(inspect.signature(parse).parameters) | {"dsn": whole})
    read = DatabaseUrl.of(whole)
    near = [each for each in addresses if isinstance(each, str) or each[0] == "localhost"]
    if read.hosts:
        places = [each if isinstance(each, str) else each[0] for each in addresses]
        assert [place.partition("/.s.PGSQL")[0] for place in places] == list(read.hosts)
        if not read.hosts[0].startswith("/"):
            assert addresses[0][1] == read.port
    else:
        assert near == addresses
    assert parameters.user == read.user
    if (
        sslmode or environment or not read.hosts or not read.hosts[0].startswith("/")
    ):  # else a socket's default
        assert parameters.sslmode.name.replace("_", "-") == read.mode


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (RDS, "eu-west-1"),
        ("history.abc123.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("history.proxy-abc123.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
        ("history.abc123.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("history.global-abc123.global.rds.amazonaws.com", None),
        ("db.example.com", None),
        ("eu-west-1.rds.amazonaws.com.example.com", None),
    ],
)
def test_the_region_of_a_host(host: str, region: str | None) -> None:
    assert DatabaseUrl.of(f"postgresql://user@{host}/history").region == region


@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        (f"postgresql://user@{RDS}/history?sslmode=verify-full", {}, None),
        ("postgresql://user@db/history?sslmode=verify-full", {"history_iam_region": "eu-west-1"}, None),
        ("sqlite://", {}, "needs TRANSFER_GATEWAY_HISTORY_URL to be `postgresql://`"),
        (f"postgresql://user@{RDS}/history", {}, "needs sslmode=verify-full in TRANSFER_GATEWAY_HISTORY_URL"),
        (f"postgresql://user@{RDS}/history?sslmode=require", {}, "no other server may get the token"),
        (f"postgresql://user:s3cret@{RDS}/history?sslmode=verify-full", {}, "a token is the password"),
        (
            f"postgresql://user@{RDS}/history?sslmode=verify-full",
            {"history_password_file": Path("/password")},
            "a token is the password: unset TRANSFER_GATEWAY_HISTORY_PASSWORD_FILE",
        ),
        (f"postgresql://{RDS}/history?sslmode=verify-full", {}, "needs a user and one host name"),
        (f"postgresql://user@{RDS},{RDS}/history?sslmode=verify-full", {}, "needs a user and one host name"),
        ("postgresql://user@/history?host=/run&sslmode=verify-full", {}, "needs a user and one host name"),
        (
            "postgresql://user@db.example.com/history?sslmode=verify-full",
            {},
            "needs TRANSFER_GATEWAY_HISTORY_IAM_REGION: db.example.com does not name a region",
        ),
    ],
)
def test_iam_needs_a_url(url: str, given: dict[str, object], told: str | None) -> None:
    try:
        MigrationSettings.from_environment(history_url=url, history_iam_auth=True, **given)
    except ConfigurationError as error:
        (problem,) = error.problems
        assert told is not None
        assert problem.startswith("TRANSFER_GATEWAY_HISTORY_IAM_AUTH: ")
        assert told in problem
        assert "s3cret" not in problem
    else:
        assert told is None


def test_libpqs_variable_is_not_enough_for_iam(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's file may overrule it."""
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with pytest.raises(ConfigurationError, match="needs sslmode=verify-full"):
        MigrationSettings.from_environment(
            history_url=f"postgresql://user@{RDS}/history", history_iam_auth=True
        )
