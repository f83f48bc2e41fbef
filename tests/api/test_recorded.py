"""What a record says is found again."""

from __future__ import annotations

from pathlib import Path

import pytest
from closed_folders import close

from facetrack.api.recorded import present_video
from facetrack.errors import FacetrackError


def test_the_video_is_where_the_record_says_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    record = {"input": {"path": "gone/a.mp4", "absolute_path": str(tmp_path / "a.mp4")}}
    with pytest.raises(FacetrackError, match=r"gone/a\.mp4 is gone: .* --video"):
        present_video(record, tmp_path / "runs")
    (tmp_path / "runs" / "a.mp4").touch()
    assert present_video(record, tmp_path / "runs") == tmp_path / "runs" / "a.mp4"
    (tmp_path / "a.mp4").touch()
    assert present_video(record, tmp_path / "runs") == tmp_path / "a.mp4"


def test_a_named_video_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"There is no .*b\.mp4; check the path"):
        present_video({}, tmp_path, tmp_path / "b.mp4")


def test_a_video_in_a_closed_folder_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "videos").mkdir()
    path = tmp_path / "videos" / "a.mp4"
    path.touch()
    close(path.parent, monkeypatch)
    record = {"input": {"path": "a.mp4", "absolute_path": str(path)}}
    for run in ((record, tmp_path), ({}, tmp_path, path)):
        with pytest.raises(FacetrackError, match=r"may not enter the folder .*videos"):
            present_video(*run)
