"""The estimator crops faces upright at any roll and size, and judges covered landmarks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facetrack.confidence.estimator import ConfidenceEstimator
from facetrack.confidence.network import CROP_SIZE
from facetrack.errors import FacetrackError


@pytest.fixture(scope="module")
def estimator() -> ConfidenceEstimator:
    return ConfidenceEstimator(device="cpu")


def _scene(estimator: ConfidenceEstimator, turn: complex) -> tuple[np.ndarray, np.ndarray]:
    """Return an image with a white dot at landmark 30 of a mean face, and the landmarks (68, 2)."""
    placed = (estimator._mean - estimator._mean.mean()) * turn + 300 + 300j
    xy = np.stack([placed.real, placed.imag], -1) - 0.5
    image = np.zeros((600, 600, 3), np.uint8)
    radius = max(2, round(abs(turn) * 2))
    cv2.circle(image, tuple(np.round(xy[30]).astype(int).tolist()), radius, (255,) * 3, -1)
    return image, xy


@pytest.mark.parametrize("turn", [1, 4, 0.4, 3j, -2, 1.5 - 1.5j])
def test_the_crop_is_upright(estimator: ConfidenceEstimator, turn: complex) -> None:
    crop, points = estimator._crop(*_scene(estimator, turn))
    assert crop.shape == (CROP_SIZE, CROP_SIZE, 3)
    assert np.abs(points[:, 0] + 1j * points[:, 1] - estimator._mean).max() < 1e-2
    y, x = np.mgrid[:CROP_SIZE, :CROP_SIZE] + 0.5
    weight = crop[..., 0] / crop[..., 0].sum(dtype=float)
    centre = np.array([(x * weight).sum(), (y * weight).sum()])
    assert np.abs(centre - points[30]).max() < 0.75 / min(
        abs(turn), 1
    )  # dots are drawn at whole pixels


def test_unknown_faces_get_zeros(estimator: ConfidenceEstimator) -> None:
    image, xy = _scene(estimator, 1)
    faces = np.stack([np.full((68, 2), np.nan), xy, np.zeros((68, 2))])
    result = estimator.estimate(image, faces)
    assert result.accurate.shape == result.visible.shape == (3, 68)
    assert not result.visible[[0, 2]].any()
    assert (result.visible[1] > 0).all()


def test_no_faces(estimator: ConfidenceEstimator) -> None:
    result = estimator.estimate(_scene(estimator, 1)[0], np.zeros((0, 68, 2)))
    assert result.visible.shape == (0, 68)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(FacetrackError):
        ConfidenceEstimator(str(path))


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    folder = shared_data / "faces68_train"
    listed = Path(__file__).parents[2] / "benchmarks" / "common" / "heldout_faces.txt"
    if not folder.is_dir():
        pytest.skip("shared faces are absent")
    with np.load(folder / "landmarks68.npz") as data:
        known = dict(zip(data["names"].tolist(), data["points"], strict=True))
    names = listed.read_text().split()[:24]
    return [(cv2.imread(str(folder / n))[..., ::-1].copy(), known[n]) for n in names]


def test_covered_mouths_are_invisible(
    estimator: ConfidenceEstimator, faces: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    open_share, covered_share = [], []
    for image, xy in faces:
        open_share.append(estimator.estimate(image, xy).visible[0])
        low, high = xy[48:].min(0), xy[48:].max(0)
        margin = 0.3 * (high - low)
        (x0, y0), (x1, y1) = (low - margin).astype(int), (high + margin).astype(int)
        cheek = image[int(xy[2, 1]), int(0.6 * xy[2, 0] + 0.4 * xy[31, 0])]
        covered = image.copy()
        covered[max(y0, 0) : y1, max(x0, 0) : x1] = cheek
        covered_share.append(estimator.estimate(covered, xy).visible[0])
    seen, hidden = np.array(open_share), np.array(covered_share)
    assert (seen[:, 48:] > 0.5).mean() > 0.9
    assert (hidden[:, 48:] > 0.5).mean() < 0.2
    assert (hidden[:, 36:48] > 0.5).mean() > 0.8


def test_misplaced_landmarks_are_not_exact(
    estimator: ConfidenceEstimator, faces: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    right, wrong = [], []
    for image, xy in faces:
        right.append(estimator.estimate(image, xy).accurate.mean())
        unit = np.linalg.norm(xy[36] - xy[45])
        wrong.append(estimator.estimate(image, xy + [0.25 * unit, 0]).accurate.mean())
    assert np.mean(right) > 0.8
    assert np.mean(wrong) < 0.3


def test_upside_down_placements_are_not_exact(
    estimator: ConfidenceEstimator, faces: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    for image, xy in faces:
        flipped = 2 * xy.mean(0) - xy
        assert estimator.estimate(image, flipped).accurate.mean() < 0.3
