"""The methods side by side."""

from __future__ import annotations

import numpy as np
import pytest

from facetrack.comparison.grid import MAX_HEIGHT, MAX_WIDTH, Grid, best_shape
from facetrack.tracks import Tracks


@pytest.mark.parametrize(
    ("count", "size", "shape"),
    [
        (1, (640, 480), (1, 1)),
        (2, (640, 480), (2, 1)),
        (4, (640, 480), (2, 2)),
        (6, (640, 480), (3, 2)),
        (12, (640, 480), (4, 3)),
        (3, (480, 640), (3, 1)),
        (4, (360, 1280), (4, 1)),
    ],
)
def test_pictures_are_as_large_as_a_wide_screen_allows(count, size, shape) -> None:
    assert best_shape(count, size) == shape


@pytest.mark.parametrize("size", [(64, 48), (641, 479), (3840, 2160), (720, 4000)])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_whole_is_even_and_within_bounds(size, count) -> None:
    grid = Grid([f"method {i}" for i in range(count)], size)
    width, height = grid.size
    assert width % 2 == height % 2 == 0
    assert width <= MAX_WIDTH + 1
    assert height <= MAX_HEIGHT + 1
    assert grid.cell[0] <= size[0]
    assert abs(grid.cell[0] / grid.cell[1] - size[0] / size[1]) < 0.02 * size[0] / size[1]


def test_each_method_is_drawn_in_its_own_picture() -> None:
    size = (2000, 1000)
    grid = Grid(["one", "two"], size)
    seen = np.ones((1, 1, 1), bool)

    def tracks(x, y):
        xy = np.array([[[[x, y]]]], np.float32)
        time, ids = np.zeros(1), np.zeros(1, np.int64)
        return Tracks(xy, seen, seen.astype(np.float32), time, ids, "points-1", size)

    made = {"one": tracks(500, 250), "two": tracks(1500, 750)}
    image = np.full((1000, 2000, 3), 128, np.uint8)
    whole = grid.picture(image, made, 0)
    assert whole.shape == (*grid.size[::-1], 3)
    width, height = grid.cell
    for i, (x, y) in enumerate([(0.25, 0.25), (0.75, 0.75)]):
        left, top = i % grid.columns * width, i // grid.columns * (height + grid.band)
        picture = whole[top + grid.band : top + grid.band + height, left : left + width]
        rows, columns = np.nonzero((picture != 128).any(-1))
        assert columns.mean() == pytest.approx(x * width - 0.5, abs=1)
        assert rows.mean() == pytest.approx(y * height - 0.5, abs=1)
        name = whole[top : top + grid.band, left : left + width]
        assert (name > 200).any()
