"""The geometry face detectors share, and the registry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from facetrack import face_detectors
from facetrack.errors import FacetrackError
from facetrack.face_detectors.base import (
    hog_from_box,
    hog_from_five,
    largest_first,
    map_back,
    non_maximum_suppression,
    resize,
)
from facetrack.ops.image import as_rgb
from facetrack.weights import resolve


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(FacetrackError, match=r"no face detector 'eyes'.*auto, hog, cnn, mtcnn"):
        face_detectors.create("eyes")


@pytest.mark.parametrize("name", face_detectors.available())
def test_every_registered_detector_can_be_made(name: str) -> None:
    assert face_detectors.create(name).name == name


def test_a_file_gives_mtcnn_weights_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own=1.safetensors"
    path.write_bytes(resolve("mtcnn").path.read_bytes())
    detector = face_detectors.create(f"mtcnn={path}")
    described = detector.describe()
    assert (detector.name, described["weights"]) == ("mtcnn", str(path))
    assert "licence" not in described
    astronaut = data.astronaut()
    expected = face_detectors.create("mtcnn").detect(astronaut)
    np.testing.assert_array_equal(detector.detect(astronaut).boxes, expected.boxes)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mtcnn=nowhere.safetensors", "'nowhere.safetensors' is neither a file nor one of"),
        ("mtcnn=", "'' is neither a file nor one of the weights for mtcnn: mtcnn"),
        ("mtcnn=star-s", "The weights star-s are for star, not for mtcnn."),
        ("hog=a.dat", "The face detector hog takes no weights; mtcnn does."),
        ("eyes=a.dat", "There is no face detector 'eyes'"),
    ],
)
def test_wrong_weights_are_said_at_once(name: str, sentence: str) -> None:
    with pytest.raises(FacetrackError) as error:
        face_detectors.create(name)
    assert sentence in str(error.value)


def test_largest_box_comes_first_with_its_score() -> None:
    found = largest_first(np.array([[0, 0, 2, 2], [5, 5, 9, 9], [0, 0, 3, 3]]), np.array([1, 2, 3]))
    assert found.boxes[:, 2].tolist() == [9, 3, 2]
    assert found.score.tolist() == [2, 3, 1]


def test_no_boxes_keep_their_shape() -> None:
    found = largest_first(np.array([]), np.array([]))
    assert (found.boxes.shape, found.score.shape) == ((0, 4), (0,))
    assert found.boxes.dtype == found.score.dtype == np.float32


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    scale=st.floats(0.05, 4),
    x=st.floats(-50, 450),
    y=st.floats(-50, 450),
)
def test_map_back_undoes_the_resizing(
    width: int, height: int, scale: float, x: float, y: float
) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    resized = resize(image, scale)
    sx, sy = resized.shape[1] / width, resized.shape[0] / height
    there = [(x + 0.5) * sx - 0.5, (y + 0.5) * sy - 0.5] * 2
    np.testing.assert_allclose(
        map_back(np.array([there]), resized, image)[0], [x, y, x, y], atol=1e-9
    )


def test_map_back_agrees_with_the_resized_pixels() -> None:
    # A bright pixel at (6, 4) covers, at five times the size, 5 x 5 pixels centred on (32, 22).
    image = np.zeros((9, 13, 3), np.uint8)
    image[4, 6] = 255
    resized = resize(image, 5)
    y, x = np.mean(np.nonzero(resized[..., 0] >= 128), axis=1)
    np.testing.assert_allclose(map_back(np.array([[x, y, x, y]]), resized, image), [[6, 4, 6, 4]])


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (as_rgb(grey) == grey[..., None]).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
    ids=["float", "four channels", "empty"],
)
def test_what_is_not_an_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        as_rgb(image)


def test_of_overlapping_boxes_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10]], float)
    assert non_maximum_suppression(boxes, np.array([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]


def test_a_box_that_was_dropped_drops_no_other() -> None:
    # Each overlaps the next by 6 of 14, the first and the last do not reach that.
    boxes = np.array([[0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1]], float)
    assert non_maximum_suppression(boxes, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_a_box_inside_another_overlaps_wholly_by_the_smaller() -> None:
    boxes = np.array([[0, 0, 10, 10], [4, 4, 6, 6]], float)
    score = np.array([0.9, 0.8])
    assert non_maximum_suppression(boxes, score, 0.7).tolist() == [0, 1]
    assert non_maximum_suppression(boxes, score, 0.7, of="smaller").tolist() == [0]


def test_no_boxes_are_kept_of_none() -> None:
    assert non_maximum_suppression(np.empty((0, 4)), np.empty(0), 0.5).shape == (0,)


def test_box_rule_is_relative_to_each_box() -> None:
    boxes = np.array([[10, 20, 90, 140], [10, 20, 18, 32]], float)  # mean sides 100 and 10
    large, small = hog_from_box(boxes, (0.1, 0.2), 0.9)
    np.testing.assert_allclose(large, [60 - 45, 100 - 45, 60 + 45, 100 + 45])
    np.testing.assert_allclose(small, [15 - 4.5, 28 - 4.5, 15 + 4.5, 28 + 4.5])


def test_five_point_rule_measures_from_the_eyes_to_the_mouth() -> None:
    # Root mean square distance from the mean (0, 0): sqrt((4 * (9 + 16) + 0) / 5) = sqrt(20).
    five = np.array([[-3, -4], [3, -4], [0, 0], [-3, 4], [3, 4]], float) + [50, 60]
    side = 3 * np.sqrt(20)
    (box,) = hog_from_five(five[None], 0.75, 3)
    np.testing.assert_allclose(box[:2] + box[2:], [100, 2 * 62])
    np.testing.assert_allclose(box[2:] - box[:2], [side, side])


def test_five_point_rule_turns_with_the_face() -> None:
    five = np.array([[-3, -4], [3, -4], [0, 1], [-2, 4], [2, 4]], float)
    turned = np.column_stack([-five[:, 1], five[:, 0]])  # by 90 degrees
    (a, b) = hog_from_five(np.stack([five, turned]), 0.75, 3)
    np.testing.assert_allclose(b[2:] - b[:2], a[2:] - a[:2])
    x, y = (a[:2] + a[2:]) / 2
    np.testing.assert_allclose((b[:2] + b[2:]) / 2, [-y, x])
