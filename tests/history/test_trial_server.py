"""k8s/overlays/postgresql-trial on Debian's PostgreSQL: its options, rules and first script, and a pod's start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from ruamel.yaml import YAML

from pages import ROOT, fenced, section
from postgres import PostgresServer, needs_tls
from transfer_gateway.history.migrate import try_history
from wire import becomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

TRIAL = ROOT / "k8s" / "overlays" / "postgresql-trial"
NAME, PASSWORD = "transfer-gateway-postgresql", "made-of-letters"


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path)
    return loaded


def in_folder(folder: Path, text: str) -> str:
    """The pod's places, here in a folder."""
    return text.replace("/etc/postgresql/", f"{folder}/").replace("/etc/transfer-gateway/", f"{folder}/")


def sh(script: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  the repository's own
        ["/bin/sh", "-ec", script],
        cwd=folder,
        env=os.environ | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """The server as the StatefulSet starts it, after the image's first start."""
    (container,) = read(TRIAL / "stateful-set.yaml")["spec"]["template"]["spec"]["containers"]
    with PostgresServer.on_loopback() as server:
        for name in ("tls", "server", "password", "postgresql-ca"):
            (server.folder / name).mkdir()
        shutil.copy(TRIAL / "pg_hba.conf", server.folder / "server")
        (server.folder / "password" / "password").write_text(PASSWORD)
        (certificate,) = fenced(section(ROOT / "k8s" / "README.md", "One to try it out"), "sh")
        command = certificate[certificate.index("openssl req") :].partition("kubectl")[0]
        made = sh(command.replace(NAME, "localhost"), server.folder / "tls", {})
        assert made.returncode == 0, made.stderr
        shutil.copy(server.folder / "tls" / "tls.crt", server.folder / "postgresql-ca" / "ca.crt")
        (server.folder / "tls" / "tls.key").chmod(0o600)
        for file in (server.folder / "tls").iterdir():
            shutil.chown(file, server.folder.stat().st_uid, server.folder.stat().st_gid)
        await (await server.connect()).close()  # one that is told to stop while it starts may not hear it
        server.stop()
        server.set_options(in_folder(server.folder, option) for option in container["args"])
        server.start()
        await (await server.connect()).close()
        script = in_folder(server.folder, (TRIAL / "owner.sql").read_text())
        psql = f"{os.environ['POSTGRES_BIN']}/psql --set=ON_ERROR_STOP=1 '{server.url()}'"
        made = sh(f"{psql} <<'SQL'\n{script}\nSQL", server.folder, {})
        assert made.returncode == 0, made.stderr
        yield server


def pod_settings(server: PostgresServer) -> dict[str, str]:
    lines = [
        line
        for overlay in ("postgresql", "postgresql-trial")
        for line in (TRIAL.parent / overlay / "settings.env").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    settings = dict(line.split("=", 1) for line in lines)
    settings["TRANSFER_GATEWAY_HISTORY_PASSWORD_FILE"] = f"{server.folder}/password/password"
    return {
        name: in_folder(server.folder, value).replace(f"{NAME}:5432", f"localhost:{server.port}")
        for name, value in settings.items()
    }


def migration() -> str:
    pod = read(ROOT / "k8s" / "components" / "postgresql" / "deployment.yaml")["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    shell, option, script = container["command"]
    assert (shell, option) == ("sh", "-c")
    return str(script)


def start(server: PostgresServer, settings: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """The init container, whose pauses take no time."""
    bin_ = server.folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "sleep").write_text("#!/bin/sh\necho paused >&2\n")
    (bin_ / "sleep").chmod(0o755)
    path = f"{bin_}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return sh(migration(), server.folder, {**settings, "PATH": path})


@needs_tls
async def test_a_pod_starts(trial: PostgresServer) -> None:
    """Its init container makes the tables, with the index of trigrams; again it changes nothing."""
    settings = pod_settings(trial)
    first = start(trial, settings)
    assert (first.returncode, first.stdout.startswith("history: empty")) == (0, True), first.stderr
    assert first.stderr == ""  # no word of trigrams that are missing
    again = start(trial, settings)
    assert (again.returncode, again.stdout.endswith("up to date\n")) == (0, True), again.stderr
    url = settings["TRANSFER_GATEWAY_HISTORY_URL"]
    await try_history(url, Path(settings["TRANSFER_GATEWAY_HISTORY_PASSWORD_FILE"]), 30)
    assert PASSWORD not in url


@needs_tls
async def test_a_pod_starts_without_its_database(trial: PostgresServer) -> None:
    """After trying six times. Configuration that can't work ends it at once."""
    settings = pod_settings(trial)
    trial.stop()
    down = start(trial, settings)
    assert (down.returncode, down.stderr.count("paused")) == (0, 6)
    assert down.stderr.count("error: The history store can't be reached.") == 6
    wrong = start(trial, settings | {"TRANSFER_GATEWAY_HISTORY_PASSWORD_FILE": "/nowhere"})
    assert (wrong.returncode, wrong.stderr.count("paused")) == (2, 0)


@needs_tls
async def test_who_may_connect(trial: PostgresServer) -> None:
    """By the network only the gateway's user, with its password, by TLS, and to its own database."""

    async def refused(user: str, database: str, password: str, *, ssl: bool = True) -> str:
        try:
            connection = await asyncpg.connect(
                host="localhost",
                port=int(trial.port),
                user=user,
                database=database,
                password=password,
                ssl="require" if ssl else "disable",
            )
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            return type(error).__name__
        await connection.close()
        return ""

    gateway = "transfer_gateway"
    await becomes(lambda: refused(gateway, gateway, PASSWORD), "")
    assert await refused(gateway, gateway, "another") == "InvalidPasswordError"
    assert await refused(gateway, gateway, PASSWORD, ssl=False) == "InvalidAuthorizationSpecificationError"
    assert await refused(gateway, "postgres", PASSWORD) == "InvalidAuthorizationSpecificationError"
    assert await refused("gateway", gateway, PASSWORD) == "InvalidAuthorizationSpecificationError"
