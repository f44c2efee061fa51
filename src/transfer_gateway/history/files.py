"""The files that the settings of the history name."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from transfer_gateway.settings import ENV_PREFIX, ConfigurationError, DatabaseUrl

PAGE_BYTES = 4096
_MAGIC = b"SQLite format 3\0"


def check_history_files(url: str, password_file: Path | None) -> str | None:
    """Returns: the files that are good, if there are any. Raises: ConfigurationError."""
    if url.startswith("sqlite:///"):
        return str(_checked_path(url))
    if password_file is not None:
        check_password_file(password_file)
    files = [password_file, _checked_authorities(url) if url.startswith("postgres") else None]
    return ", ".join(str(file) for file in files if file is not None) or None


def _checked_authorities(url: str) -> Path | None:
    """The file that the server's certificate is verified by, which asyncpg reads for each connection."""
    read = DatabaseUrl.of(url)
    if not read.verifies:
        return None
    if read.ca_file is None:
        problem = f"sslmode={read.mode} needs sslrootcert, a file with the certificates of authorities"
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_URL: {problem}"])
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(read.ca_file)
    except OSError as error:
        why = "has no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_URL: sslrootcert {read.ca_file}: {why}"]) from None
    return read.ca_file


def check_password_file(path: Path) -> None:
    """Raises: ConfigurationError."""
    try:
        path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_PASSWORD_FILE: {path}: {why}"]) from None


def sqlite_file(url: str) -> Path:
    """The file of `sqlite:///path`, made if it is missing, for its owner alone. Raises: ConfigurationError."""
    path = _checked_path(url)
    # One that is there is not opened: to close it would give up the locks that SQLite has.
    with suppress(OSError):  # which the first use says
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    return path


def _checked_path(url: str) -> Path:
    path = Path("/" + unquote(urlsplit(url).path).lstrip("/"))
    if not path.parent.is_dir():
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_URL: there is no directory {path.parent}"])
    if path.is_dir():
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_URL: {path} is a directory"])
    if _is_foreign(path):
        raise ConfigurationError([f"{ENV_PREFIX}HISTORY_URL: {path} is not a SQLite database"])
    return path


def _is_foreign(path: Path) -> bool:
    """Whether it is somebody's file of another kind. A damaged history still consists of whole pages."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_MAGIC)) != _MAGIC and os.fstat(file.fileno()).st_size % PAGE_BYTES != 0
    return False
