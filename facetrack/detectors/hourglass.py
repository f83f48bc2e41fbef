"""A small stacked hourglass that two CPU cores can train.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016
(arXiv 1603.06937): features go down by halves and up again, each resolution adding a branch of its
own, several times in a row. Here with fewer channels and blocks than there.

Two options are those of Kar et al., "Fiducial Focus Augmentation for Facial Landmark Detection"
(arXiv 2402.15044): halving without aliasing (Zhang, "Making Convolutional Networks Shift-Invariant
Again", ICML 2019), and a learned filter in the Fourier domain after each step up (the FF-Parser of
Wu et al., "MedSegDiff", arXiv 2211.00611).
"""

from __future__ import annotations

import torch
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
        antialiased: blur before each halving within the hourglasses.
        filtered: side in cells of the features (H / STRIDE = W / STRIDE), to have a learned filter
            over them after each step up; 0 for none.
    """

    def __init__(
        self, width: int, stacks: int, levels: int, antialiased: bool = False, filtered: int = 0
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _normalised(3, width // 2, 3, stride=2),
            _normalised(width // 2, width, 3, stride=2),
            _Residual(width),
        )
        self.stacks = nn.ModuleList(
            nn.Sequential(
                _Hourglass(width, levels, antialiased, filtered), _normalised(width, width, 1)
            )
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

    def __init__(self, width: int, levels: int, antialiased: bool, filtered: int) -> None:
        super().__init__()
        self.across = _Residual(width)
        inner: nn.Module = _Residual(width)
        if levels > 1:
            inner = _Hourglass(width, levels - 1, antialiased, filtered // 2)
        self.below = nn.Sequential(_Residual(width), inner, _Residual(width))
        self.halve = halve_antialiased if antialiased else _halve
        self.filter: nn.Module = FourierFilter(width, filtered) if filtered else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        low = F.interpolate(self.below(self.halve(x)), scale_factor=2.0, mode="nearest")
        x = self.filter(self.across(x) + low)
        return x


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def halve_antialiased(x: Tensor) -> Tensor:
    """(M, C, H, W) -> (M, C, H / 2, W / 2): the maximum of 2 x 2 cells everywhere, then a binomial
    blur of 3 x 3 cells at every second one."""
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    # Sums of neighbours, twice: 1 2 1. One channel's convolution is far slower on a CPU.
    for _ in range(2):
        x = x[..., 1:] + x[..., :-1]
        x = x[..., 1:, :] + x[..., :-1, :]
    return x[..., ::2, ::2] / 16


class FourierFilter(nn.Module):
    """A learned complex factor for each channel and frequency; untrained, it changes nothing.

    Args:
        width: channels.
        size: cells of the features, right and down.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        factor = torch.zeros(2, width, size, size // 2 + 1)
        factor[0] = 1  # the real part; then the imaginary one
        self.factor = nn.Parameter(factor)

    def forward(self, x: Tensor) -> Tensor:
        """(M, width, size, size) -> the same, filtered."""
        # Transforms need float32, whatever precision the network runs in.
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.rfft2(x.float())
            spectrum = spectrum * torch.complex(self.factor[0].float(), self.factor[1].float())
            return torch.fft.irfft2(spectrum, s=(self.size, self.size)).to(x.dtype)
