"""Test the cells around a position."""

from __future__ import annotations

import pytest
import torch

from facetrack.ops.sampling import surrounding_cells

HEIGHT, WIDTH = 6, 9


@pytest.mark.parametrize("size", [1, 3, 4, 7])
@pytest.mark.parametrize(("x", "y"), [(4.5, 3.5), (4.75, 3.0), (0.2, 5.9), (-3.0, 40.0)])
def test_cells_surround_the_position(x, y, size):
    index, inside, beyond = (
        part[0] for part in surrounding_cells(torch.tensor([[x, y]]), size, HEIGHT, WIDTH)
    )
    first = [int((v - 0.5) // 1) - size // 2 for v in (x, y)]
    assert beyond.tolist() == pytest.approx([(v - 0.5) % 1 for v in (x, y)], abs=1e-6)
    assert index.shape == inside.shape == (size + 1, size + 1)
    for i in range(size + 1):
        for j in range(size + 1):
            column, row = first[0] + j, first[1] + i
            expected = 0 <= column < WIDTH and 0 <= row < HEIGHT
            assert inside[i, j] == expected
            if expected:
                assert index[i, j] == row * WIDTH + column


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_indices_are_valid_for_any_position(value):
    index, inside, _ = surrounding_cells(torch.full((1, 2), value), 3, HEIGHT, WIDTH)
    assert ((index >= 0) & (index < HEIGHT * WIDTH)).all()
    assert not inside.any()
