"""Shape correction: landmarks move by what all of them imply, at any place and roll."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered_heads import person, project
from safetensors import safe_open

from facetrack.detectors import DetectorOptions, create
from facetrack.detectors.shape_correction import (
    KEY,
    ShapeCorrection,
    deviations_of,
    find_pose,
    reference,
)
from facetrack.errors import FacetrackError
from facetrack.measures import rotations
from facetrack.ops.similarity import as_complex, as_xy
from facetrack.training.detectors.placed import add_metadata
from facetrack.weights.store import bundled_folder

FILE = Path("star.safetensors")
CORRECTED = ["star-s", "heatmap1d-s", "fan-s"]


def random_correction(seed: int, size: float = 0.02) -> ShapeCorrection:
    random = np.random.default_rng(seed)
    weight = size * random.standard_normal((411, 136))
    axis = 0.3 * random.standard_normal(136)
    return ShapeCorrection(*(v.astype(np.float16).astype(float) for v in (weight, axis)))


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
    deviations = deviations_of(upright)
    axis = np.random.default_rng(1).standard_normal(136)
    turn = np.tanh(deviations @ axis)
    weight = np.zeros((411, 136))
    # The x of landmark 8 goes on by half of the deviation of landmark 36's y, and by a constant;
    # its y by a deviation times the turn, and by the square of the turn.
    weight[2 * 36 + 1, 2 * 8], weight[136, 2 * 8] = 0.5, 0.01
    weight[137 + 5, 2 * 8 + 1], weight[2 * 137 + 136, 2 * 8 + 1] = 0.4, 0.03
    moved = ShapeCorrection(weight, axis).apply(faces)
    expected = upright.copy()
    expected[:, 8, 0] += 0.5 * deviations[:, 2 * 36 + 1] + 0.01
    expected[:, 8, 1] += 0.4 * deviations[:, 5] * turn + 0.03 * turn**2
    np.testing.assert_allclose(find_pose(faces).to_upright(moved), expected, atol=1e-5)


def test_a_correction_of_zero_leaves_landmarks() -> None:
    faces = random_faces(2)
    same = ShapeCorrection(np.zeros((411, 136)), np.ones(136)).apply(faces)
    assert same.dtype == np.float32
    np.testing.assert_allclose(same, faces, atol=1e-3)


@pytest.mark.parametrize("name", CORRECTED)
@pytest.mark.parametrize(
    ("yaw", "limit"), [(0, 0.01), (30, 0.01), (45, 0.015), (60, 0.02), (80, 0.04)]
)
def test_corrections_of_the_bundled_networks_leave_turned_heads_as_they_are(
    name: str, yaw: float, limit: float
) -> None:
    """What is right already moves little, up to profile."""
    path = bundled_folder() / f"{name}.safetensors"
    with safe_open(path, "numpy") as file:
        correction = ShapeCorrection.read(dict(file.metadata()), 68, path)
    assert correction is not None
    faces = np.concatenate([person(seed)[None] for seed in range(20)])
    angles = np.radians([[0, yaw * (-1) ** seed, 0] for seed in range(20)])
    xy = project(faces, rotations.from_angles(angles))
    away = np.linalg.norm(correction.apply(xy) - xy, axis=-1)
    diagonal = np.hypot(*np.ptp(xy, axis=1).T)
    assert (away.mean(1) / diagonal).mean() < limit
    assert (away.mean(1) / diagonal).max() < 1.5 * limit


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
    np.testing.assert_array_equal(read.axis, correction.axis)
    assert ShapeCorrection.read({"arch": "star"}, 68, FILE) is None


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 68),
        ("AAAA", 68),
        ("no base64 at all", 68),
        (base64.b64encode(np.zeros((137, 136), "<f2").tobytes()).decode(), 68),
        (random_correction(0).write(), 98),
        (base64.b64encode(np.full((412, 136), np.inf, "<f2").tobytes()).decode(), 68),
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
