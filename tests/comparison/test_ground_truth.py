"""Ground truth in the forms in which it comes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack.comparison.ground_truth import Truth, read_truth
from facetrack.errors import FacetrackError
from facetrack.formats.base import open_writer
from facetrack.landmarks.point_files import write_pts
from facetrack.tracks import Tracks

XY = np.random.default_rng(0).uniform(0, 90, (6, 68, 2)).round(3)


def _folder(path: Path, frames: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    for name, xy in frames.items():
        write_pts(path / f"{name}.pts", xy)
    return path


def _tracks(faces: int = 1) -> Tracks:
    seen = np.ones((6, faces, 68), bool)
    seen[2, :, 7] = False
    return Tracks(
        xy=np.repeat(XY[:, None], faces, 1).astype(np.float32),
        visible=seen,
        confidence=seen.astype(np.float32),
        time=np.arange(6) / 25,
        face_id=np.arange(faces),
        scheme="68",
        size=(100, 100),
    )


def test_300vw_counts_from_one(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "annot", {f"{i + 1:06d}": xy for i, xy in enumerate(XY)})
    truth = read_truth(folder)
    assert truth.frames.tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(truth.xy, XY, atol=1e-3)
    assert truth.visible is None
    assert "count from 1" in truth.note


def test_names_with_a_stem_count_from_zero(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a_pts", {f"take 2_{i:06d}": XY[i] for i in (1, 4)})
    truth = read_truth(folder)
    assert truth.frames.tolist() == [1, 4]
    xy, seen = truth.spread(6)
    assert seen is None
    assert np.isfinite(xy).all((1, 2)).tolist() == [False, True, False, False, True, False]


def test_bare_numbers_from_zero(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "a", {"0": XY[0], "10": XY[5], "2": XY[2]})
    assert read_truth(folder).frames.tolist() == [0, 2, 10]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_tracks_say_what_is_visible(kind: str, tmp_path: Path) -> None:
    with open_writer(kind, tmp_path, "truth") as writer:
        writer.write(_tracks())
    truth = read_truth(tmp_path / f"truth.{kind}")
    np.testing.assert_allclose(truth.xy, XY, atol=1e-3)
    assert truth.visible is not None
    assert not truth.visible[2, 7]
    assert truth.visible.sum() == 6 * 68 - 1


def test_named_points(tmp_path: Path) -> None:
    path = tmp_path / "truth.npz"
    np.savez(path, names=np.array(["x_000003.png", "x_000001.png"]), points=XY[:2])
    truth = read_truth(path)
    assert truth.frames.tolist() == [1, 3]
    np.testing.assert_array_equal(truth.xy[1], XY[0])


def test_plain_arrays(tmp_path: Path) -> None:
    path = tmp_path / "truth.npz"
    xy = XY.copy()
    xy[1, 0, 0] = np.nan
    np.savez(path, xy=xy, visible=np.ones((6, 68), bool))
    truth = read_truth(path)
    assert np.isnan(truth.xy[1, 0]).all()  # half a position is none
    assert truth.visible is not None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"xy": np.zeros((6, 68, 3))}, "must be"),
        ({"xy": np.zeros((6, 68, 2)), "visible": np.ones(6, bool)}, "visible must be"),
        ({"xy": np.full((6, 68, 2), np.nan)}, "contains no position"),
        ({"names": np.array(["a", "b"]), "points": XY[:2]}, "number of a frame"),
        ({"names": np.array(["a_1", "b_1"]), "points": XY[:2]}, "several faces of frame 1"),
    ],
)
def test_what_is_no_ground_truth(arrays, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", **arrays)
    with pytest.raises(FacetrackError, match=message):
        read_truth(tmp_path / "truth.npz")


def test_a_small_file_that_describes_much_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "truth.npz", xy=np.zeros((150_000, 68, 2), np.float32))
    with pytest.raises(FacetrackError, match="damaged"):
        read_truth(tmp_path / "truth.npz")


def test_damaged_missing_and_crowded(tmp_path: Path) -> None:
    (tmp_path / "truth.npz").write_bytes(b"PK nonsense")
    with pytest.raises(FacetrackError, match="damaged"):
        read_truth(tmp_path / "truth.npz")
    with pytest.raises(FacetrackError, match="There is no"):
        read_truth(tmp_path / "none")
    with open_writer("csv", tmp_path, "two") as writer:
        writer.write(_tracks(2))
    with pytest.raises(FacetrackError, match="2 faces"):
        read_truth(tmp_path / "two.csv")


def test_98_points_become_68_and_nothing_else() -> None:
    truth = Truth(Path("x"), np.arange(2), np.zeros((2, 98, 2)), np.ones((2, 98), bool))
    fitted = truth.fitted("68")
    assert fitted.xy.shape == (2, 68, 2)
    assert fitted.visible is not None
    assert fitted.visible.shape == (2, 68)
    with pytest.raises(FacetrackError, match="98 points per frame"):
        truth.fitted("29")


def test_truth_beyond_the_video() -> None:
    truth = Truth(Path("x"), np.array([7, 8]), np.zeros((2, 68, 2)), None)
    assert np.isnan(truth.spread(5)[0]).all()
