"""A small stacked hourglass that two CPU cores can train.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016
(arXiv 1603.06937): features go down by halves and up again, each resolution adding a branch of its
own, several times in a row. Here with fewer channels and blocks than there.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Pixels of the picture per cell of the features, right and down."""


class StackedHourglass(nn.Module):
    """(M, 3, H, W) pictures -> (M, width, H / 4, W / 4) features.

    Args:
        width: channels, even.
        stacks: hourglasses in a row.
        levels: halvings within each; H and W must be multiples of STRIDE * 2**levels.
    """

    def __init__(self, width: int, stacks: int, levels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _normalised(3, width // 2, 3, stride=2),
            _normalised(width // 2, width, 3, stride=2),
            _Residual(width),
        )
        self.stacks = nn.ModuleList(
            nn.Sequential(_Hourglass(width, levels), _normalised(width, width, 1))
            for _ in range(stacks)
        )
        self.merges = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(stacks - 1))

    def forward(self, pictures: Tensor) -> Tensor:
        """The last hourglass's features of (M, 3, H, W) pictures."""
        x = self.stem(pictures)
        features: Tensor = self.stacks[0](x)
        for merge, stack in zip(self.merges, list(self.stacks)[1:], strict=True):
            x = x + merge(features)
            features = stack(x)
        return features


def _normalised(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (divided by the stride), normalised and rectified."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """A bottleneck at half the width whose result is added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _normalised(width, width // 2, 1),
            _normalised(width // 2, width // 2, 3),
            nn.Conv2d(width // 2, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.layers(x)
        return x


class _Hourglass(nn.Module):
    """A branch at this resolution, and one at half of it that may branch again."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.across = _Residual(width)
        inner = _Hourglass(width, levels - 1) if levels > 1 else _Residual(width)
        self.below = nn.Sequential(_Residual(width), inner, _Residual(width))

    def forward(self, x: Tensor) -> Tensor:
        low = self.below(F.max_pool2d(x, 2))
        return self.across(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")
