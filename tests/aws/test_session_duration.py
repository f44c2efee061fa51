"""Sessions shorter than configured: how STS rejects the duration, and how that is reported."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from command import run, started
from transfer_emulator import Emulator, Role, World
from wire import GUARDED, HOME, PLAIN, REGION, calling

if TYPE_CHECKING:
    from pathlib import Path

LONG_S = 7200


@pytest.fixture
def world() -> World:
    """Two roles, one of which allows sessions of two hours."""
    world = World(home_account_id=HOME, regions=(REGION, "us-east-1"))
    trusted = (HOME,)
    world.add_account(PLAIN, roles=[Role("TransferGatewayReader", trusted, max_session_duration_s=LONG_S)])
    world.add_account(GUARDED, roles=[Role("TransferGatewayReader", trusted)])
    return world


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.yaml"
    path.write_text(
        f"""
defaults: {{ regions: [{REGION}, us-east-1], session_duration_s: {LONG_S} }}
accounts: [{{ id: "{PLAIN}" }}, {{ id: "{GUARDED}" }}]
"""
    )
    return path


@pytest.fixture
def as_role(aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's own credentials are a role's, as on EKS and ECS."""
    key = aws.world.keys.open_session(Role("Gateway"), HOME, "pod", time.time() + 3600)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key.secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", key.token or "")


def lifetimes(aws: Emulator) -> dict[str, int]:
    """The duration of each account's sessions, in minutes."""
    return {
        key.caller.account_id: round(((key.expires_at or 0) - time.time()) / 60)
        for key in aws.world.keys._sessions.values()
        if key.caller.account_id != HOME
    }


async def test_a_role_allows_less(aws: Emulator, accounts_file: Path) -> None:
    """If a role allows an hour only, its sessions last an hour, with one warning; other roles' last as configured."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, [line.split().count("ok") for line in out.splitlines()]) == (0, [1] * 5)
    assert err == (
        f"warning: account {GUARDED}: sessions last 3600 s, not session_duration_s of 7200: "
        "the role's MaxSessionDuration is less than that\n"
    )
    assert lifetimes(aws) == {PLAIN: 120, GUARDED: 60}
    assert aws.calls.count(operation="AssumeRole") == 3


@pytest.mark.usefixtures("as_role")
async def test_check_config_with_credentials_of_a_role(aws: Emulator, accounts_file: Path) -> None:
    """AWS's limit for chained roles applies to every account: sessions last an hour, with one warning."""
    environment = {"TRANSFER_GATEWAY_ACCOUNTS_FILE": str(accounts_file)}
    code, out, err = await run("check-config", "--assume", **environment)
    assert (code, [line.split().count("ok") for line in out.splitlines()]) == (0, [1] * 5)
    assert err == (
        "warning: sessions last 3600 s, not session_duration_s of 7200: "
        "the gateway's own credentials are a role's, and AWS limits role chaining to that\n"
    )
    assert lifetimes(aws) == {PLAIN: 60, GUARDED: 60}


@pytest.mark.usefixtures("as_role")
async def test_serving_with_credentials_of_a_role(aws: Emulator, accounts_file: Path) -> None:
    """The service serves every account, and warns once."""
    async with started(
        "serve", "--http-port", "0", TRANSFER_GATEWAY_ACCOUNTS_FILE=str(accounts_file)
    ) as serving:
        async with calling(serving.url) as gateway:
            answer = await gateway.ask("{ inProgressExecutions { targetFailures { error { code } } } }")
        assert answer == {"data": {"inProgressExecutions": {"targetFailures": []}}}
        _, log = await serving.stop()
    limited = [
        event for event in map(json.loads, log.splitlines()) if event["event"] == "session_duration_limited"
    ]
    chained = [event for event in limited if event["account"] == "all"]
    assert [(event["asked_s"], event["limit_s"], event["level"]) for event in chained] == [
        (7200, 3600, "warning")
    ]
    assert len(limited) <= 2  # the emulator looks at a role's own limit first
    assert "role_not_assumed" not in log
    assert lifetimes(aws) == {PLAIN: 60, GUARDED: 60}
