"""Which pictures and videos names stand for."""

from __future__ import annotations

from pathlib import Path

import pytest

from facetrack.errors import FacetrackError
from facetrack.images.pose_inputs import find_inputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in/sub").mkdir(parents=True)
    names = ["b10.png", "b2.png", "a.mp4", "a.overlay.mp4", "b2.overlay.png", ".c.png", "n.txt"]
    for name in names:
        (tmp_path / "in" / name).touch()
    return Path("in")


def test_a_folder_holds_pictures_and_videos_but_no_overlays(folder: Path) -> None:
    assert find_inputs([folder]) == [folder / name for name in ("a.mp4", "b2.png", "b10.png")]


def test_patterns_and_files_are_taken_once_in_order(folder: Path) -> None:
    found = find_inputs([folder / "b*.png", folder / "n.txt", "in/../in/b2.png", "none.mp4"])
    assert found == [
        *(folder / name for name in ("b2.png", "b10.png", "n.txt")),
        Path("none.mp4"),
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("in/sub", "is a folder without pictures or videos"),
        ("in/*.gif", "matches no pictures or videos"),
        ("", "name is empty"),
        ("rtsp://me:hidden@127.0.0.1/x", "rtsp://127.0.0.1/x is a live source"),
        ("-", "standard input is a live source"),
    ],
)
def test_what_is_no_input_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(FacetrackError, match=message) as caught:
        find_inputs([name])
    assert "hidden" not in str(caught.value)
