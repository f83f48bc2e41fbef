"""What `facetrack edit` refuses to replace, and what it then tells its user, who has no --out."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import sample_run
import short_runs

from facetrack.api.edited_run import open_edited_run
from facetrack.api.editing import EditSession, PointEdit
from facetrack.errors import FacetrackError


def test_a_file_of_the_user_has_to_be_moved_before_corrections_are_saved(record: Path) -> None:
    session = EditSession.open(record)
    own = record.with_name("clip.uncorrected.npz")
    own.write_text("mine")
    before = record.with_suffix(".csv").read_bytes()
    with pytest.raises(FacetrackError, match=r"uncorrected\.npz exists") as refused:
        session.save()
    assert str(refused.value).endswith(": move the file away, and save again.")
    assert (own.read_text(), record.with_suffix(".csv").read_bytes()) == ("mine", before)
    own.unlink()
    session.save()
    assert own.is_file()


def test_corrections_are_saved_with_the_video_that_was_tracked(
    record: Path, clip: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes() + bytes(8))
    session = EditSession.open(record, video=other)
    with pytest.raises(FacetrackError, match=re.escape(f"holds the results of {clip}")) as refused:
        session.save()
    assert str(refused.value).endswith("another input: give that video as --video.")
    output = record.with_name("clip.overlay.mp4")
    shutil.copy(clip, output)
    session = EditSession.open(record, video=output)
    with pytest.raises(FacetrackError, match="is an input itself") as refused:
        session.save(overlay=True)
    assert str(refused.value).endswith(": give the video that was tracked as --video.")


def test_what_lies_beside_an_untracked_video_is_not_replaced(clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(clip.read_bytes() + bytes(8))
    elsewhere = "track the video with `facetrack track --out FOLDER`, and edit the run there."
    (tmp_path / "clip.csv").write_text("mine")
    with pytest.raises(FacetrackError, match=r"clip\.csv exists") as refused:
        open_edited_run(video)
    assert str(refused.value).endswith(f": move the file away, or {elsewhere}")
    (tmp_path / "clip.csv").unlink()
    sample_run.save_run(tmp_path, clip, short_runs.FRAMES)
    with pytest.raises(FacetrackError, match="another input") as refused:
        open_edited_run(video)
    assert str(refused.value).endswith(f": rename clip.mp4, or {elsewhere}")


def test_corrections_that_do_not_count_are_warned_of_until_they_do(record: Path) -> None:
    session = EditSession.open(record)
    session.correct(5, 0, [PointEdit(30, 60, 60)])
    assert session.warnings == []
    session.remove(3, 0, 8)
    (warning,) = session.warnings
    assert "points of face 0 in frame 5 do not count" in warning
    session.save()
    content = json.loads(record.read_text())
    assert content["warnings"] == content["corrections"]["warnings"] == [warning]
    session.remove(3, 0, 4)
    assert session.warnings == []
    session.restore(5, 0, [30])
    session.save()
    content = json.loads(record.read_text())
    assert content["warnings"] == content["corrections"]["warnings"] == []
