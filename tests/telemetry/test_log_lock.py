"""The lock under which several processes write to one log."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from transfer_gateway.telemetry.log_lock import LogLock

if TYPE_CHECKING:
    from pathlib import Path


def test_one_holds_it_also_after_its_directory_was_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    one, other = LogLock(folder / "log.lock"), LogLock(folder / "log.lock")
    assert one.acquire(0)
    assert not other.acquire(0.02)
    one.release()
    shutil.rmtree(folder)
    assert other.acquire(0), "as long as there is no directory, the one that was opened"
    other.release()
    folder.mkdir()
    assert other.acquire(0)
    assert not one.acquire(0.02)
    other.release()
    assert one.acquire(0)
