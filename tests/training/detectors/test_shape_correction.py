"""The fit of the shape correction: what detectors do to shapes is found and undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from facetrack.detectors.shape_correction import ShapeCorrection, find_pose, reference
from facetrack.errors import FacetrackError
from facetrack.landmarks import schemes
from facetrack.training.detectors import shape_correction
from facetrack.training.detectors.placed import Placed
from facetrack.training.detectors.shape_correction import correct, describe, fit
from facetrack.weights.store import bundled_folder

SWAP = list(schemes.get("68").swap)


def placed_faces(count: int, seed: int = 0, noise: float = 0.0) -> Placed:
    """Faces as a detector places them that shows half of how the jaw's end and the lids move."""
    random = np.random.default_rng(seed)
    shapes = np.repeat(reference()[None], count, 0)
    opening = random.uniform(0, 0.06, (count, 1))
    shapes[:, 37:39, 1] -= opening
    shapes[:, 43:45, 1] -= opening
    # The chin goes with the corners of the mouth, which are placed exactly.
    drop = random.uniform(-0.05, 0.05, count)
    shapes[:, [8, 48, 54], 1] += drop[:, None]
    shapes += 0.002 * random.standard_normal(shapes.shape)
    found = shapes.copy()
    found[:, 37:39, 1] += opening / 2
    found[:, 43:45, 1] += opening / 2
    found[:, 8, 1] -= drop
    found += noise * random.standard_normal(found.shape)
    scale = random.uniform(50, 400, (count, 1, 1))
    centre = random.uniform(0, 500, (count, 1, 2))
    zeros = np.zeros((count, 68))
    return Placed(shapes * scale + centre, found * scale + centre, zeros, zeros > 0)


def errors(placed: Placed, correction: ShapeCorrection | None = None) -> np.ndarray:
    """Distances (M, 68) in sizes of the face."""
    xy = placed.xy if correction is None else correction.apply(placed.xy)
    size = np.abs(find_pose(placed.truth).factor)
    return np.linalg.norm(xy - placed.truth, axis=-1) / size


def test_what_other_landmarks_imply_is_found() -> None:
    others = placed_faces(200, seed=1)
    before, after = errors(others), errors(others, fit(placed_faces(3000)))
    assert after[:, 8].mean() < 0.35 * before[:, 8].mean()
    assert after[:, [37, 38, 43, 44]].mean() < 0.3 * before[:, [37, 38, 43, 44]].mean()
    assert after.mean() < before.mean()


def turned_faces(count: int, seed: int = 0) -> Placed:
    """Faces as a detector places them that moves the chin aside by the smile times the turn."""
    random = np.random.default_rng(seed)
    turn = random.uniform(-1, 1, (count, 1))
    shapes = np.repeat(reference()[None], count, 0)
    shapes[:, 27:36, 0] += 0.3 * turn
    # So what the corners of the mouth imply for the chin has another sign on the other side.
    smile = random.uniform(-0.05, 0.05, (count, 1))
    shapes[:, [48, 54], 1] += smile
    shapes += 0.002 * random.standard_normal(shapes.shape)
    found = shapes.copy()
    found[:, 8, 0] += (smile * turn)[:, 0]
    zeros = np.zeros((count, 68))
    return Placed(shapes * 200 + 300, found * 200 + 300, zeros, zeros > 0)


def test_what_landmarks_imply_may_depend_on_the_turn() -> None:
    others = turned_faces(200, seed=1)
    before, after = errors(others), errors(others, fit(turned_faces(3000)))
    assert after[:, 8].mean() < 0.5 * before[:, 8].mean()


def test_left_and_right_are_treated_alike() -> None:
    correction, face = fit(placed_faces(500)), placed_faces(1, seed=3).xy
    mirrored = face[:, SWAP] * [-1, 1]
    np.testing.assert_allclose(
        correction.apply(mirrored), correction.apply(face)[:, SWAP] * [-1, 1], atol=0.05
    )


def test_lost_landmarks_and_faces_do_not_count() -> None:
    spoilt = placed_faces(1000)
    spoilt.xy[::10, 20] += 1e5
    spoilt.xy[5] = np.nan
    others = placed_faces(100, seed=2)
    # Only the landmarks of the lost one's own face suffer: its pose is wrong.
    after = errors(others, fit(spoilt._replace(xy=np.where(spoilt.xy > 5e4, np.nan, spoilt.xy))))
    assert after.mean() < errors(others).mean()
    assert np.isfinite(after).all()


def test_noise_is_not_learned() -> None:
    noisy = placed_faces(300, noise=0.01)
    noisy = noisy._replace(truth=noisy.xy)
    face = placed_faces(20, seed=4)
    np.testing.assert_allclose(fit(noisy).apply(face.xy), face.xy, atol=0.1)


def test_the_comparison_is_of_the_median_face() -> None:
    faces = placed_faces(50)
    line = describe(faces, fit(placed_faces(1000)))
    before, after = (float(word) for word in line.split() if word[0].isdigit())
    assert after < before


def test_the_correction_is_added_to_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "star.safetensors"
    weights.write_bytes((bundled_folder() / "star-xs.safetensors").read_bytes())
    seen = []

    def place(detector, source, count, ranges, seed):
        seen.append((detector.shape_correction, source, count, ranges))
        return placed_faces(count, seed)

    monkeypatch.setattr(shape_correction, "place", place)
    monkeypatch.setattr(shape_correction, "picture_source", lambda faces, held_out=False: held_out)
    lines: list[str] = []
    fitted = correct("star", weights, tmp_path, count=400, progress=lines.append)
    assert [known for known, *_ in seen] == [None] * 6  # what the network itself places
    assert [held_out for _, held_out, *_ in seen] == [False] * 3 + [True] * 3
    assert len({ranges for *_, ranges in seen}) == 3
    assert len(lines) == 3
    with safe_open(weights, "numpy") as file:
        read = ShapeCorrection.read(dict(file.metadata()), 68, weights)
    assert read is not None
    np.testing.assert_allclose(read.weight, fitted.weight, atol=2e-3)


def test_only_weights_of_networks_are_corrected(tmp_path: Path) -> None:
    with pytest.raises(FacetrackError, match=r"not a \.safetensors"):
        correct("ert", tmp_path / "ert.dat", tmp_path, 300)
    with pytest.raises(FacetrackError, match="networks of 68 points"):
        correct("dcnn", bundled_folder() / "dcnn-s.safetensors", tmp_path, 300)
