"""Find the cells of a feature map around a position.

Coordinates are raster coordinates in cells, with the origin at the CORNER of the top-left cell:
the centre of cell (row r, column c) is at (x, y) = (c + 0.5, r + 0.5).
"""

from __future__ import annotations

import torch
from torch import Tensor


def surrounding_cells(
    xy: Tensor, size: int, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the square of cells around each position in a map of `height` x `width` cells.

    The square has s = size + 1 cells per side. The reference cell is the last one whose centre does
    not lie beyond the position; `size // 2` cells precede it, the rest follow.

    Args:
        xy: (M, 2) positions in raster cells; any value, including NaN and infinity.

    Returns:
        (M, s, s) flat row-major indices, clamped to cells that exist; (M, s, s) bool, True where
        the cell lies inside the map, so that its index was not clamped; (M, 2) offset of xy from
        the centre of the reference cell, in cells.
    """
    corner = xy - 0.5 - size // 2
    first = corner.floor()
    offsets = torch.arange(size + 1, device=xy.device)
    # A diverged position may have any value: clamp before the conversion to integers.
    start = first.clamp(-1e6, 1e6).long()
    columns = start[:, 0:1] + offsets
    rows = start[:, 1:2] + offsets
    column_ok = (columns >= 0) & (columns < width)
    row_ok = (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    return index, row_ok[:, :, None] & column_ok[:, None], corner - first
