"""Small networks that see lids, brows, lips and chin in patches of a face (`face_parts`)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facetrack.runtime.onednn import fused_conv
from facetrack.trackers.expression.face_parts import Kind

CHANNELS = (24, 48, 80)
HIDDEN = 160
LEAST = 0.002
"""Spread of a landmark that is named at least, in units of the face."""


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm: nn.Module | None = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        if self.norm is None:  # folded
            return fused_conv(self.conv, x, relu=True, residual=plus)
        y = self.norm(self.conv(x))
        return F.relu(y if plus is None else y + plus)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _Conv(channels, channels), _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x), x)
        return y


class PartNetwork(nn.Module):
    """Landmarks of one kind of part.

    Args:
        kind: of its patches.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
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
        cells = (kind.width // 8) * (kind.height // 8)
        self.hidden = nn.Linear(32 * cells, HIDDEN)
        self.out = nn.Linear(HIDDEN, 3 * kind.points)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patches (M, 3, height, width) RGB in [0, 1] -> places (M, points, 2) from the middle and
        spreads (M, points), both in units of the face."""
        seen = self.body(normalised(patches)).flatten(1)
        hidden = torch.relu(self.hidden(seen.to(self.hidden.weight.dtype)))
        out = self.out(hidden).float().unflatten(1, (self.kind.points, 3))
        return out[..., :2] / 4, LEAST + torch.exp(out[..., 2].clamp(-4, 3) - 4)


def normalised(patches: Tensor) -> Tensor:
    """Patches (M, 3, h, w) less their means, over their contrast: light is none of theirs."""
    mean = patches.mean((2, 3), keepdim=True)
    off = patches - mean
    contrast = off.square().mean((1, 2, 3), keepdim=True).sqrt()
    return off / (contrast + 0.02)


def fold_norms(network: nn.Module) -> None:
    """Let convolutions do what the normalisations after them do; for inference, in place."""
    for module in network.modules():
        if isinstance(module, _Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = None
