"""Convolutions of 3 x 3 by Winograd's minimal filtering: a quarter of the multiplications.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, arXiv 1509.09308:
F(4 x 4, 3 x 3). Tiles of 6 x 6 cells and kernels are carried to 36 numbers each, where convolution
is a product over the channels, and the result is carried back to 4 x 4 cells. In float32 the error
is a few times that of the direct sum (1e-5 of the result); in bfloat16 it would be ten times, and
no faster: there the direct convolution stays.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrack.trackers.tapir.matching import joined

TILE = 4
"""Cells a side that one tile answers for; it looks at two more."""
FEWEST_CHANNELS = 64
"""Input and output channels below which carrying the tiles costs what the products save."""
AT_ONCE = 1 << 22
"""Numbers that tiles are carried to at once; larger blocks of memory are not kept for the next
call (see `facetrack.allocator`)."""

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

    (M, C, H, W) float32, channels last -> (M, O, H, W). The weights take four times the memory.
    """

    weight: Tensor
    bias: Tensor | None
    to_tile: Tensor
    from_tile: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        kernels = conv.weight.detach().double().permute(2, 3, 1, 0)  # (3, 3, C, O)
        carried = _both_axes(TO_KERNEL) @ kernels.flatten(0, 1).flatten(1)
        self.register_buffer("weight", carried.view(36, *kernels.shape[2:]).float())
        bias = None if conv.bias is None else conv.bias.detach().clone()
        self.register_buffer("bias", bias)
        self.register_buffer("to_tile", _both_axes(TO_TILE))
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
        a_frame = x[0].numel() * 36 // TILE**2
        return joined([self._convolved(part) for part in x.split(max(1, AT_ONCE // a_frame))])

    def _convolved(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        down, across = -(-height // TILE), -(-width // TILE)
        # Up to whole tiles, and the border of zeros that the convolution sees.
        beyond = (0, 0, 1, 1 + across * TILE - width, 1, 1 + down * TILE - height)
        padded = F.pad(x.permute(0, 2, 3, 1), beyond).contiguous()
        of_frame, of_row, of_cell, _ = padded.stride()
        tiles = padded.as_strided(
            (6, 6, count, down, across, channels),
            (of_row, of_cell, of_frame, TILE * of_row, TILE * of_cell, 1),
        )
        carried = (self.to_tile @ tiles.reshape(36, -1)).view(36, -1, channels)
        products = torch.bmm(carried, self.weight)
        cells = (self.from_tile @ products.flatten(1)).view(TILE, TILE, count, down, across, -1)
        out = cells.permute(2, 3, 0, 4, 1, 5).reshape(count, down * TILE, across * TILE, -1)
        if self.bias is not None:
            out += self.bias
        return out[:, :height, :width].permute(0, 3, 1, 2)


def with_winograd(network: nn.Module) -> None:
    """Let `network` compute its convolutions so, where that is faster; in place."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if WinogradConv.fits(child):
                setattr(module, name, WinogradConv(child))
