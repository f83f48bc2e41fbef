"""A run has one page's server at a time."""

from __future__ import annotations

import os

import filelock
import pytest
import requests
import sample_run
from edit_servers import open_session
from program import holder
from typer.testing import CliRunner

from facetrack.cli import app
from facetrack.editor.lock import EditLock
from facetrack.editor.server import EditServer
from facetrack.errors import FacetrackError

HOLD = """
import sys
from pathlib import Path
from facetrack.editor.lock import EditLock
lock = EditLock(Path(sys.argv[1]), "clip")
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def correct(editing):
    return editing.post(
        "correct", frame=4, face=0, points=[{"point": 30, "x": 70.0, "y": 71.0}]
    ).json()


def test_a_second_server_of_the_run_is_refused(editing, tmp_path, monkeypatch):
    monkeypatch.setattr(EditServer, "wait", lambda self, should_end: None)  # should it not be
    correct(editing)
    before = editing.session.corrections_path.read_bytes()
    result = CliRunner().invoke(app, ["edit", str(editing.record), "--no-browser"])
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("facetrack: clip is open in another facetrack edit: ")
    # Also under another name of the folder.
    (tmp_path / "link").symlink_to(editing.record.parent, target_is_directory=True)
    with pytest.raises(FacetrackError, match="open in another"):
        EditServer(open_session(tmp_path / "link" / editing.record.name))
    # The first one goes on, and nothing is lost.
    assert editing.session.corrections_path.read_bytes() == before
    assert len(editing.get("state").json()["corrections"]) == 1
    assert correct(editing)["revision"] == 2


def test_another_run_in_the_folder_has_its_own_page(editing):
    lock = EditLock(editing.record.parent, "other")
    lock.acquire()
    lock.release()


def test_a_run_can_be_edited_again_after_the_end(editing):
    editing.server.stop()
    again = EditServer(open_session(editing.record))
    again.start()
    try:
        assert requests.get(again.url + "state", timeout=60).status_code == 200
    finally:
        again.stop()


def test_a_killed_server_leaves_the_run_free(clip, tmp_path):
    folder = sample_run.save_run(tmp_path / "run", clip).parent
    held = EditLock(folder, "clip")
    with holder(HOLD, folder, tmp_path / "bin"), pytest.raises(FacetrackError):
        held.acquire()
    held.acquire()
    held.release()


@pytest.mark.parametrize("error", [OSError("read-only"), NotImplementedError("no flock")])
def test_a_folder_without_locks_can_be_edited(tmp_path, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    lock = EditLock(tmp_path, "clip")
    lock.acquire()
    lock.release()
    assert os.listdir(tmp_path) == []
