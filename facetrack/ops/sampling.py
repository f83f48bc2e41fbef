"""Which cells of a map lie around a place.

Coordinates are raster coordinates in cells, origin at the CORNER of the top-left cell: the centre
of cell (row r, column c) is at (x, y) = (c + 0.5, r + 0.5).
"""

from __future__ import annotations

import torch
from torch import Tensor


def lattice(xy: Tensor, size: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The whole cells around places in maps of height x width cells, s = size + 1 of them per side:
    `size // 2` before the last one whose centre does not lie beyond the place, that one, and those
    after it.

    Args:
        xy: (M, 2) raster cells; any value, numbers or not.

    Returns:
        (M, s, s) flat indices, row-major, of cells that there are; (M, s, s) bool, whether they are
        the ones that were meant; and (M, 2) by how much of a cell xy lies beyond that centre.
    """
    corner = xy - 0.5 - size // 2
    first = corner.floor()
    offsets = torch.arange(size + 1, device=xy.device)
    # Positions may run away to any value: clamp before the conversion to integers.
    start = first.clamp(-1e6, 1e6).long()
    columns = start[:, 0:1] + offsets
    rows = start[:, 1:2] + offsets
    column_ok = (columns >= 0) & (columns < width)
    row_ok = (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    return index, row_ok[:, :, None] & column_ok[:, None], corner - first
