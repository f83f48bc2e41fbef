"""The geometry face detectors share, and the registry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facetrack import faces
from facetrack.errors import FacetrackError
from facetrack.faces.base import as_rgb, largest_first, map_back, resize


def test_unknown_name_lists_the_choices() -> None:
    with pytest.raises(FacetrackError, match=r"no face detector 'eyes'.*auto, hog, cnn"):
        faces.create("eyes")


@pytest.mark.parametrize("name", faces.available())
def test_every_registered_detector_can_be_made(name: str) -> None:
    assert faces.create(name).name == name


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
