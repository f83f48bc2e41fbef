"""The network's pose agrees with the landmarks', and turns with the picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from still_images import BOX, photo

from facetrack import detectors
from facetrack.errors import FacetrackError
from facetrack.head_pose.estimator import HeadPoseEstimator
from facetrack.head_pose.picture_pose import PicturePoses
from facetrack.measures import face_model, rotations
from facetrack.measures.face_model import SIDES
from facetrack.measures.pose import Camera, estimate

BOXES = np.array([BOX], float)


@pytest.fixture(scope="module")
def estimator() -> HeadPoseEstimator:
    return HeadPoseEstimator(device="cpu")


@pytest.fixture(scope="module")
def seen(estimator: HeadPoseEstimator) -> PicturePoses:
    return estimator.estimate(photo(), BOXES)


def angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(rotations.angle_between(first, second))


def test_it_agrees_with_the_landmarks(seen: PicturePoses) -> None:
    options = detectors.DetectorOptions(device="cpu")
    points = detectors.create("star", options).detect(photo(), BOXES).xy.astype(float)
    camera = Camera(1500.0, (160.0, 128.0))
    fitted = estimate(points, np.ones((1, 68), bool), camera, face_model.load().mean)
    assert angle(seen.in_camera(camera)[0][0], fitted.rotation[0]) < 12
    unit = np.linalg.norm(points[0, 36] - points[0, 45])
    away = np.linalg.norm(seen.project(face_model.load().mean)[0] - points[0], axis=-1)
    assert away.mean() < 0.15 * unit


def test_the_mirrored_picture_has_the_mirrored_pose(
    estimator: HeadPoseEstimator, seen: PicturePoses
) -> None:
    picture = photo()
    width = picture.shape[1]
    box = np.array([[width - 1 - BOX[2], BOX[1], width - 1 - BOX[0], BOX[3]]], float)
    mirrored = estimator.estimate(np.ascontiguousarray(picture[:, ::-1]), box)
    assert angle(mirrored.rotation[0], seen.rotation[0] * np.outer(SIDES, SIDES)) < 5
    assert mirrored.place[0, 0] == pytest.approx(width - 1 - seen.place[0, 0], abs=2)


@pytest.mark.parametrize("degrees", [-45, 30])
def test_a_rolled_picture_has_the_rolled_pose(
    estimator: HeadPoseEstimator, seen: PicturePoses, degrees: float
) -> None:
    middle = (BOXES[0, :2] + BOXES[0, 2:]) / 2
    matrix = cv2.getRotationMatrix2D(tuple(middle), -degrees, 1.0)  # clockwise
    rolled = cv2.warpAffine(photo(), matrix, (320, 256), borderMode=cv2.BORDER_REPLICATE)
    turn = rotations.from_vector(np.array([0, 0, np.radians(degrees)]))
    found = estimator.estimate(rolled, BOXES)
    assert angle(found.rotation[0], turn @ seen.rotation[0]) < 10
    place = matrix[:, :2] @ seen.place[0] + matrix[:, 2]
    assert np.linalg.norm(found.place[0] - place) < 8


def test_the_second_pass_makes_up_for_boxes_that_are_off(
    estimator: HeadPoseEstimator, seen: PicturePoses
) -> None:
    once = HeadPoseEstimator(device="cpu", passes=1)
    side = BOX[2] - BOX[0]
    shifts = 0.15 * side * np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
    boxes = BOXES + np.tile(shifts, 2)
    spread = [
        np.linalg.norm(e.estimate(photo(), boxes).place - seen.place, axis=1).mean()
        for e in (estimator, once)
    ]
    assert spread[0] < spread[1]
    assert spread[0] < 0.06 * side


def test_faces_of_one_picture_do_not_influence_each_other(
    estimator: HeadPoseEstimator, seen: PicturePoses
) -> None:
    far = [[1000, 1000, 1100, 1100]]
    boxes = np.concatenate([far, BOXES, BOXES, [[np.nan] * 4], [[5, 5, 5, 5]]])
    found = estimator.estimate(photo(), boxes)
    assert found.known.tolist() == [False, True, True, False, False]
    for row in (1, 2):
        assert np.allclose(found.rotation[row], seen.rotation[0], atol=1e-4)
    assert not np.isfinite(found.rotation[0]).any()


def test_no_faces(estimator: HeadPoseEstimator) -> None:
    assert len(estimator.estimate(photo(), np.zeros((0, 4)))) == 0


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(FacetrackError):
        HeadPoseEstimator(str(path))
    with pytest.raises(FacetrackError, match="head poses"):
        HeadPoseEstimator(str(Path(__file__).parents[2] / "weights/confidence-s.safetensors"))
