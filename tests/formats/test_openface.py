"""Test OpenFace 2's CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facetrack.formats.openface import OpenFaceWriter
from facetrack.tracks import Tracks


def _tracks(points: int = 2, lost: bool = False) -> Tracks:
    xy = np.arange(2 * points * 2, dtype=np.float32).reshape(2, 1, points, 2) + 0.26
    if lost:
        xy[1, 0, 0] = np.nan
    return Tracks(
        xy=xy,
        visible=np.ones((2, 1, points), bool),
        confidence=np.full((2, 1, points), 0.976, np.float32),
        time=np.array([0.0, 1001 / 24000]),
        face_id=np.array([0]),
        scheme="68",
        size=(640, 480),
    )


def _lines(path: Path, tracks: Tracks) -> list[str]:
    with OpenFaceWriter(path) as writer:
        writer.write(tracks)
    return path.read_text().splitlines()


def test_header_of_68_points(tmp_path: Path) -> None:
    """The header is that of FeatureExtraction -2Dfp."""
    names = _lines(tmp_path / "a.csv", _tracks(68))[0]
    assert names.startswith("frame, face_id, timestamp, confidence, success, x_0, x_1, x_2, ")
    assert ", x_67, y_0, " in names
    assert names.endswith(", y_66, y_67")
    assert len(names.split(", ")) == 5 + 2 * 68


def test_rows(tmp_path: Path) -> None:
    """Frames are 1-based; values have 3, 2, 0 and 1 decimals; all x precede all y."""
    assert _lines(tmp_path / "a.csv", _tracks())[1:] == [
        "1, 0, 0.000, 0.98, 1, 0.3, 2.3, 1.3, 3.3",
        "2, 0, 0.042, 0.98, 1, 4.3, 6.3, 5.3, 7.3",
    ]


def test_unknown_point_is_zero_without_success(tmp_path: Path) -> None:
    assert _lines(tmp_path / "a.csv", _tracks(lost=True))[2] == (
        "2, 0, 0.042, 0.98, 0, 0.0, 6.3, 0.0, 7.3"
    )


def test_frame_counts_from_the_first_frame_of_the_video(tmp_path: Path) -> None:
    late = _tracks()
    object.__setattr__(late, "first_frame", 100)
    assert _lines(tmp_path / "a.csv", late)[1].startswith("101, ")
