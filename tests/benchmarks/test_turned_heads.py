"""Rendered heads have the pose they are said to have, and their picture shows it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.clips.turned_heads import CAMERA, SIZE, heads, render
from facetrack.head_pose.picture_pose import PicturePoses
from facetrack.measures import face_model, rotations
from facetrack.measures.pose import estimate

NOSE_TIP = 30


@pytest.fixture(scope="module")
def photograph() -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with a white dot on the tip of the nose of the generic face."""
    pose = PicturePoses(
        rotations.from_angles(np.radians([[0, 5, 8]])), np.full((1, 2), 150.0), np.array([1.0])
    )
    points = pose.project(face_model.load().mean)[0]
    x, y = points[NOSE_TIP]
    square = (np.arange(300) - x)[None] ** 2 + (np.arange(300) - y)[:, None] ** 2
    picture = 60 + 195 * np.exp(-square / 18)
    return np.repeat(picture[..., None], 3, -1).astype(np.uint8), points


@pytest.mark.parametrize("angles", [(0, 0, 0), (10, 40, -15), (-10, -60, 10)])
def test_the_dot_is_where_the_pose_puts_it(
    photograph: tuple[np.ndarray, np.ndarray], angles: tuple[float, ...]
) -> None:
    image, points = photograph
    (head,) = heads([image], points[None])
    rotation = rotations.from_angles(np.radians(angles))
    place = np.array([60.0, -30.0, 450.0])
    picture = render(head, rotation, place)
    assert picture.image.shape == (SIZE[1], SIZE[0], 3)
    bright = picture.image[..., 0].astype(float) - 130
    weight = bright.clip(0) / bright.clip(0).sum()
    seen = np.array([weight.sum(0) @ np.arange(SIZE[0]), weight.sum(1) @ np.arange(SIZE[1])])
    assert np.linalg.norm(seen - picture.points[NOSE_TIP]) < 6
    found = estimate(picture.points[None], np.ones((1, 68), bool), CAMERA, face_model.load().mean)
    assert rotations.angle_between(found.rotation[0], rotation) < 2.5
    assert np.abs(found.translation[0] - place).max() < 15


def test_only_faces_that_look_into_the_camera_are_taken(
    photograph: tuple[np.ndarray, np.ndarray],
) -> None:
    turned = PicturePoses(
        rotations.from_angles(np.radians([[0, 50, 0]])), np.full((1, 2), 150.0), np.array([1.0])
    ).project(face_model.load().mean)
    assert list(heads([photograph[0]], turned)) == []
