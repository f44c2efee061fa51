"""Settings from the environment and the command line, and which addresses they allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_gateway.settings import (
    ConfigurationError,
    Settings,
)


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from the environment; the command line wins; an empty variable counts as unset."""
    monkeypatch.setenv("TRANSFER_GATEWAY_ACCOUNTS_FILE", "a.yaml")
    monkeypatch.setenv("TRANSFER_GATEWAY_HTTP_PORT", "9000")
    monkeypatch.setenv("TRANSFER_GATEWAY_REQUEST_TIMEOUT_S", "")
    settings = Settings.from_environment()
    assert (settings.accounts_file, settings.http_port, settings.request_timeout_s) == (
        Path("a.yaml"),
        9000,
        10.0,
    )
    assert Settings.from_environment(http_port=1, accounts_file=None).http_port == 1


def test_wrong_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wrong variable is named, all at once."""
    monkeypatch.setenv("TRANSFER_GATEWAY_HTTP_PORT", "70000")
    monkeypatch.setenv("TRANSFER_GATEWAY_STS_REGION", "Ireland")
    monkeypatch.setenv("TRANSFER_GATEWAY_AUTH", "basic")
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment()
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        f"TRANSFER_GATEWAY_{name}" for name in ("ACCOUNTS_FILE", "AUTH", "HTTP_PORT", "STS_REGION")
    ]


def test_authentication_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word on it, callers are asked who they are; and what that takes is told."""
    monkeypatch.delenv("TRANSFER_GATEWAY_AUTH")
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment(accounts_file="a")
    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        f"TRANSFER_GATEWAY_{name}" for name in ("OIDC_ISSUERS", "OIDC_AUDIENCES", "POLICY_FILE")
    ]
    assert all("is required" in problem for problem in refused.value.problems)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_served(host: str) -> None:
    assert Settings.from_environment(accounts_file="a", http_host=host).http_host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "", " "])
def test_other_addresses_are_refused(host: str) -> None:
    """Without authentication the service can't be put where others reach it."""
    with pytest.raises(ConfigurationError, match=r"TRANSFER_GATEWAY_HTTP_HOST: .*loopback"):
        Settings.from_environment(accounts_file="a", http_host=host)
