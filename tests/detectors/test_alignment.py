"""Aligned crops: faces are upright in them, and points go there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.detectors import alignment, pipnet_meanface
from facetrack.detectors.alignment import FaceFrame, align
from facetrack.detectors.crops import SIZE, hog_box
from facetrack.errors import FacetrackError

FACE = pipnet_meanface.read("data_300W") * 100


def turned(points: np.ndarray, roll: float, scale: float, shift: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(roll), np.sin(roll)
    return points @ np.array([[cos, -sin], [sin, cos]]).T * scale + shift


@given(
    st.floats(-3.1, 3.1), st.floats(0.3, 20), st.floats(-500, 500), st.floats(-500, 500),
    st.integers(0, 100),
)  # fmt: skip
def test_a_face_looks_the_same_however_it_lies(roll, scale, right, down, seed):
    face = FACE + np.random.default_rng(seed).normal(0, 2, FACE.shape)
    upright = align(face)
    frame = align(turned(face, roll, scale, np.array([right, down])))
    moved = turned(face, roll, scale, np.array([right, down]))
    np.testing.assert_allclose(frame.to_crop(moved), upright.to_crop(face), atol=1e-6)


@given(st.floats(-3.1, 3.1), st.floats(20, 900), st.sampled_from([64, SIZE, 352]))
def test_points_go_to_the_crop_and_back(roll, side, size):
    frame = FaceFrame(np.array([31.5, -8.0]), side, roll)
    points = np.random.default_rng(0).uniform(-300, 300, (9, 2))
    np.testing.assert_allclose(frame.to_image(frame.to_crop(points, size), size), points, atol=1e-7)


def test_all_landmarks_are_in_the_crop_with_a_margin():
    inside = align(FACE).to_crop(FACE)
    longer = np.ptp(inside, axis=0).max()
    assert longer == pytest.approx(SIZE / alignment.SIDE)
    np.testing.assert_allclose((inside.min(0) + inside.max(0)) / 2, (SIZE - 1) / 2, atol=1e-6)


@settings(max_examples=20)
@given(st.floats(-3.1, 3.1), st.floats(100, 900))
def test_dots_stay_under_their_landmarks(roll, side):
    frame = FaceFrame(np.array([310.0, 280.0]), side, roll)
    dot = frame.to_image(np.array([90.0, 150.0]))
    x, y = np.arange(640), np.arange(560)
    spread = 2 * (side / SIZE) ** 2 * 9
    image = np.exp(-((x - dot[0]) ** 2 + (y[:, None] - dot[1]) ** 2) / spread)
    crop = frame.cut((255 * image[..., None].repeat(3, -1)).astype(np.uint8))
    assert crop is not None
    mass = crop[..., 0].astype(float)
    axis = np.arange(SIZE)
    found = np.array([(mass.sum(0) * axis).sum(), (mass.sum(1) * axis).sum()]) / mass.sum()
    if (dot > 20).all() and (dot < (620, 540)).all():
        np.testing.assert_allclose(found, (90.0, 150.0), atol=0.3)


def test_large_faces_are_averaged_and_not_sampled():
    image = np.random.default_rng(0).integers(0, 255, (2048, 2048, 3)).astype(np.uint8)
    crop = FaceFrame(np.full(2, 1023.5), 2048.0, 0.0).cut(image)
    assert crop is not None
    assert crop.std() < image.std() / 4


def test_a_square_outside_the_image_has_no_crop():
    assert FaceFrame(np.array([-400.0, 50.0]), 300.0, 0.3).cut(np.zeros((9, 9, 3), "u1")) is None


def test_a_box_gives_nearly_the_square_of_its_landmarks():
    exact, given_box = align(FACE), alignment.frame_of_box(hog_box(FACE), alignment.SIDE)
    assert given_box.roll == 0
    assert given_box.side == pytest.approx(exact.side, rel=0.1)
    np.testing.assert_allclose(given_box.centre, exact.centre, atol=3)


def test_the_98_points_give_nearly_the_square_of_the_68():
    face = pipnet_meanface.read("WFLW") * 100
    assert abs(align(face).roll) < 0.05


@pytest.mark.parametrize("text", ["nan", "-1", "[1]", "x", "1e9"])
def test_a_damaged_side_is_refused(text):
    with pytest.raises(FacetrackError, match="crop rule"):
        alignment.read_side({alignment.KEY: text}, Path("w"))


def test_the_side_is_read_as_written():
    assert alignment.read_side({}, Path("w")) is None
    written = {alignment.KEY: alignment.write_side(1.25)}
    assert alignment.read_side(written, Path("w")) == 1.25
