"""Temporary directories that end with the processes that use them, even if those are killed.

Each of these processes holds a shared lock on the directory. One that nobody holds has been left behind, and the next
process that makes one removes it. systemd-tmpfiles leaves a locked directory alone, too; other cleaners may not, and
then it is made again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "transfer-gateway."
_TRIES = 10


@contextmanager
def temporary_folder() -> Iterator[TemporaryFolder]:
    """A new one, removed at the end. Raises: OSError."""
    _remove_abandoned()
    folder = TemporaryFolder(Path(tempfile.mkdtemp(prefix=_PREFIX)))
    try:
        folder.hold()
        yield folder
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.let_go()


class TemporaryFolder:
    """A directory for this user alone, made by this process or its parent. Threads may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Keep it from being removed as long as this process lives. If it is gone, make it again. Raises: OSError."""
        with self._lock:
            if self._held is not None and is_at(self._held, self.path):
                return
            held = _made_and_locked(self.path)
            self._close()
            self._held = held

    def let_go(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _made_and_locked(path: Path) -> int:
    """Returns: its descriptor. Raises: OSError, if it belongs to others, who could read what is written there."""
    for _ in range(_TRIES):  # another process may just be removing it, since nobody had locked it yet
        with suppress(FileExistsError):
            path.mkdir(0o700)
        with suppress(FileNotFoundError):
            opened = _opened(path)
            try:
                fcntl.flock(opened, fcntl.LOCK_SH)
                if is_at(opened, path):
                    return opened
            except BaseException:
                os.close(opened)
                raise
            os.close(opened)
    raise FileNotFoundError(f"{path} is removed again and again")


def _opened(path: Path) -> int:
    """Raises: OSError, if it is no directory of this user alone."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(opened)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(opened)
        raise PermissionError(f"{path} is not this user's alone")
    return opened


def is_at(descriptor: int, path: Path) -> bool:
    """Whether that path leads to what was opened. Raises: OSError."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _remove_abandoned() -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it belongs to others, is in use, or has been removed meanwhile
            opened = _opened(path)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(opened)
