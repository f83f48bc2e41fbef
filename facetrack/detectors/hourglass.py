"""Stacked hourglasses over an image and its coordinates: the trunk of STAR and of 1D heat maps.

Newell, Yang and Deng, "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016
(arXiv 1603.06937): each hourglass repeatedly halves the resolution and doubles it again, with a
branch at each resolution. The variant is that of Huang, Yang, Li, Kim and Wei, "ADNet", ICCV 2021:
each hourglass also gets the coordinates of its cells (Liu et al., "CoordConv", arXiv 1807.03247).
Parameters are named as in STAR's published checkpoints, so that one network can be initialised from
another.

Two options come from Kar et al., "Fiducial Focus Augmentation for Facial Landmark Detection"
(arXiv 2402.15044): antialiased downsampling (Zhang, "Making Convolutional Networks Shift-Invariant
Again", ICML 2019), and a learned filter in the Fourier domain after each upsampling (the FF-Parser
of Wu et al., "MedSegDiff", arXiv 2211.00611).
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrack.runtime.onednn import fused_conv

STRIDE = 4
"""Image pixels per cell of the features, along each axis."""


def signed_bgr(pictures: Tensor) -> Tensor:
    """Convert RGB images (M, 3, H, W) in [0, 1] to the networks' input, BGR in [-1, 1]."""
    return pictures.flip(1) * 2 - 1


class Hourglasses(nn.Module):
    """The layers of stacked hourglasses for images (M, 3, H, W), BGR in [-1, 1].

    Args:
        width: channels, a multiple of 4.
        stacks: number of hourglasses.
        levels: halvings within each; H and W must be multiples of STRIDE * 2**levels.
        antialiased: blur before each halving within the hourglasses.
        filtered: side of the features in cells (H / STRIDE = W / STRIDE) to apply a learned filter
            after each upsampling; 0 for no filter.
        extra: number of input channels, besides three coordinates, of hourglasses after the first.
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
        """Fold batch normalisations into the preceding convolutions, to save memory traffic.

        For inference only: the outputs stay the same, but the state_dict changes.
        """
        self.eval()
        for module in self.modules():
            if isinstance(module, Residual):
                module.fold_norms()
            elif isinstance(module, Conv) and module.bn is not None:
                module.fold(module.bn)

    def begin(self, pictures: Tensor) -> Tensor:
        """Compute the first hourglass's input for images (M, 3, H, W), without its coordinates."""
        x: Tensor = self.pre(with_coordinates(pictures))
        return x


class StackedHourglass(Hourglasses):
    """Map images (M, 3, H, W), BGR in [-1, 1], to the last hourglass's features.

    The features are (M, width, H / 4, W / 4).
    """

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute the features of images (M, 3, H, W)."""
        x = self.begin(pictures)
        for i, (hourglass, finish) in enumerate(zip(self.hgs, self.features, strict=True)):
            feature: Tensor = finish(hourglass(with_coordinates(x)))
            if i < len(self.merge_features):
                x = x + self.merge_features[i](feature)
        return feature


def with_coordinates(x: Tensor, within: Tensor | None = None) -> Tensor:
    """Append coordinate channels to features.

    Args:
        x: (M, C, h, w).
        within: (M, 1, h, w) mask of the boundary, or None.

    Returns:
        (M, C + 3, h, w): y and x from -1 to 1, and the distance from the centre from 0 to 1. With
        `within` (M, C + 5, h, w): y and x follow once more, set to 0 outside the mask.
    """
    M, _, height, width = x.shape
    coordinates = _coordinates(height, width, x.device, x.dtype).expand(M, -1, -1, -1)
    if within is not None:
        coordinates = torch.cat([coordinates, coordinates[:, :2] * within], 1)
    # Keep the channels-last layout: otherwise all channels would be reordered in memory.
    return torch.cat([p.contiguous(memory_format=torch.channels_last) for p in (x, coordinates)], 1)


@functools.lru_cache
def _coordinates(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return y, x and distance from the centre of each cell, (1, 3, h, w)."""
    # The cached tensor must be usable in training too.
    with torch.inference_mode(False):
        # The checkpoints' first channel, called "x" in the published code, runs down the rows.
        down = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None]
        across = torch.linspace(-1, 1, width, device=device, dtype=dtype)[None]
        radius = (down.square() + across.square()).sqrt()
        channels = torch.broadcast_tensors(down, across, radius / radius.max())
        return torch.stack(channels)[None]


class Conv(nn.Module):
    """A padded convolution, optionally followed by batch normalisation and ReLU.

    The submodules' names are those of the checkpoints.
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
        """Fold the following `norm` into the convolution and apply ReLU, in evaluation mode."""
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
        # The checkpoints contain this layer in every block, used or not.
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
        """Fold the second and third normalisation into the convolutions, in evaluation mode.

        The first normalisation follows no convolution and stays.
        """
        assert self.bn2 is not None
        assert self.bn3 is not None
        self.conv1.fold(self.bn2)
        self.conv2.fold(self.bn3)
        self.bn2 = self.bn3 = None


class Hourglass(nn.Module):
    """An hourglass: halve the resolution and double it again, with a branch at each level."""

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
    """Downsample (M, C, H, W) to (M, C, H / 2, W / 2) without aliasing.

    A 2 x 2 maximum with stride 1, then a binomial 3 x 3 blur with stride 2.
    """
    x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    # Adding neighbours twice gives the weights 1 2 1. A depthwise convolution is far slower on a
    # CPU.
    for _ in range(2):
        x = x[..., 1:] + x[..., :-1]
        x = x[..., 1:, :] + x[..., :-1, :]
    return x[..., ::2, ::2] / 16


class FourierFilter(nn.Module):
    """A learned complex factor for each channel and frequency; the identity if untrained.

    Args:
        width: channels.
        size: side of the features in cells.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        factor = torch.zeros(2, width, size, size // 2 + 1)
        factor[0] = 1  # the real part; then the imaginary one
        self.factor = nn.Parameter(factor)

    def forward(self, x: Tensor) -> Tensor:
        """Filter features (M, width, size, size)."""
        # The transforms need float32 at any precision of the network.
        with torch.autocast(x.device.type, enabled=False):
            spectrum = torch.fft.rfft2(x.float())
            spectrum = spectrum * torch.complex(self.factor[0].float(), self.factor[1].float())
            return torch.fft.irfft2(spectrum, s=(self.size, self.size)).to(x.dtype)
