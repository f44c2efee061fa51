"""Temporary directories: who removes them, and who must not."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from transfer_gateway.temporary_folder import TemporaryFolder, temporary_folder

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal
from transfer_gateway.temporary_folder import temporary_folder
with temporary_folder() as folder:
    (folder.path / "history.db").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def in_tmp_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """By the next one, which leaves what is in use, and what is none of ours."""
    (tmp_path / "transfer-gateway").mkdir()
    (tmp_path / "transfer-gateway.file").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    (tmp_path / "transfer-gateway.link").symlink_to(elsewhere)
    (tmp_path / "transfer-gateway.open").mkdir()  # others may enter it, so we have not made it
    others = set(tmp_path.iterdir())
    with temporary_folder() as living:
        subprocess.run([sys.executable, "-c", KILLED], check=False)  # noqa: S603  our own
        (left,) = set(tmp_path.iterdir()) - others - {living.path}
        assert [path.name for path in left.iterdir()] == ["history.db"]
        with temporary_folder() as later:
            assert set(tmp_path.iterdir()) == others | {living.path, later.path}
    assert set(tmp_path.iterdir()) == others


def test_one_is_in_use_as_long_as_any_process_has_it(tmp_path: Path) -> None:
    """A worker outlives its parent by the time in which it shuts down; one that was removed is held anew."""
    with temporary_folder() as parents:
        workers = TemporaryFolder(parents.path)
        workers.hold()
        parents.let_go()
        with temporary_folder():
            assert parents.path.is_dir()
        parents.path.rmdir()
        workers.hold()
        with temporary_folder():
            assert parents.path.is_dir()
        workers.let_go()
        with temporary_folder():
            assert not parents.path.exists()
    assert list(tmp_path.iterdir()) == []
