"""Test the shape error of landmarks: its invariances, and the distortions it must detect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from facetrack.errors import FacetrackError
from facetrack.identity import shape_model
from facetrack.identity.shape_model import MAX_SHAPE_ERROR, MIN_KNOWN_POINTS, ShapeModel
from facetrack.landmarks import schemes

MODEL = ShapeModel.load()


def face(seed: int = 0) -> np.ndarray:
    """Draw a face (68, 2) from the model, with 80 px between the outer eye corners."""
    random = np.random.default_rng(seed)
    along = 0.7 * random.normal(size=len(MODEL.variances)) * np.sqrt(MODEL.variances)
    shape = MODEL.mean + np.tensordot(along, MODEL.modes, 1)
    return 80 * (shape + 0.01 * random.normal(size=shape.shape)) + (300, 200)


def rotated(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


@settings(max_examples=30)
@given(
    st.integers(0, 99), st.floats(-3.2, 3.2), st.floats(0.02, 50),
    st.floats(-2000, 2000), st.floats(-2000, 2000), st.sampled_from((0.0, 5.0, 30.0)),
)  # fmt: skip
def test_error_is_invariant_to_position_size_and_rotation(seed, angle, scale, right, down, damage):
    random = np.random.default_rng(seed)
    points = face(seed) + damage * random.normal(size=(68, 2))
    weight = random.integers(0, 2, 68)
    moved = rotated(points, angle) * scale + (right, down)
    for counted in (None, weight):
        assert MODEL.shape_error(moved, counted) == pytest.approx(
            MODEL.shape_error(points, counted), rel=1e-5
        )


@settings(max_examples=20)
@given(st.integers(0, 99))
def test_mirrored_face_is_as_plausible(seed):
    points = face(seed)
    mirrored = schemes.get("68").mirror(points, 640)
    assert MODEL.shape_error(mirrored) == pytest.approx(MODEL.shape_error(points), rel=0.15)


def test_reflected_face_is_implausible():
    assert MODEL.shape_error(face() * (-1, 1)) > 3


def test_faces_have_errors_below_one_that_grow_with_distortion():
    random = np.random.default_rng(1)
    points = np.array([face(seed) for seed in range(40)])
    noise = random.normal(size=points.shape)
    levels = [MODEL.shape_error(points + 80 * part * noise) for part in (0, 0.1, 0.2, 0.4)]
    assert (levels[0] < 1).all()
    assert (levels[1] > 1).all()
    assert (np.diff(levels, axis=0) > 0).all()
    # Large distortions count in proportion.
    assert levels[3].mean() / levels[2].mean() == pytest.approx(2, abs=0.25)


def test_swapped_eyes_are_implausible():
    points = face()
    points[36:48] = points[[*range(42, 48), *range(36, 42)]]
    assert MODEL.shape_error(points) > 1


@pytest.mark.parametrize("spread", [0.0, 1e-9])
def test_points_without_extent_have_the_largest_errors(spread: float):
    points = np.full((68, 2), 7.0) + spread * np.random.default_rng(0).normal(size=(68, 2))
    assert MODEL.shape_error(points) > MAX_SHAPE_ERROR / 4
    assert MODEL.shape_error(points) <= MAX_SHAPE_ERROR


def test_hidden_points_do_not_count():
    points, weight = face(), np.ones(68)
    weight[:20] = 0
    lost, unknown = points.copy(), points.copy()
    lost[:20] += 500
    unknown[:20] = np.nan
    expected = MODEL.shape_error(points, weight)
    assert MODEL.shape_error(lost, weight) == pytest.approx(expected)
    assert MODEL.shape_error(unknown) == pytest.approx(expected)
    assert MODEL.shape_error(lost) > 2


def test_weights_count_gradually():
    points = face()
    points[30] += 60
    weight = np.ones((3, 68))
    weight[:, 30] = 1, 0.1, 0
    found = MODEL.shape_error(np.array([points] * 3), weight)
    assert found[0] > found[1] > found[2]


def test_too_few_points_have_no_error():
    points = np.array([face(), face()])
    points[0, MIN_KNOWN_POINTS - 1 :] = np.nan
    points[1, MIN_KNOWN_POINTS:] = np.nan
    assert np.isnan(MODEL.shape_error(points)).tolist() == [True, False]
    assert np.isnan(MODEL.shape_error(np.full((68, 2), np.nan)))


def test_leading_axes_are_kept():
    points = np.array([face(seed) for seed in range(600)])
    found = MODEL.shape_error(points.reshape(300, 2, 68, 2))
    assert found.shape == (300, 2)
    assert MODEL.shape_error(points[0]).shape == ()
    assert MODEL.shape_error(points[:0]).shape == (0,)
    np.testing.assert_allclose(found[299, 1], MODEL.shape_error(points[599]))


def _write(path: Path, noise: object = 0.1, points: int = 68, **metadata: object) -> Path:
    arrays = {
        "mean": np.zeros((points, 2), np.float32),
        "modes": np.zeros((3, 68, 2), np.float16),
        "variances": np.ones(3, np.float32),
    }
    words = {"shape_model": json.dumps({"noise": noise, "usual": 1.0, **metadata})}
    save_file(arrays, path, words)
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "noise", "words", "shapes"])
def test_other_files_are_refused(tmp_path: Path, kind: str):
    path = tmp_path / "x.safetensors"
    if kind in ("text", "empty"):
        path.write_text("hello" if kind == "text" else "")
    elif kind == "noise":
        _write(path, noise=-1)
    elif kind == "words":
        _write(path, noise="much")
    else:
        _write(path, points=67)
    with pytest.raises(FacetrackError, match="not a landmark shape model"):
        ShapeModel.load(str(path))


def test_held_out_faces_are_plausible(shared_data: Path):
    folder = shared_data / "faces68_train"
    listed = Path(__file__).parents[2] / "benchmarks" / "common" / "heldout_faces.txt"
    with np.load(folder / "landmarks68.npz", allow_pickle=False) as data:
        known = dict(zip(data["names"].tolist(), data["points"], strict=True))
    points = np.array([known[name] for name in listed.read_text().split()], float)
    assert (MODEL.shape_error(points) < 1).all()
    away = 0.2 * np.linalg.norm(points[:, 36] - points[:, 45], axis=-1)
    points[:, ::3, 0] += away[:, None]
    assert (MODEL.shape_error(points) > 1).all()


@given(st.floats(-0.8, 0.8), st.floats(0, 6.28), st.floats(1e-2, 1e3), st.floats(-1e4, 1e4))
def test_yaw_score_is_the_offset_of_the_nose(aside, angle, scale, right):
    """It is invariant to similarities of the image, and ignores vertical offsets."""
    xy = MODEL.mean.copy()
    eyes = xy[45] - xy[36]
    up = np.array([-eyes[1], eyes[0]])
    xy[30] = (xy[36] + xy[45]) / 2 + aside * eyes + 0.4 * up
    there = scale * rotated(xy, angle) + right
    assert shape_model.yaw_score(there) == pytest.approx(abs(aside), abs=1e-6)


def test_yaw_score_of_points_without_extent_is_zero():
    assert shape_model.yaw_score(np.zeros((68, 2))) == 0
