"""Stacked hourglasses over a picture and its coordinates: the trunk of STAR and of 1D heat maps.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016
(arXiv 1603.06937): features go down by halves and up again, each resolution adding a branch of its
own, several times in a row. In the form that Huang, Yang, Li, Kim and Wei, "ADNet", ICCV 2021, gave
them: each hourglass is told where its cells are (Liu et al., "CoordConv", arXiv 1807.03247).
Parameters are named as in STAR's published checkpoints, so that one network's weights can start
another.

Two options are those of Kar et al., "Fiducial Focus Augmentation for Facial Landmark Detection"
(arXiv 2402.15044): halving without aliasing (Zhang, "Making Convolutional Networks Shift-Invariant
Again", ICML 2019), and a learned filter in the Fourier domain after each step up (the FF-Parser of
Wu et al., "MedSegDiff", arXiv 2211.00611).
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrack.runtime.onednn import fused_conv

STRIDE = 4
"""Pixels of the picture per cell of the features, right and down."""


def signed_bgr(pictures: Tensor) -> Tensor:
    """What the networks take, BGR in [-1, 1], of RGB pictures (M, 3, H, W) in [0, 1]."""
    return pictures.flip(1) * 2 - 1


class Hourglasses(nn.Module):
    """The layers of hourglasses in a row over (M, 3, H, W) BGR pictures in [-1, 1].

    Args:
        width: channels, a multiple of 4.
        stacks: hourglasses in a row.
        levels: halvings within each; H and W must be multiples of STRIDE * 2**levels.
        antialiased: blur before each halving within the hourglasses.
        filtered: side in cells of the features (H / STRIDE = W / STRIDE), to have a learned filter
            over them after each step up; 0 for none.
        extra: channels, besides three coordinates, that hourglasses after the first see.
    """

    def __init__(
        self,
        width: int,
        stacks: int,
        levels: int,
        antialiased: bool = False,
        filtered: int = 0,
        extra: int = 0,
    ) -> None:
        super().__init__()
        self.pre = nn.Sequential(
            Conv(3 + 3, width // 4, 7, stride=2, normalised=True),
            Residual(width // 4, width // 2),
            nn.MaxPool2d(2),
            Residual(width // 2, width // 2),
            Residual(width // 2, width),
        )
        self.hgs = nn.ModuleList(
            Hourglass(levels, width, antialiased, filtered, width + 3 + (extra if i else 0))
            for i in range(stacks)
        )
        self.features = nn.ModuleList(
            nn.Sequential(Residual(width, width), Conv(width, width, normalised=True))
            for _ in range(stacks)
        )
        self.merge_features = nn.ModuleList(Conv(width, width) for _ in range(stacks - 1))

    def fold_norms(self) -> None:
        """Move normalisations into the convolutions before them: the same answers in fewer passes
        over memory. For inference alone; the state_dict is another one afterwards."""
        self.eval()
        for module in self.modules():
            if isinstance(module, Residual):
                module.fold_norms()
            elif isinstance(module, Conv) and module.bn is not None:
                module.fold(module.bn)

    def begin(self, pictures: Tensor) -> Tensor:
        """What the first hourglass sees of (M, 3, H, W) pictures, but for its coordinates."""
        x: Tensor = self.pre(with_coordinates(pictures))
        return x


class StackedHourglass(Hourglasses):
    """(M, 3, H, W) BGR pictures in [-1, 1] -> (M, width, H / 4, W / 4) features, the last
    hourglass's."""

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of (M, 3, H, W) pictures."""
        x = self.begin(pictures)
        for i, (hourglass, finish) in enumerate(zip(self.hgs, self.features, strict=True)):
            feature: Tensor = finish(hourglass(with_coordinates(x)))
            if i < len(self.merge_features):
                x = x + self.merge_features[i](feature)
        return feature


def with_coordinates(x: Tensor, within: Tensor | None = None) -> Tensor:
    """x (M, C, h, w) and where its cells are, C + 3 channels: down -1..1, across -1..1 and distance
    from the centre 0..1; and the first two again `within` (M, 1, h, w), 0 elsewhere."""
    M, _, height, width = x.shape
    where = _coordinates(height, width, x.device, x.dtype).expand(M, -1, -1, -1)
    if within is not None:
        where = torch.cat([where, where[:, :2] * within], 1)
    # In the order that channels lie in elsewhere, or all of them would be put into another one.
    return torch.cat([p.contiguous(memory_format=torch.channels_last) for p in (x, where)], 1)


@functools.lru_cache
def _coordinates(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(1, 3, h, w)."""
    # What is kept must serve a training too.
    with torch.inference_mode(False):
        # The channel that the checkpoints have first, "x" in the published code, runs down rows.
        down = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None]
        across = torch.linspace(-1, 1, width, device=device, dtype=dtype)[None]
        radius = (down.square() + across.square()).sqrt()
        three = torch.broadcast_tensors(down, across, radius / radius.max())
        return torch.stack(three)[None]


class Conv(nn.Module):
    """A convolution that keeps the size (divided by the stride); normalised and rectified or not.

    Its parts have names of their own because the checkpoints' do.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 1, stride: int = 1, normalised: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2)
        self.bn = nn.BatchNorm2d(outputs) if normalised else None
        self.rectifies = normalised

    def forward(self, x: Tensor) -> Tensor:
        if self.bn is None:
            return fused_conv(self.conv, x, self.rectifies)
        return F.relu(self.bn(self.conv(x)))

    def fold(self, norm: nn.BatchNorm2d) -> None:
        """Have the convolution normalise as `norm`, which comes next, and rectify what comes out of
        it; in evaluation mode."""
        self.conv, self.bn, self.rectifies = fuse_conv_bn_eval(self.conv, norm), None, True


class Residual(nn.Module):
    """A pre-activated bottleneck at half its output's width."""

    bn2: nn.BatchNorm2d | None
    bn3: nn.BatchNorm2d | None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = Conv(inputs, outputs // 2)
        self.bn2 = nn.BatchNorm2d(outputs // 2)
        self.conv2 = Conv(outputs // 2, outputs // 2, 3)
        self.bn3 = nn.BatchNorm2d(outputs // 2)
        self.conv3 = Conv(outputs // 2, outputs)
        # The checkpoints hold it in every block, used or not.
        self.skip_layer = Conv(inputs, outputs)
        self.projects = inputs != outputs
        if not self.projects:
            self.skip_layer.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu_(self.bn1(x)))
        y = self.conv2(y if self.bn2 is None else F.relu_(self.bn2(y)))
        y = y if self.bn3 is None else F.relu_(self.bn3(y))
        return fused_conv(self.conv3.conv, y, residual=self.skip_layer(x) if self.projects else x)

    def fold_norms(self) -> None:
        """Have the convolutions normalise and rectify; in evaluation mode. The first normalisation
        comes before any."""
        assert self.bn2 is not None
        assert self.bn3 is not None
        self.conv1.fold(self.bn2)
        self.conv2.fold(self.bn3)
        self.bn2 = self.bn3 = None


class Hourglass(nn.Module):
    """Down by halves and up again; each level adds a branch at its own resolution."""

    def __init__(
        self,
        levels: int,
        width: int,
        antialiased: bool,
        filtered: int,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        self.antialiased = antialiased
        self.coordconv = None if inputs is None else Conv(inputs, width)
        self.up1 = Residual(width, width)
        self.low1 = Residual(width, width)
        self.low2: nn.Module = (
            Hourglass(levels - 1, width, antialiased, filtered // 2)
            if levels > 1
            else Residual(width, width)
        )
        self.low3 = Residual(width, width)
        self.filter: nn.Module = FourierFilter(width, filtered) if filtered else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.coordconv is not None:
            x = self.coordconv(x)
        half = halve_antialiased(x) if self.antialiased else F.max_pool2d(x, 2)
        low = self.low3(self.low2(self.low1(half)))
        x = self.filter(self.up1(x) + F.interpolate(low, scale_factor=2, mode="nearest"))
        return x


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
