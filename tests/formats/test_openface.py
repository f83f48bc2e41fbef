"""Test OpenFace 2's CSV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from facetrack.formats.openface import OpenFaceWriter
from facetrack.measures import face_model, rotations
from facetrack.measures.pose import Camera
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
        scheme="68" if points == 68 else f"points-{points}",
        size=(640, 480),
    )


def _lines(path: Path, tracks: Tracks) -> list[str]:
    with OpenFaceWriter(path) as writer:
        writer.write(tracks)
    return path.read_text().splitlines()


def test_header_of_68_points(tmp_path: Path) -> None:
    """The header is that of FeatureExtraction -pose -2Dfp."""
    names = _lines(tmp_path / "a.csv", _tracks(68))[0]
    assert names.startswith(
        "frame, face_id, timestamp, confidence, success, "
        "pose_Tx, pose_Ty, pose_Tz, pose_Rx, pose_Ry, pose_Rz, x_0, x_1, x_2, "
    )
    assert ", x_67, y_0, " in names
    assert names.endswith(", y_66, y_67")
    assert len(names.split(", ")) == 11 + 2 * 68


def test_rows(tmp_path: Path) -> None:
    """Frames are 1-based; values have 3, 2, 0 and 1 decimals; all x precede all y."""
    assert _lines(tmp_path / "a.csv", _tracks())[1:] == [
        "1, 0, 0.000, 0.98, 1, 0.3, 2.3, 1.3, 3.3",
        "2, 0, 0.042, 0.98, 1, 4.3, 6.3, 5.3, 7.3",
    ]


def test_header_of_a_layout_without_pose(tmp_path: Path) -> None:
    names = _lines(tmp_path / "a.csv", _tracks(2))[0]
    assert names == "frame, face_id, timestamp, confidence, success, x_0, x_1, y_0, y_1"


def _head(count: int, faces: int = 1) -> tuple[Tracks, np.ndarray, np.ndarray]:
    """Tracks of heads that turn, with their angles (T, 3) and places (T, 3)."""
    angles = np.radians(np.linspace((-5, -20, 3), (10, 25, -8), count))
    places = np.linspace((-40, 20, 500), (60, -10, 700), count)
    turned = np.einsum("tab,ib->tia", rotations.from_angles(angles), face_model.load().mean)
    xy = Camera.of_frame((640, 480)).project(turned + places[:, None]).astype(np.float32)
    shape = (count, faces, 68)
    tracks = Tracks(
        xy=np.repeat(xy[:, None], faces, axis=1),
        visible=np.ones(shape, bool),
        confidence=np.ones(shape, np.float32),
        time=np.arange(count) / 25,
        face_id=np.arange(faces),
        scheme="68",
        size=(640, 480),
    )
    return tracks, angles, places


def test_poses_have_the_signs_and_units_of_openface(tmp_path: Path) -> None:
    tracks, angles, places = _head(30)
    rows = np.genfromtxt(_lines(tmp_path / "a.csv", tracks)[1:], delimiter=",")
    np.testing.assert_allclose(rows[:, 8:11], angles, atol=0.01)
    np.testing.assert_allclose(rows[:, 5:8], places, rtol=0.01, atol=1)
    assert (rows[:, 4] == 1).all()


def test_poses_of_faces_that_come_and_go_between_chunks(tmp_path: Path) -> None:
    tracks, angles, _ = _head(30, faces=2)
    parts = [
        replace(
            tracks.with_faces(faces),
            xy=tracks.with_faces(faces).xy[rows],
            visible=tracks.with_faces(faces).visible[rows],
            confidence=tracks.with_faces(faces).confidence[rows],
            time=tracks.time[rows],
            first_frame=rows.start,
        )
        for faces, rows in (([0], slice(0, 12)), ([1, 0], slice(12, 30)))
    ]
    with OpenFaceWriter(tmp_path / "a.csv") as writer:
        for part in parts:
            writer.write(part)
    rows = np.genfromtxt((tmp_path / "a.csv").read_text().splitlines()[1:], delimiter=",")
    assert rows[:, 0].tolist() == [*range(1, 13), *np.repeat(range(13, 31), 2).tolist()]
    assert rows[12:16, 1].tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(rows[:, 8:11], angles[rows[:, 0].astype(int) - 1], atol=0.02)


def test_pose_of_a_hidden_face_is_zero_without_success(tmp_path: Path) -> None:
    tracks, _, _ = _head(30)
    tracks.visible[7, 0, 27:48] = False
    row = _lines(tmp_path / "a.csv", tracks)[8].split(", ")
    assert row[4:11] == ["0", "0.0", "0.0", "0.0", "0.000", "0.000", "0.000"]


def test_focal_length_changes_the_distance(tmp_path: Path) -> None:
    tracks, _, places = _head(10)
    writer = OpenFaceWriter(tmp_path / "a.csv")
    writer.focal = 1000.0
    with writer:
        writer.write(tracks)
    rows = np.genfromtxt((tmp_path / "a.csv").read_text().splitlines()[1:], delimiter=",")
    np.testing.assert_allclose(rows[:, 7], 2 * places[:, 2], rtol=0.05)


def test_unknown_point_is_zero_without_success(tmp_path: Path) -> None:
    assert _lines(tmp_path / "a.csv", _tracks(lost=True))[2] == (
        "2, 0, 0.042, 0.98, 0, 0.0, 6.3, 0.0, 7.3"
    )


def test_frame_counts_from_the_first_frame_of_the_video(tmp_path: Path) -> None:
    late = _tracks()
    object.__setattr__(late, "first_frame", 100)
    assert _lines(tmp_path / "a.csv", late)[1].startswith("101, ")
