"""Detect the landmarks of eyelids, brows, lips and chin in patches of a face (`face_parts`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrack.runtime.onednn import fused_conv
from facetrack.trackers.expression.face_parts import PatchLayout

CHANNELS = (24, 48, 80)
HIDDEN_FEATURES = 160
MIN_SPREAD = 0.002
"""Smallest predicted uncertainty of a landmark, in units of the face."""


class _Conv(nn.Module):
    """A 3 x 3 convolution with batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm: nn.Module | None = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if self.norm is None:  # folded into the convolution
            return fused_conv(self.conv, x.to(self.conv.weight.dtype), relu=True, residual=residual)
        y = self.norm(self.conv(x))
        return F.relu(y if residual is None else y + residual)


class _Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Conv(channels, channels), _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x), x)
        return y


class PartNetwork(nn.Module):
    """Landmark network for the patches of one layout.

    Args:
        layout: the layout of its patches.
    """

    def __init__(self, layout: PatchLayout) -> None:
        super().__init__()
        self.layout = layout
        stem, middle, deep = CHANNELS
        self.body = nn.Sequential(
            _Conv(3, stem, 2),
            _Conv(stem, stem),
            _Conv(stem, middle, 2),
            _Residual(middle),
            _Conv(middle, deep, 2),
            _Residual(deep),
            nn.Conv2d(deep, 32, 1),
            nn.ReLU(inplace=True),
        )
        cells = (layout.width // 8) * (layout.height // 8)
        self.hidden = nn.Linear(32 * cells, HIDDEN_FEATURES)
        self.out = nn.Linear(HIDDEN_FEATURES, 3 * layout.num_points)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Detect landmarks.

        Args:
            patches: (M, 3, height, width) RGB in [0, 1].

        Returns:
            Positions (M, points, 2) relative to the centre of the patch, and their uncertainties
            (M, points), both in units of the face.
        """
        features = self.body(normalise(patches)).flatten(1)
        hidden = torch.relu(self.hidden(features.to(self.hidden.weight.dtype)))
        out = self.out(hidden).float().unflatten(1, (self.layout.num_points, 3))
        return out[..., :2] / 4, MIN_SPREAD + torch.exp(out[..., 2].clamp(-4, 3) - 4)


def normalise(patches: Tensor) -> Tensor:
    """Subtract the mean of each channel and divide by the contrast of the patch.

    This removes the brightness and colour of the light from patches (M, 3, h, w).
    """
    mean = patches.mean((2, 3), keepdim=True)
    centred = patches - mean
    contrast = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / (contrast + 0.02)


def fold_norms(network: nn.Module) -> None:
    """Fold the batch normalisations into their convolutions, in place, for inference."""
    for module in network.modules():
        if isinstance(module, _Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = None
