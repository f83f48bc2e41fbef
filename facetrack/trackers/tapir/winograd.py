"""Convolutions of 3 x 3 by Winograd's minimal filtering: a quarter of the multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308:
F(4 x 4, 3 x 3). Tiles of 6 x 6 cells and kernels are transformed to 36 numbers each, where
convolution is a product over the channels, and the result is transformed back to 4 x 4 cells. In
float32 the error is a few times that of the direct sum (1e-5 of the result). In bfloat16 it would
be ten times as large and no faster: bfloat16 convolutions stay direct.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from facetrack.runtime import onednn

TILE = 4
"""Output cells per side of a tile; its input has two more."""
MIN_CHANNELS = 256
"""Input and output channels below which the transforms cost as much as the products save."""
TILE_BATCH = 128
"""Tiles transformed at once: they fit into the caches, and suffice for fast products."""
MIN_TILES = 32
"""Tiles below which the products are slower than the direct convolution."""

# The transforms for the interpolation points 0, 1, -1, 2, -2 and infinity.
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
    """Extend a transform (a, b) of one axis to both axes, (a * a, b * b), row-major."""
    return torch.kron(matrix, matrix)


class WinogradConv(nn.Module):
    """A 3 x 3 convolution of stride 1 that keeps the size, for inference on a CPU.

    (M, C, H, W) float32, channels last -> (M, O, H, W). The transformed weights take four times the
    memory of the direct ones, which are kept for inputs with few cells.
    """

    to_tile: Tensor
    from_tile: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.direct = conv
        kernels = conv.weight.detach().double().permute(2, 3, 1, 0)  # (3, 3, C, O)
        transformed = _both_axes(TO_KERNEL) @ kernels.flatten(0, 1).flatten(1)
        self.product = onednn.GroupedMatmul(
            transformed.view(36, *kernels.shape[2:]).float(), TILE_BATCH
        )
        self.register_buffer("to_tile", TO_TILE)
        self.register_buffer("from_tile", _both_axes(FROM_TILE))

    @staticmethod
    def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
        """Return True for a convolution of this kind that is wide enough to gain."""
        return (
            isinstance(conv, nn.Conv2d)
            and conv.kernel_size == (3, 3)
            and conv.stride == (1, 1)
            and conv.padding == (1, 1)
            and conv.dilation == (1, 1)
            and conv.groups == 1
            and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS
        )

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        if count * down * across < MIN_TILES:
            return self.direct(x)
        # Pad to whole tiles, and by the convolution's border of zeros.
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
            products = self.product(self._transform(rows[part], across, channels))
            cells = self.from_tile @ products
            target = out[part]
            cells = cells.view(*target.shape[:2], across, TILE, TILE, -1).transpose(2, 3)
            if self.direct.bias is None:
                target.copy_(cells)
            else:
                torch.add(cells, self.direct.bias, out=target)
        out = out.view(count, down * TILE, across * TILE, -1)
        return out[:, :height, :width].permute(0, 3, 1, 2)

    def _transform(self, rows: Tensor, across: int, channels: int) -> Tensor:
        """Transform the tiles of rows (F, R, 6, cells * C) to (F * R * across, 36, C).

        Columns come first, as adjacent tiles share them, then rows.
        """
        side, of_row = rows.shape[2:]
        columns = (self.to_tile @ rows).view(-1, side, of_row)
        tiles = columns.as_strided(
            (len(columns), across, side, side, channels),
            (side * of_row, TILE * channels, of_row, channels, 1),
        )
        return (self.to_tile @ tiles.reshape(-1, side, channels)).view(-1, side**2, channels)


def _parts(count: int, down: int, across: int) -> Iterator[tuple[slice, slice]]:
    """Yield the frames and rows of tiles of each batch: whole frames, or equal parts of a frame."""
    parts = min(down, -(-down * across // TILE_BATCH))
    frames = max(1, TILE_BATCH // (down * across))
    edges = [down * i // parts for i in range(parts + 1)]
    for first in range(0, count, frames):
        for top, bottom in itertools.pairwise(edges):
            yield slice(first, first + frames), slice(top, bottom)


def use_winograd(network: nn.Module) -> None:
    """Replace the convolutions of `network` for which this is faster, in place."""
    if not onednn.available():
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if WinogradConv.fits(child):
                setattr(module, name, WinogradConv(child))
