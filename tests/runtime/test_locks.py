"""A folder has one user at a time, and a user that was killed keeps nobody out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from program import holder

from facetrack.runtime import locks
from facetrack.runtime.locks import LOCK, holding

pytest.importorskip("fcntl")

HOLD = """
import sys
from pathlib import Path
from facetrack.runtime.locks import holding
with holding(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_once_and_deleted_if_empty(tmp_path: Path) -> None:
    folder = tmp_path / "a/b"
    with holding(folder):
        with pytest.raises(BlockingIOError), holding(folder):
            pass
        assert os.listdir(folder) == [LOCK]
    assert os.listdir(tmp_path / "a") == []
    with holding(folder):
        (folder / "state").touch()
    assert os.listdir(folder) == ["state"]


def test_a_killed_user_keeps_nobody_out(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with (
        holder(HOLD, folder, tmp_path / "bin"),
        pytest.raises(BlockingIOError),
        holding(folder),
    ):
        pass
    assert os.listdir(folder) == [LOCK]
    with holding(folder):
        pass
    assert not folder.exists()


def test_a_lock_that_was_deleted_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, acquired = tmp_path / "a", []
    acquire = locks.acquire

    def after_its_deletion(file):
        if not acquired:
            (folder / LOCK).unlink()
            folder.rmdir()
        acquired.append(file.name)
        return acquire(file)

    monkeypatch.setattr(locks, "acquire", after_its_deletion)
    with holding(folder):
        assert (folder / LOCK).exists()
    assert len(acquired) == 2


def test_folders_without_locks_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_):
        raise OSError("no locks")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    with holding(tmp_path / "a"), holding(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(locks, "fcntl", None)
    with holding(tmp_path / "a"):
        assert os.listdir(tmp_path) == []
