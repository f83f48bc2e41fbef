"""Convolutions of 3 x 3 by Winograd's minimal filtering: a quarter of the multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308:
F(4 x 4, 3 x 3). Tiles of 6 x 6 cells and kernels are carried to 36 numbers each, where convolution
is a product over the channels, and the result is carried back to 4 x 4 cells. In float32 the error
is a few times that of the direct sum (1e-5 of the result); in bfloat16 it would be ten times, and
no faster: there the direct convolution stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from facetrack.runtime import onednn

TILE = 4
"""Cells a side that one tile answers for; it looks at two more."""
FEWEST_CHANNELS = 256
"""Input and output channels below which carrying the tiles costs what the products save."""
AT_ONCE = 128
"""Tiles that are carried at once: what the caches hold, and enough for the products."""
FEWEST_TILES = 32
"""Tiles below which the products are slower than the direct convolution."""

# For the points 0, 1, -1, 2, -2 and infinity.
TO_TILE = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
TO_KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
FROM_TILE = torch.tensor(
    [
        [1.0, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)


def _both_axes(matrix: Tensor) -> Tensor:
    """(a, b) for one axis -> (a * a, b * b) for both, row-major."""
    return torch.kron(matrix, matrix)


class WinogradConv(nn.Module):
    """What a 3 x 3 convolution of stride 1 that keeps the size computes, for inference on a CPU.

    (M, C, H, W) float32, channels last -> (M, O, H, W). The weights take five times the memory:
    few cells are convolved directly.
    """

    to_tile: Tensor
    from_tile: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.direct = conv
        kernels = conv.weight.detach().double().permute(2, 3, 1, 0)  # (3, 3, C, O)
        carried = _both_axes(TO_KERNEL) @ kernels.flatten(0, 1).flatten(1)
        self.product = onednn.GroupedMatmul(carried.view(36, *kernels.shape[2:]).float(), AT_ONCE)
        self.register_buffer("to_tile", TO_TILE)
        self.register_buffer("from_tile", _both_axes(FROM_TILE))

    @staticmethod
    def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
        """Whether it is such a convolution, and wide enough to gain."""
        return (
            isinstance(conv, nn.Conv2d)
            and conv.kernel_size == (3, 3)
            and conv.stride == (1, 1)
            and conv.padding == (1, 1)
            and conv.dilation == (1, 1)
            and conv.groups == 1
            and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        if count * down * across < FEWEST_TILES:
            return self.direct(x)
        # Up to whole tiles, and the border of zeros that the convolution sees.
        padded = x.new_empty(count, down * TILE + 2, across * TILE + 2, channels)
        padded[:, 1 : 1 + height, 1 : 1 + width] = x.permute(0, 2, 3, 1)
        above, below = padded[:, :1], padded[:, 1 + height :]
        left, right = padded[:, :, :1], padded[:, :, 1 + width :]
        for border in (above, below, left, right):
            border.zero_()
        of_frame, of_row, _, _ = padded.stride()
        rows = padded.as_strided(
            (count, down, TILE + 2, of_row), (of_frame, TILE * of_row, of_row, 1)
        )
        out = x.new_empty(count, down, TILE, across, TILE, self.product.outputs)
        for part in _parts(count, down, across):
            products = self.product(self._carried(rows[part], across, channels))
            cells = self.from_tile @ products
            place = out[part]
            cells = cells.view(*place.shape[:2], across, TILE, TILE, -1).transpose(2, 3)
            if self.direct.bias is None:
                place.copy_(cells)
            else:
                torch.add(cells, self.direct.bias, out=place)
        out = out.view(count, down * TILE, across * TILE, -1)
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def _carried(self, rows: Tensor, across: int, channels: int) -> Tensor:
        """What the tiles of rows (F, R, 6, cells * C) are carried to, (F * R * across, 36, C).

        Down first, as tiles side by side share columns there, and then across.
        """
        side, of_row = rows.shape[2:]
        stretches = (self.to_tile @ rows).view(-1, side, of_row)
        tiles = stretches.as_strided(
            (len(stretches), across, side, side, channels),
            (side * of_row, TILE * channels, of_row, channels, 1),
        )
        return (self.to_tile @ tiles.reshape(-1, side, channels)).view(-1, side**2, channels)


def _parts(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Frames and rows of tiles that are carried together: whole frames, or equal parts of one."""
    parts = min(down, -(-down * across // AT_ONCE))
    frames = max(1, AT_ONCE // (down * across))
    edges = [down * i // parts for i in range(parts + 1)]
    for first in range(0, count, frames):
        for top, bottom in itertools.pairwise(edges):
            yield slice(first, first + frames), slice(top, bottom)


def with_winograd(network: nn.Module) -> None:
    """Let `network` compute its convolutions so, where that is faster; in place."""
    if not onednn.available():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if WinogradConv.fits(child):
                setattr(module, name, WinogradConv(child))
