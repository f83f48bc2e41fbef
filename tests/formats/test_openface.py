"""Test OpenFace 2's CSV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_points import tracks_at

from facetrack.errors import FacetrackError
from facetrack.formats.csv import read_csv
from facetrack.formats.openface import OpenFaceWriter
from facetrack.landmarks import schemes
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
    """The header is that of FeatureExtraction -pose -2Dfp -3Dfp, in OpenFace's order."""
    names = _lines(tmp_path / "a.csv", _tracks(68))[0]
    assert names.startswith(
        "frame, face_id, timestamp, confidence, success, "
        "pose_Tx, pose_Ty, pose_Tz, pose_Rx, pose_Ry, pose_Rz, x_0, x_1, x_2, "
    )
    blocks = [[f"{axis}_{i}" for i in range(68)] for axis in "xyXYZ"]
    assert names.split(", ")[11:] == [name for block in blocks for name in block]


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
    tracks = tracks_at(np.repeat(xy[:, None], faces, axis=1), "68", (640, 480))
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
    """So are the 3-D landmarks, while those in the image stay."""
    tracks, _, _ = _head(30)
    tracks.visible[7, 0, 27:48] = False
    row = _lines(tmp_path / "a.csv", tracks)[8].split(", ")
    assert row[4:11] == ["0", "0.0", "0.0", "0.0", "0.000", "0.000", "0.000"]
    assert set(row[147:]) == {"0.0"}
    assert float(row[11]) == pytest.approx(tracks.xy[7, 0, 0, 0], abs=0.051)


def _landmarks(rows: np.ndarray, points: int = 68) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (T, N, 2) and places (T, N, 3) of rows of a file."""
    columns = np.moveaxis(rows[:, 11:].reshape(len(rows), 5, points), 1, 2)
    return columns[..., :2], columns[..., 2:]


@pytest.mark.parametrize("focal", [None, 1200.0])
def test_landmarks_in_space_are_projected_onto_those_in_the_image(
    focal: float | None, tmp_path: Path
) -> None:
    """Within the decimals of the file: 0.05 px and 0.05 mm, at some two pixels a millimetre."""
    tracks, _, _ = _head(10)
    with OpenFaceWriter(tmp_path / "a.csv") as writer:
        writer.focal = focal
        writer.write(tracks)
    rows = np.genfromtxt((tmp_path / "a.csv").read_text().splitlines()[1:], delimiter=",")
    xy, places = _landmarks(rows)
    camera = Camera.of_frame((640, 480), focal)
    np.testing.assert_allclose(camera.project(places), xy, atol=0.2)
    if focal is None:
        np.testing.assert_allclose(camera.project(places), xy, atol=0.11)


def test_landmarks_in_space_are_those_of_a_known_head(tmp_path: Path) -> None:
    tracks, angles, positions = _head(30)
    rows = np.genfromtxt(_lines(tmp_path / "a.csv", tracks)[1:], delimiter=",")
    turned = np.einsum("tab,ib->tia", rotations.from_angles(angles), face_model.load().mean)
    off = np.linalg.norm(_landmarks(rows)[1] - turned - positions[:, None], axis=-1)
    assert off.mean() < 1, "smoothing of the pose, in mm"
    assert off.max() < 5


def test_an_unknown_point_is_unknown_in_space(tmp_path: Path) -> None:
    tracks, _, _ = _head(30)
    tracks.xy[4, 0, 8] = np.nan
    tracks.visible[4, 0, 8] = False
    rows = np.genfromtxt(_lines(tmp_path / "a.csv", tracks)[1:], delimiter=",")
    xy, places = _landmarks(rows)
    assert rows[4, 4] == 0
    assert (xy[4, 8] == 0).all()
    assert (places[4, 8] == 0).all()
    assert (places[4, 9] != 0).all()
    assert (places[5, 8] != 0).all()


def test_98_points_are_placed_too(tmp_path: Path) -> None:
    """The 68 among them as alone, the others close to their neighbours."""
    tracks, _, _ = _head(12)
    among = list(schemes.index_map("98", "68"))
    xy = np.full((12, 1, 98, 2), np.nan, np.float32)
    xy[:, :, among] = tracks.xy
    others = np.setdiff1d(np.arange(98), among)
    xy[:, :, others] = tracks.xy[:, :, [30]] + 1
    seen = np.ones((12, 1, 98), bool)
    many = replace(tracks, xy=xy, visible=seen, confidence=seen.astype(np.float32), scheme="98")
    alone = np.genfromtxt(_lines(tmp_path / "a.csv", tracks)[1:], delimiter=",")
    rows = np.genfromtxt(_lines(tmp_path / "b.csv", many)[1:], delimiter=",")
    places = _landmarks(rows, 98)[1]
    np.testing.assert_array_equal(places[:, among], _landmarks(alone)[1])
    np.testing.assert_allclose(places[:, others, 2], alone[:, [11 + 4 * 68 + 30]] + 0 * others)


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    tracks, _, _ = _head(30, faces=2)
    tracks.xy[4, 1, 8] = np.nan
    tracks.visible[4, 1, 8] = False
    tracks.confidence[:] = 0.75
    tracks = replace(tracks, time=tracks.time + 0.0004, first_frame=100)
    lines = _lines(tmp_path / "a.openface.csv", tracks)
    found = read_csv(tmp_path / "a.openface.csv", (640, 480))
    np.testing.assert_allclose(found.xy, np.round(tracks.xy, 1), atol=1e-4)
    np.testing.assert_array_equal(found.time, np.round(tracks.time, 3))
    np.testing.assert_array_equal(found.confidence, np.where(np.isnan(found.xy[..., 0]), 0, 0.75))
    assert found.frames.tolist() == list(range(100, 130))
    assert found.face_id.tolist() == [0, 1]
    assert found.scheme == "68"
    assert found.visible[:, 0].all()
    assert not found.visible[4, 1].any(), "a row without success"
    again = _lines(tmp_path / "b.openface.csv", found)
    assert again[0] == lines[0]
    kept = [line.split(", ")[:5] + line.split(", ")[11:147] for line in lines]
    assert [line.split(", ")[:5] + line.split(", ")[11:147] for line in again] == kept
    assert Tracks.load(tmp_path / "a.openface.csv").xy.shape == (30, 2, 68, 2)


def test_further_columns_of_openface_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "frame, face_id, timestamp, confidence, success, gaze_0_x, x_0, x_1, y_0, y_1, AU01_r\n"
        "1, 0, 0.000, 0.98, 1, 0.1, 10.5, 0.0, 20.5, 7.0, 2.0\n"
        "2, 0, 0.033, 0.00, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0\n"
    )
    tracks = read_csv(path)
    np.testing.assert_array_equal(tracks.xy[0, 0], [[10.5, 20.5], [0, 7]])
    assert np.isnan(tracks.xy[1]).all()
    assert tracks.visible[:, 0].tolist() == [[True, True], [False, False]]
    assert tracks.frames.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame, face_id, timestamp, confidence, success, pose_Tx\n1, 0, 0, 1, 1, 3\n", "-2Dfp"),
        ("frame, face_id, timestamp, confidence, success, x_0\n1, 0, 0, 1, 1, 3\n", "-2Dfp"),
        ("frame, face_id, timestamp, confidence, success, x_0, y_0\n", "no frames"),
        ("frame, face_id, timestamp, confidence, success, x_0, y_0\n1, 0\n", "row 2 has 2"),
        (
            "frame, face_id, timestamp, confidence, success, x_0, y_0\n0, 0, 0, 1, 1, 3, 4\n",
            "whole numbers",
        ),
        (
            "frame, face_id, timestamp, confidence, success, x_0, y_0\n1, 0, 0, 1, 1, a, 4\n",
            "not a number",
        ),
        ("frame,face_id,timestamp,confidence,success,x_0,y_0\n1,0,0,1,1,3,4\n", "not a facetrack"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(FacetrackError, match=message):
        read_csv(tmp_path / "a.csv")


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
