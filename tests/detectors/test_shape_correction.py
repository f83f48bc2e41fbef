"""Shape correction: landmarks move by what all of them imply, at any place and roll."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.shape_correction import (
    KEY,
    ShapeCorrection,
    find_pose,
    inputs_of,
    reference,
)
from facetrack.errors import FacetrackError
from facetrack.ops.similarity import as_complex, as_xy
from facetrack.training.detectors.placed import add_metadata
from facetrack.weights.store import bundled_folder

FILE = Path("star.safetensors")


def random_correction(seed: int, size: float = 0.02) -> ShapeCorrection:
    weight = size * np.random.default_rng(seed).standard_normal((137, 136))
    return without_strays(weight.astype(np.float16).astype(float))


def without_strays(weight: np.ndarray) -> ShapeCorrection:
    """A correction for which no landmark ever strays."""
    return ShapeCorrection(weight, np.eye(136), np.full(68, 1e4))


def rigid_correction(limit: float) -> ShapeCorrection:
    """A correction of nothing, for which each landmark goes with the mean of all others."""
    conditional = np.kron(np.eye(68) - (1 - np.eye(68)) / 67, np.eye(2))
    return ShapeCorrection(np.zeros((137, 136)), conditional, np.full(68, limit))


def random_faces(count: int, seed: int = 0) -> np.ndarray:
    """Faces (count, 68, 2) of about 200 pixels that differ from the upright one."""
    random = np.random.default_rng(seed)
    return (reference() + 0.01 * random.standard_normal((count, 68, 2))) * 200 + [300, 200]


@given(
    st.floats(-3, 3),
    st.floats(0.1, 10),
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.integers(0, 9),
)
def test_corrections_go_with_place_size_and_roll(
    roll: float, scale: float, x: float, y: float, seed: int
) -> None:
    correction, faces = random_correction(seed), random_faces(2, seed)
    factor = scale * np.exp(1j * roll)

    def carry(xy: np.ndarray) -> np.ndarray:
        return as_xy(as_complex(xy) * factor + complex(x, y))

    first = carry(correction.apply(faces))
    np.testing.assert_allclose(correction.apply(carry(faces)), first, atol=0.02 * scale + 1e-3)


def test_offsets_are_those_of_the_regression() -> None:
    faces = random_faces(3)
    upright = find_pose(faces).to_upright(faces)
    np.testing.assert_allclose(find_pose(faces).to_image(upright), faces)
    weight = np.zeros((137, 136))
    # The x of landmark 8 goes on by half of the deviation of landmark 36's y, and by a constant.
    weight[2 * 36 + 1, 2 * 8], weight[-1, 2 * 8] = 0.5, 0.01
    moved = without_strays(weight).apply(faces)
    expected = upright.copy()
    expected[:, 8, 0] += 0.5 * inputs_of(upright)[:, 2 * 36 + 1] + 0.01
    np.testing.assert_allclose(find_pose(faces).to_upright(moved), expected, atol=1e-5)


@given(st.lists(st.integers(0, 67), max_size=20, unique=True), st.integers(0, 99))
def test_strays_return_to_where_the_others_imply_them(strays: list[int], seed: int) -> None:
    face = reference()[None] * 200 + [300, 200]
    away = face.copy()
    random = np.random.default_rng(seed)
    directions = random.standard_normal((len(strays), 2))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    away[0, strays] += directions * random.uniform(0.5, 2, (len(strays), 1)) * 200
    np.testing.assert_allclose(rigid_correction(0.05).apply(away), face, atol=0.1)


def test_landmarks_within_their_limits_stay() -> None:
    face = reference()[None] * 200 + [300, 200]
    face[0, 30] += [9, -4]
    np.testing.assert_allclose(rigid_correction(0.1).apply(face), face, atol=1e-3)
    with_strays = face.copy()
    with_strays[0, 3] += 150
    np.testing.assert_allclose(rigid_correction(0.1).apply(with_strays)[0, 30], face[0, 30], atol=4)


def test_a_shape_unlike_any_stays() -> None:
    face = 200 * np.random.default_rng(0).standard_normal((1, 68, 2))
    np.testing.assert_allclose(rigid_correction(0.01).apply(face), face, atol=1e-3)


def test_a_correction_of_zero_leaves_landmarks() -> None:
    faces = random_faces(2)
    same = without_strays(np.zeros((137, 136))).apply(faces)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, faces, atol=1e-3)


def test_faces_with_unknown_landmarks_and_points_stay() -> None:
    faces = random_faces(3)
    faces[0, 5] = np.nan
    faces[1] = [70, 80]
    moved = random_correction(0).apply(faces)
    np.testing.assert_array_equal(moved[:2], faces[:2].astype(np.float32))
    assert (moved[2] != faces[2].astype(np.float32)).any()
    assert random_correction(0).apply(faces[:0]).shape == (0, 68, 2)


def test_corrections_are_written_and_read() -> None:
    correction = random_correction(1)
    read = ShapeCorrection.read({KEY: correction.write()}, 68, FILE)
    assert read is not None
    np.testing.assert_array_equal(read.weight, correction.weight)
    np.testing.assert_array_equal(read.conditional, correction.conditional)
    np.testing.assert_array_equal(read.limits, correction.limits)
    assert ShapeCorrection.read({"arch": "star"}, 68, FILE) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 68),
        ("AAAA", 68),
        ("no base64 at all", 68),
        (random_correction(0).write(), 98),
        (without_strays(np.full((137, 136), np.inf)).write(), 68),
        (ShapeCorrection(np.zeros((137, 136)), np.eye(136), np.zeros(68)).write(), 68),
        (base64.b64encode(np.zeros((137, 136), "<f2").tobytes()).decode(), 68),
    ],
)
def test_damaged_corrections_are_refused(text: str, count: int) -> None:
    with pytest.raises(FacetrackError, match=r"correction inside star\.safetensors is damaged"):
        ShapeCorrection.read({KEY: text}, count, FILE)


def test_detectors_apply_the_correction_of_their_file(tmp_path: Path) -> None:
    weights = tmp_path / "star.safetensors"
    weights.write_bytes((bundled_folder() / "star-xs.safetensors").read_bytes())
    image = np.random.default_rng(0).integers(0, 256, (240, 240, 3), np.uint8)
    boxes = np.array([[60.0, 60.0, 180.0, 180.0], [np.nan] * 4])
    options = DetectorOptions(weights=str(weights), device="cpu")
    plain = create("star", options).detect(image, boxes)
    correction = random_correction(2)
    add_metadata(weights, KEY, correction.write())
    corrected = create("star", options).detect(image, boxes)
    np.testing.assert_allclose(corrected.xy[:1], correction.apply(plain.xy[:1]), atol=1e-3)
    assert np.isnan(corrected.xy[1]).all()
    np.testing.assert_array_equal(corrected.score, plain.score)
