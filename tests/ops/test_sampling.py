"""Cells around a place."""

from __future__ import annotations

import pytest
import torch

from facetrack.ops.sampling import lattice

HEIGHT, WIDTH = 6, 9


@pytest.mark.parametrize("size", [1, 3, 4, 7])
@pytest.mark.parametrize(("x", "y"), [(4.5, 3.5), (4.75, 3.0), (0.2, 5.9), (-3.0, 40.0)])
def test_cells_are_those_around_the_place(x, y, size):
    index, there, beyond = (
        part[0] for part in lattice(torch.tensor([[x, y]]), size, HEIGHT, WIDTH)
    )
    first = [int((v - 0.5) // 1) - size // 2 for v in (x, y)]
    assert beyond.tolist() == pytest.approx([(v - 0.5) % 1 for v in (x, y)], abs=1e-6)
    assert index.shape == there.shape == (size + 1, size + 1)
    for i in range(size + 1):
        for j in range(size + 1):
            column, row = first[0] + j, first[1] + i
            inside = 0 <= column < WIDTH and 0 <= row < HEIGHT
            assert there[i, j] == inside
            if inside:
                assert index[i, j] == row * WIDTH + column


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_no_place_names_a_cell_that_does_not_exist(value):
    index, there, _ = lattice(torch.full((1, 2), value), 3, HEIGHT, WIDTH)
    assert ((index >= 0) & (index < HEIGHT * WIDTH)).all()
    assert not there.any()
