"""Poses in the terms of a picture, a crop and a camera are one pose."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facetrack.detectors.alignment import FaceFrame
from facetrack.head_pose.picture_pose import (
    MIRROR,
    PicturePoses,
    choose_camera,
    from_numbers,
    to_numbers,
)
from facetrack.measures import face_model, rotations
from facetrack.measures.face_model import SIDES
from facetrack.measures.pose import Camera
from facetrack.ops.similarity import as_complex

CAMERA = Camera(500.0, (320.0, 240.0))
FRAMES = [
    FaceFrame(np.array([100.0, 140.0]), 90.0, 0.4),
    FaceFrame(np.array([300.0, 20.0]), 200.0, -2.0),
    FaceFrame(np.array([50.5, 60.25]), 31.0, 0.0),
]


def draw(count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and translations of heads all over a picture of 640 x 480."""
    random = np.random.default_rng(1)
    rotation = rotations.from_angles(random.uniform(-1.4, 1.4, (count, 3)))
    depth = random.uniform(400, 900, (count, 1))
    return rotation, np.hstack([random.uniform(-0.5, 0.5, (count, 2)) * depth, depth])


def test_a_camera_and_back():
    rotation, translation = draw()
    again = PicturePoses.of_camera(rotation, translation, CAMERA).in_camera(CAMERA)
    assert np.allclose(again[0], rotation)
    assert np.allclose(again[1], translation)


def test_a_head_beside_the_axis_that_looks_into_the_camera_has_no_rotation_in_the_picture():
    """It turns towards the camera by the angle at which it is seen."""
    translation = np.array([[300.0, 0.0, 600.0]])
    angle = math.atan2(300, 600)
    rotation = rotations.from_angles(np.array([[0, angle, 0]]))
    poses = PicturePoses.of_camera(rotation, translation, CAMERA)
    assert np.allclose(poses.rotation, np.eye(3))
    assert np.allclose(poses.place, [[320 + 500 * 0.5, 240]])
    assert poses.scale == pytest.approx(500 / 600)


def test_from_afar_the_picture_is_that_of_the_camera():
    camera, face = Camera(20_000.0, (320.0, 240.0)), face_model.load().mean
    rotation, translation = draw()
    translation = np.hstack([translation[:, :2] * 0.1, np.full((3, 1), 30_000.0)])
    poses = PicturePoses.of_camera(rotation, translation, camera)
    turned = np.einsum("fab,nb->fna", rotation, face) + translation[:, None]
    assert np.abs(poses.project(face) - camera.project(turned)).max() < 0.2


def test_a_crop_and_back():
    poses = PicturePoses.of_camera(*draw(), CAMERA)
    numbers = to_numbers(poses, FRAMES)
    again = from_numbers(numbers, FRAMES)
    assert numbers.shape == (3, 6)
    for name in ("rotation", "place", "scale"):
        assert np.allclose(getattr(again, name), getattr(poses, name))


def test_the_numbers_are_those_of_the_picture_of_the_crop():
    """The points of a face lie in the crop where its numbers say."""
    face = face_model.load().mean
    poses = PicturePoses.of_camera(*draw(), CAMERA)
    whole = FaceFrame(np.full(2, 39.5), 80.0, 0.0)
    inside = from_numbers(to_numbers(poses, FRAMES), [whole] * 3).project(face)
    for frame, points, seen in zip(FRAMES, poses.project(face), inside, strict=True):
        assert np.allclose(frame.to_crop(points, 80), seen)


def test_the_mirrored_numbers_are_those_of_the_mirrored_head():
    face = face_model.load().mean
    numbers = to_numbers(PicturePoses.of_camera(*draw(), CAMERA), FRAMES)
    whole = [FaceFrame(np.zeros(2), 100.0, 0.0)] * 3
    seen = from_numbers(numbers, whole).project(face)
    mirrored = from_numbers(numbers * MIRROR, whole).project(face * SIDES)
    assert np.allclose(mirrored, seen * (-1, 1))


def test_a_roll_of_the_crop_is_taken_out():
    """A head that is rolled like its crop has the numbers of an upright one."""
    upright = FaceFrame(np.array([0.0, 0.0]), 50.0, 0.0)
    rolled = upright._replace(roll=0.7)
    poses = PicturePoses.of_camera(*draw(1), CAMERA)
    turn = rotations.from_vector(np.array([[0, 0, 0.7]]))
    place = as_complex(poses.place) * np.exp(0.7j)
    same = PicturePoses(turn @ poses.rotation, np.stack([place.real, place.imag], -1), poses.scale)
    assert np.allclose(to_numbers(same, [rolled]), to_numbers(poses, [upright]))


def test_a_close_face_has_a_longer_focal_length():
    def at(scale: float) -> list[PicturePoses]:
        return [PicturePoses(np.eye(3)[None], np.zeros((1, 2)), np.array([scale]))]

    plain = Camera.of_frame((640, 480))
    assert choose_camera((640, 480), None, at(0.8)) == plain
    assert choose_camera((640, 480), None, []) == plain
    close = choose_camera((640, 480), None, at(2.5))
    assert at(2.5)[0].in_camera(close)[1][0, 2] == pytest.approx(400)
    assert choose_camera((640, 480), 600.0, at(2.5)).focal == 600
    unknown = [
        PicturePoses(np.full((1, 3, 3), np.nan), np.full((1, 2), np.nan), np.array([np.nan]))
    ]
    assert choose_camera((640, 480), None, unknown) == plain


def test_no_heads():
    none = PicturePoses.joined([])
    assert len(none) == 0
    assert none.in_camera(CAMERA)[1].shape == (0, 3)
    assert to_numbers(none, []).shape == (0, 6)
