"""A file lock that one of several processes holds while it writes to the log."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from transfer_gateway.temporary_folder import is_at

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_AGAIN_S = 0.005


class LogLock:
    """Each process opens the file by itself, since a lock belongs to what was opened.

    If the file is removed, all use the one that is made in its place.
    """

    def __init__(self, path: Path) -> None:
        """Raises: OSError."""
        self._path = path
        self._file = self._opened()

    def acquire(self, within_s: float) -> bool:
        """Returns: whether no other process holds it now."""
        until = time.monotonic() + within_s
        while True:
            with suppress(OSError):  # its directory is not made again yet
                if not is_at(self._file, self._path):
                    file = self._opened()
                    os.close(self._file)
                    self._file = file
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_LOOK_AGAIN_S)
            else:
                return True

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def _opened(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
