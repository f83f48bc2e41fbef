"""Test face chips, descriptors and galleries."""

from __future__ import annotations

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facetrack.errors import FacetrackError
from facetrack.identity import descriptors
from facetrack.identity.descriptors import (
    CHIP_CENTRE_PX,
    CHIP_EYE_DISTANCE_PX,
    CHIP_SIDE_PX,
    FaceDescriptor,
    Gallery,
)
from facetrack.identity.shape_model import ShapeModel
from facetrack.landmarks import schemes
from facetrack.weights import dlib_models

DESCRIPTOR = FaceDescriptor()
MEAN = ShapeModel.load().mean


def mean_face(eyes: float, angle: float = 0.0, at: tuple[float, float] = (200, 150)) -> np.ndarray:
    """Return the mean face (68, 2) with `eyes` pixels between the outer eye corners."""
    turned = (MEAN @ np.array([1, 1j])) * eyes * np.exp(1j * angle)
    return np.stack([turned.real, turned.imag], -1) + at


def ramp_image(height: int = 300, width: int = 400) -> np.ndarray:
    """Draw an image whose red is x / 2 and whose green is y / 2."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x / 2, y / 2, 0 * x], -1).astype(np.uint8)


def random_image(seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)
    return cv2.resize(coarse, (400, 300), interpolation=cv2.INTER_CUBIC)


@settings(max_examples=25)
@given(
    st.floats(20, 120), st.floats(-0.8, 0.8), st.floats(150, 250), st.floats(120, 180)
)  # fmt: skip
def test_chips_show_faces_upright_and_at_one_size(eyes, angle, x, y):
    points = mean_face(eyes, angle, (x, y))
    cut = DESCRIPTOR.extract_chip(ramp_image(), points)
    assert cut is not None
    for landmark in (30, 33, 39, 42):
        column, row = MEAN[landmark] * CHIP_EYE_DISTANCE_PX + CHIP_CENTRE_PX
        seen = cv2.getRectSubPix(cut, (1, 1), (float(column), float(row)))[0, 0, :2] * 2.0 + 0.5
        np.testing.assert_allclose(seen, points[landmark], atol=2.5)


def test_chips_are_those_of_dlib():
    points = np.rint(mean_face(60, 0.2))
    parts = [dlib.point(int(x), int(y)) for x, y in points]
    shape = dlib.full_object_detection(dlib.rectangle(100, 100, 200, 200), parts)
    theirs = dlib.get_face_chip(ramp_image(), shape, size=CHIP_SIDE_PX, padding=0.25).astype(int)
    ours = DESCRIPTOR.extract_chip(ramp_image(), points)
    assert ours is not None
    inner = slice(20, 130)
    assert np.abs(ours.astype(int) - theirs)[inner, inner, :2].max() <= 2


def test_large_faces_are_averaged_not_sampled():
    fine = (np.indices((900, 1200)).sum(0) % 2 * 255).astype(np.uint8)
    cut = DESCRIPTOR.extract_chip(np.dstack([fine] * 3), mean_face(400, at=(600, 400)))
    assert cut is not None
    assert cut[40:110, 40:110].std() < 12


def test_averaging_does_not_shift_the_face():
    x = np.mgrid[:900, :1200][1] / 4.8
    image = np.dstack([x] * 3).round().astype(np.uint8)
    cut = DESCRIPTOR.extract_chip(image, mean_face(290, at=(600, 400)))
    assert cut is not None
    columns = np.arange(20, 130)
    seen = cut[60:100, columns, 0].mean(0) * 4.8
    off = seen - ((columns - CHIP_CENTRE_PX[0]) / CHIP_EYE_DISTANCE_PX * 290 + 600)
    assert abs(off.mean()) < 0.5


def test_descriptor_does_not_depend_on_the_position():
    image, points = random_image(), mean_face(50, at=(150, 150))
    moved = np.roll(image, (7, 30), axis=(0, 1))
    first, second = DESCRIPTOR.describe(image, points), DESCRIPTOR.describe(moved, points + (30, 7))
    assert first is not None
    assert second is not None
    assert first.shape == (128,)
    assert np.linalg.norm(first - second) < 0.02
    stranger = DESCRIPTOR.describe(random_image(1), points)
    assert stranger is not None
    assert np.linalg.norm(first - stranger) > 0.02


def test_layout_98_is_mapped_to_68():
    points = np.zeros((98, 2))
    points[list(schemes.MAP_98_TO_68)] = mean_face(50)
    np.testing.assert_array_equal(
        DESCRIPTOR.extract_chip(ramp_image(), points),
        DESCRIPTOR.extract_chip(ramp_image(), mean_face(50)),
    )


@pytest.mark.parametrize(
    "points",
    [
        mean_face(descriptors.MIN_EYE_DISTANCE_PX - 1),
        mean_face(50, at=(5, 150)),
        mean_face(50, at=(-900, 150)),
        np.full((68, 2), 100.0),
        np.where(np.arange(68)[:, None] == 3, np.nan, mean_face(50)),
        mean_face(50)[:29],
        mean_face(50)[:19],
    ],
    ids=["small", "half outside", "outside", "collapsed", "unknown", "29", "19"],
)
def test_faces_without_descriptor(points: np.ndarray):
    assert DESCRIPTOR.describe(random_image(), points) is None


def test_missing_model_file_raises(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(dlib_models, "PACKAGE", "no_such_package")
    monkeypatch.setattr(descriptors, "model_file", dlib_models.model_file.__wrapped__)
    with pytest.raises(FacetrackError, match="not installed; run: pip install"):
        FaceDescriptor().describe(random_image(), mean_face(50))


def test_damaged_model_file_raises(monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / descriptors.MODEL_FILE).write_text("nothing")
    elsewhere = dlib_models.ModelFile("x", tmp_path / descriptors.MODEL_FILE, "none")
    monkeypatch.setattr(descriptors, "model_file", lambda name: elsewhere)
    with pytest.raises(FacetrackError, match="dlib cannot read"):
        FaceDescriptor().describe(random_image(), mean_face(50))


# ------------------------------------------------------------------ galleries


def at(x: float, y: float = 0.0) -> np.ndarray:
    return np.array([x, y])


def test_nearest_known_face_is_identified():
    gallery = Gallery()
    for face, x in ((4, 0.0), (7, 1.0), (7, 2.0)):
        gallery.remember(face, at(x))
    assert gallery.identify(at(0.3)) == 4
    assert gallery.identify(at(1.7)) == 7
    assert gallery.distance(7, at(1.7)) == pytest.approx(0.3)
    assert gallery.identify(at(0.3), among=[7]) is None
    assert gallery.identify(at(0.6), among=[7]) == 7
    assert gallery.identify(at(0.6), among=[]) is None


def test_unknown_face_is_not_identified():
    gallery = Gallery(same_distance=0.5)
    gallery.remember(0, at(0))
    assert gallery.identify(at(0.49)) == 0
    assert gallery.identify(at(0.51)) is None


def test_distance_of_an_unknown_face_is_infinite():
    assert Gallery().distance(3, at(0)) == float("inf")
    assert Gallery().identify(at(0)) is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_gallery_is_bounded(values):
    gallery = Gallery(max_descriptors=4)
    for value in values:
        gallery.remember(1, at(value))
    assert len(gallery._known[1]) == min(4, len(values))
    # The last descriptor is always kept.
    assert gallery.distance(1, at(values[-1])) == 0


def test_descriptors_that_differ_are_kept():
    gallery = Gallery(max_descriptors=3)
    for x in (0.0, 5.0, 9.0, *np.linspace(0.1, 0.2, 50)):
        gallery.remember(1, at(x))
    assert gallery.distance(1, at(5)) == gallery.distance(1, at(9)) == 0
