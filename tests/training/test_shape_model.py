"""Fitting of the landmark shape model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facetrack.errors import FacetrackError
from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.training import shape_model
from facetrack.training.detectors.data import names_of
from facetrack.training.textures import FEW

COUNT = FEW + 120
SHIPPED = ShapeModel.load()


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """(count, 68, 2) faces that vary along three directions, of any place, size and rotation."""
    random = np.random.default_rng(seed)
    along = random.normal(size=(count, 3)) * np.sqrt(SHIPPED.variances[:3])
    faces = SHIPPED.mean + np.tensordot(along, SHIPPED.modes[:3], 1)
    faces = faces + 0.01 * random.normal(size=faces.shape)
    angle, scale = random.uniform(-1, 1, count), random.uniform(40, 200, count)
    points = (faces @ np.array([1, 1j])) * (scale * np.exp(1j * angle))[:, None]
    return np.stack([points.real, points.imag], -1) + random.uniform(0, 500, (count, 1, 2))


def folder_of(path: Path, points: np.ndarray) -> Path:
    names = [f"{i:04}.jpg" for i in range(len(points))]
    for name in names:
        (path / name).touch()
    np.savez(path / "landmarks68.npz", names=np.array(names), points=points.astype(np.float32))
    return path


def test_directions_of_variation_are_found():
    model = shape_model.fit(drawn(1500), modes=3)
    found = model.modes.reshape(3, -1)
    overlap = np.linalg.svd(found @ SHIPPED.modes[:3].reshape(3, -1).T)[1]
    assert (overlap > 0.97).all()
    assert model.variances[0] == pytest.approx(SHIPPED.variances[0], rel=0.15)
    expected = 0.01**2 + shape_model.DETECTOR_NOISE**2
    assert model.noise == pytest.approx(expected, rel=0.3)


def test_mean_is_upright_symmetrical_and_of_unit_size():
    model = shape_model.fit(drawn(200), modes=3)
    np.testing.assert_allclose(model.mean[45] - model.mean[36], (1, 0), atol=1e-9)
    np.testing.assert_allclose(schemes.get("68").mirror(model.mean, 1), model.mean, atol=1e-4)


def test_one_in_a_thousand_is_at_one():
    points = drawn(1000)
    model = shape_model.fit(points, modes=3)
    both = np.concatenate([points, schemes.get("68").mirror(points, 0)])
    assert (model.shape_error(both) > 1).sum() == 2


def test_written_model_is_the_fitted_one(tmp_path: Path):
    model = shape_model.train(folder_of(tmp_path, drawn(COUNT)), tmp_path / "own.safetensors")
    read = ShapeModel.load(str(tmp_path / "own.safetensors"))
    damaged = drawn(20, seed=5) + np.random.default_rng(0).normal(0, 9, (20, 68, 2))
    np.testing.assert_allclose(read.shape_error(damaged), model.shape_error(damaged), rtol=1e-4)


def test_held_out_faces_are_not_looked_at(tmp_path: Path):
    points = drawn(COUNT)
    names = [f"{i:04}.jpg" for i in range(COUNT)]
    before = shape_model.train(folder_of(tmp_path, points), tmp_path / "a.safetensors")
    held_out = names_of(tmp_path, "68")[1]
    points[[names.index(name) for name in held_out]] = np.nan
    after = shape_model.train(folder_of(tmp_path, points), tmp_path / "b.safetensors")
    np.testing.assert_array_equal(before.modes, after.modes)


def test_face_without_landmarks_is_named(tmp_path: Path):
    points = drawn(COUNT)
    folder_of(tmp_path, points)
    name = names_of(tmp_path, "68")[0][0]
    points[int(name[:4]), 3] = np.nan
    folder_of(tmp_path, points)
    with pytest.raises(FacetrackError, match=name):
        shape_model.train(tmp_path, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_shipped_model_is_what_the_command_makes(shared_data: Path):
    model = shape_model.fit(shape_model.training_points(shared_data / "faces68_train"))
    np.testing.assert_allclose(model.mean, SHIPPED.mean, atol=1e-5)
    assert model.usual == pytest.approx(SHIPPED.usual, rel=1e-3)
