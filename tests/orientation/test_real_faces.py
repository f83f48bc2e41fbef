"""A photograph and real clips of faces on their side and upside down."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import still_images

import facetrack
from facetrack import detectors, face_detectors
from facetrack.detectors import DetectorOptions
from facetrack.images.pipeline import ImageOptions, ImagePipeline
from facetrack.orientation import detector as oriented
from facetrack.orientation.turning import QUARTER, boxes_back, rotation

CENTRE = np.array([130.0, 130.0])
"""Of the face in the photograph."""
BOX = np.array([60.0, 60.0, 200.0, 200.0])


def turned(image: np.ndarray, roll: float) -> np.ndarray:
    """Turn a picture clockwise about CENTRE, which stays in its place."""
    matrix = rotation(roll)
    transform = np.concatenate([matrix, (CENTRE - matrix @ CENTRE)[:, None]], axis=1)
    return cv2.warpAffine(image, transform, image.shape[1::-1])


def apart(xy: np.ndarray, upright: np.ndarray, roll: float) -> float:
    """Return the mean distance in per cent of the distance between the outer eye corners."""
    back = (xy - CENTRE) @ rotation(roll) + CENTRE
    between = np.linalg.norm(upright[36] - upright[45])
    return float(100 * np.linalg.norm(back - upright, axis=-1).mean() / between)


@pytest.mark.parametrize("name", ["pipnet", pytest.param("star", marks=pytest.mark.slow)])
def test_networks_place_a_face_at_any_roll(name: str) -> None:
    image, detector = still_images.photo(), oriented.create(name, DetectorOptions())
    plain = detectors.create(name, DetectorOptions()).detect(image, BOX[None])
    upright = detector.detect(image, BOX[None])
    np.testing.assert_array_equal(upright.xy, plain.xy)
    np.testing.assert_array_equal(upright.score, plain.score)
    for degrees in (90, 135, 180, 270):
        found = detector.detect(turned(image, np.radians(degrees)), BOX[None])
        assert apart(found.xy[0], upright.xy[0], np.radians(degrees)) < 2.5, degrees
        assert found.score.mean() > 0.8 * upright.score.mean()


def test_regression_trees_place_a_face_upside_down() -> None:
    image, detector = still_images.photo(), oriented.create("ert", DetectorOptions())
    upright = detector.detect(image, BOX[None]).xy[0]
    found = detector.detect(turned(image, np.pi), BOX[None]).xy[0]
    assert apart(found, upright, np.pi) < 5


def test_a_wall_has_no_landmarks() -> None:
    wall = np.random.default_rng(0).integers(100, 140, (256, 320, 3)).astype(np.uint8)
    found = oriented.create("pipnet", DetectorOptions()).detect(wall, BOX[None])
    assert np.isnan(found.xy).all()
    assert not found.score.any()


@pytest.mark.slow
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_detect_finds_a_face_that_lies(quarters: int) -> None:
    image = still_images.photo()
    pipeline = ImagePipeline(ImageOptions(init="pipnet"))
    (_, upright), (_, lying) = pipeline.run([image, np.rot90(image, -quarters)])
    (box,) = boxes_back(face_detectors.create("mtcnn").detect(image).boxes, 0, (320, 256))
    np.testing.assert_allclose(upright.boxes[0], box, atol=1e-3)
    middle = (np.array(lying.size) - 1) / 2
    back = (lying.xy[0] - middle) @ rotation(quarters * QUARTER) + (np.array([320, 256]) - 1) / 2
    between = np.linalg.norm(upright.xy[0, 36] - upright.xy[0, 45])
    assert np.linalg.norm(back - upright.xy[0], axis=-1).mean() < 0.02 * between


@pytest.mark.slow
@pytest.mark.parametrize(("name", "quarters"), [("lie_cw", 1), ("upside", 2)])
def test_clips_of_faces_that_lie_are_tracked(shared_cases: Path, name: str, quarters: int) -> None:
    tracks = facetrack.track(shared_cases / f"{name}.mp4", tracker="lk")
    assert np.isfinite(tracks.xy).all()
    eyes = tracks.xy[:, 0, 36:48].mean(1)
    chin = tracks.xy[:, 0, 8]
    up = (eyes - chin) @ rotation(quarters * QUARTER)
    assert (up[:, 1] < -3 * np.abs(up[:, 0])).all()
