"""Square crops: a mark is where the placement says it is."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.detectors import crops
from facetrack.detectors.crops import SIZE


def mark(size: int, x: float, y: float, spread: float) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    blob = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
    return np.repeat(np.round(blob).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("side", [90.0, 256.0, 700.3, 1550.0])
def test_mark_is_where_the_placement_says(side: float, average: bool) -> None:
    at = np.array([611.3, 588.6])
    image = mark(1200, *at, spread=side / 40)
    crop, placement = crops.cut_square(image, at + (side / 7, -side / 9), side, average)
    weight = crop[..., 0].astype(float)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(found * placement.scale + placement.origin, at, atol=side / 2000)


def test_averaging_smooths_the_grain_of_a_large_face() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1100, 1100, 3)).astype(np.uint8)
    centre = np.array([550.2, 549.9])
    grainy, _ = crops.cut_square(image, centre, 1024, average=False)
    smooth, _ = crops.cut_square(image, centre, 1024, average=True)
    assert smooth.std() < 0.4 * grainy.std()
    assert smooth.mean() == pytest.approx(127.5, abs=2)


@pytest.mark.parametrize("side", [300.0, 900.0])
def test_outside_the_image_is_black(side: float) -> None:
    image = np.full((400, 500, 3), 255, np.uint8)
    crop, placement = crops.cut_square(image, np.zeros(2), side, average=True)
    first = int(np.ceil(-placement.origin[0] / placement.scale[0]))
    assert not crop[: first - 3].any()
    assert not crop[:, : first - 3].any()
    assert (crop[first + 3 : first + 50, first + 3 : first + 50] == 255).all()


def test_nothing_of_the_image_gives_nothing() -> None:
    image = np.full((40, 50, 3), 255, np.uint8)
    assert crops.cut_square(image, np.array([-100.0, 20.0]), 100, average=True) is None
    assert crops.cut_square(image, np.array([20.0, 200.0]), 100, average=True) is None


def test_small_image_in_a_large_square() -> None:
    image = np.full((3, 2, 3), 255, np.uint8)
    crop, _ = crops.cut_square(image, np.array([1.0, 1.0]), 5000, average=True)
    assert crop.shape == (SIZE, SIZE, 3)


def test_square_of_its_own_size_is_the_image_itself() -> None:
    image = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    crop, _ = crops.cut_square(image, np.full(2, (SIZE - 1) / 2), SIZE, average=True)
    np.testing.assert_array_equal(crop, image)
