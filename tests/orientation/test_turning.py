"""Pictures, boxes and points turn together."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.orientation.turning import (
    MAX_BOX_PX,
    QUARTER,
    Patch,
    boxes_back,
    cut_patch,
    nearest_quarter,
    rotation,
    turn_picture,
)

BOX = np.array([30.0, 40.0, 69.0, 79.0])


def picture(height: int = 120, width: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_a_positive_roll_is_clockwise_in_the_picture() -> None:
    forehead = rotation(QUARTER) @ (0, -1)
    np.testing.assert_array_equal(forehead, (1, 0))


@pytest.mark.parametrize("quarters", range(4))
def test_patches_at_quarter_turns_have_the_pixels_of_the_turned_picture(quarters: int) -> None:
    image = picture()
    patch = cut_patch(image, BOX, quarters * QUARTER)
    turned = turn_picture(image, quarters)
    # A pixel of the patch and the same pixel of the turned picture.
    y, x = 50, 55
    where = np.rint(patch.to_picture(np.array([x, y], float))).astype(int)
    np.testing.assert_array_equal(patch.image[y, x], image[where[1], where[0]])
    patches_of_turned = {tuple(pixel) for pixel in turned.reshape(-1, 3)}
    inside = patch.image[40:60, 40:60].reshape(-1, 3)
    assert {tuple(pixel) for pixel in inside} <= patches_of_turned


def box_in_picture(patch: Patch) -> np.ndarray:
    """Return the box (4,) in the picture of the face in a patch; both are squares."""
    centre = patch.to_picture((patch.box[:2] + patch.box[2:]) / 2)
    half = (patch.box[2:] - patch.box[:2]) / 2 * float(np.hypot(*patch.matrix[0]))
    return np.concatenate([centre - half, centre + half])


@pytest.mark.parametrize("roll", [0.0, 0.5, QUARTER, 3.0])
def test_the_box_of_a_patch_is_the_box_of_the_picture(roll: float) -> None:
    patch = cut_patch(picture(), BOX, roll)
    np.testing.assert_allclose(box_in_picture(patch), BOX, atol=1e-9)
    assert (patch.box >= 0).all()
    assert (patch.box < patch.image.shape[0]).all()


def test_a_mark_is_where_the_patch_shows_it() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    image[90:93, 120:123] = 255
    patch = cut_patch(image, np.array([60.0, 60.0, 139.0, 139.0]), 0.7)
    y, x = np.nonzero(patch.image[..., 0] > 60)
    np.testing.assert_allclose(
        patch.to_picture(np.array([x.mean(), y.mean()])), (121, 91), atol=0.3
    )


def test_patches_of_large_faces_have_a_lower_resolution() -> None:
    image = np.zeros((3000, 2600, 3), np.uint8)
    image[1498:1503, 1298:1303] = 255
    box = np.array([500.0, 700.0, 2099.0, 2299.0])
    patch = cut_patch(image, box, QUARTER)
    assert patch.box[2] - patch.box[0] < 2 * MAX_BOX_PX
    np.testing.assert_allclose(box_in_picture(patch), box, atol=1e-6)
    y, x = np.nonzero(patch.image[..., 0] > 60)
    found = patch.to_picture(np.array([x.mean(), y.mean()]))
    np.testing.assert_allclose(found, (1300, 1500), atol=1.5)


def test_pictures_too_long_for_opencv_are_turned() -> None:
    image = np.zeros((60, 40_000, 3), np.uint8)
    image[30, 39_950] = 255
    patch = cut_patch(image, np.array([39_930.0, 10.0, 39_969.0, 49.0]), QUARTER)
    y, x = np.nonzero(patch.image[..., 0])
    np.testing.assert_allclose(patch.to_picture(np.array([x[0], y[0]], float)), (39_950, 30))


def test_the_whole_picture_is_a_patch_without_a_turn() -> None:
    points = np.random.default_rng(1).normal(0, 100, (68, 2))
    np.testing.assert_array_equal(Patch.whole(picture(), BOX).to_picture(points), points)


@pytest.mark.parametrize("quarters", range(4))
def test_boxes_of_turned_pictures_return_to_their_place(quarters: int) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[20:40, 50:75] = 255
    y, x = np.nonzero(turn_picture(image, quarters)[..., 0])
    found = np.array([[x.min(), y.min(), x.max(), y.max()]])
    np.testing.assert_array_equal(boxes_back(found, quarters, (100, 80)), [[50, 20, 74, 39]])


def test_the_nearest_quarter_turn() -> None:
    turns = [nearest_quarter(np.radians(a)) for a in (0, 44, 46, 90, 170, -170, -91, -44)]
    assert turns == [0, 0, 1, 1, 2, 2, 3, 0]
